"""How numbers and verdicts are written, everywhere the same."""

from __future__ import annotations

from collections.abc import Sequence

from advcore.attacks import NORM_TITLES, Norm
from advcore.defenses import DEFENSES
from advcore.jobs import queue
from advcore.models.checkpoints import Checkpoint
from ui import visitor

# Okabe–Ito: one colour, one meaning, across the app.
STANDARD, DEFENDED, FOOLED = "#0072B2", "#009E73", "#D55E00"
OTHERS = ("#E69F00", "#CC79A7", "#56B4E9")


def epsilon_text(epsilon: float, norm: Norm = "linf") -> str:
    """ε in pixel space as the app shows it: `0.100 (25.5/255)` for L∞, `0.500 (L2)` for another norm."""
    if norm != "linf":
        return f"{epsilon:.3f} ({NORM_TITLES[norm]})"
    return f"{epsilon:.3f} ({f'{epsilon * 255:.1f}'.removesuffix('.0')}/255)"


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, `97.2 %`; a share near 0 or 1 that would be rounded to it becomes `< 0.1 %` or `> 99.9 %`."""
    least = 10.0**-digits
    if 0 < share < least / 200:
        return f"< {least:.{digits}f} %"
    if 1 - least / 200 < share < 1:
        return f"> {100 - least:.{digits}f} %"
    return f"{100 * share:.{digits}f} %"


def markdown_safe(text: str) -> str:
    """A name or an error, escaped for Markdown; for visitors of a public server without the server's folders."""
    text = text if visitor.rules().machine else queue.without_places(text)
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()<>#+-.!|~$:" else sign for sign in text)


def role(defense: str) -> str:
    """What kind of model it is, in a word or two."""
    return DEFENSES[defense].role


def role_colour(defense: str) -> str:
    """Blue for a standard model, green for a defended one."""
    return DEFENDED if DEFENSES[defense].defended else STANDARD


def model_colours(models: Sequence[Checkpoint]) -> dict[str, str]:
    """A colour for each id: the first standard model is blue, the first defended one green, all others their own."""
    colours: dict[str, str] = {}
    for model in models:
        role, taken = role_colour(model.recipe.defense), set(colours.values())
        spare = [colour for colour in OTHERS if colour not in taken] or list(OTHERS)
        colours[model.id] = spare[0] if role in taken else role
    return colours
