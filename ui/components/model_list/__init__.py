"""The list of models: grouped, each with its accuracies as one bar, to click on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ui.components import mount, reported


@dataclass(frozen=True)
class Line:
    """A model in the list. Accuracies are shares in [0, 1]: clean, under FGSM, under the strongest attack measured."""

    id: str
    title: str
    colour: str
    clean: float | None
    fgsm: float | None
    strongest: float | None
    measured: str
    """The strongest attack and on how many images it was measured."""
    epsilon: float | None
    masked: bool
    own: bool


def model_list(groups: Mapping[str, Sequence[Line]], selected: str, *, key: str, on_pick: Callable[[str], None]) -> None:
    """Show the lines of each group below its name; a click calls `on_pick` with the id before the page is drawn again."""
    shown = [{"title": name, "lines": [_shown(line) for line in lines]} for name, lines in groups.items()]
    known = {line.id for lines in groups.values() for line in lines}

    def picked() -> None:
        name = reported(key, "pick")
        if name in known:  # a value from the browser is only looked up
            on_pick(name)

    mount("model_list", {"selected": selected, "groups": shown}, key=key, callbacks={"pick": picked})


def _shown(line: Line) -> dict[str, object]:
    """What the browser draws of a line: the shares for the bar, and texts with one decimal."""
    shares = [line.clean, line.fgsm, line.strongest]
    return {
        "id": line.id,
        "title": line.title,
        "colour": line.colour,
        "shares": shares,
        "texts": ["–" if share is None else f"{100 * share:.1f}" for share in shares],
        "measured": line.measured,
        "epsilon": "" if line.epsilon is None else f"{line.epsilon:.3g}",
        "masked": line.masked,
        "own": line.own,
    }
