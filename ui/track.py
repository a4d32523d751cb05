"""An attack on one image along the ε track: first at the ε that is shown, then in the background at all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from advcore.evaluation import scrub
from advcore.evaluation.scrub import Scrub
from ui import load, measured
from ui.waiting import results, wait
from ui.worker import Task, pausing

_AT_ONCE = 2e10
"""Operations: less is computed at once, for no second drawing would be worth it."""
_TOGETHER = 10
"""At how many ε a piece of the background's work attacks: several at once take half as long as one by one."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """What is known of one image under one attack on several models.

    `epsilons` is the whole track; each of `seen` has a part of it, in which 0 and the ε that is shown always are. `tasks`
    complete them, and `found` is what they have found so far.
    """

    epsilons: tuple[float, ...]
    seen: tuple[Scrub, ...]
    tasks: tuple[Task, ...] = ()
    found: tuple[Scrub | None, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every model's answers are known along the whole track."""
        return all(len(seen.epsilons) == len(self.epsilons) for seen in self.seen)

    def go_on(self, attack: str) -> None:
        """Have the rest computed while the page is open, with its progress; `attack` is the attack's title."""
        if self.complete:
            return

        def progress(now: list[Scrub | None]) -> tuple[float, str]:
            done, whole = sum(len(seen.epsilons) for seen in now if seen), len(self.tasks) * len(self.epsilons)
            return done / whole, f"{attack} at the other values of ε: {done} of {whole} are done"

        wait("track", self.tasks, self.found, progress)


def tracks(asked: Sequence[load.ImageAttack], epsilons: tuple[float, ...], epsilon: float) -> Tracks:
    """One attack on one image, made on each model, at least at 0 and at the ε of the track that is nearest to `epsilon`."""
    attack, grid = asked[0].attack, scrub.coarse(epsilons)
    work = sum(measured.operations_of(one.checkpoint_id, one.changed, attack, len(grid)) for one in asked)
    if attack.single_run or work < _AT_ONCE:
        whole = tuple(load.scrubbed(one, epsilons) for one in asked)
        return Tracks(whole[0].epsilons, whole)
    at = min(grid, key=lambda each: abs(each - epsilon))
    tasks = tuple(_task(one, grid, at) for one in asked)
    found = tuple(results(tasks))
    return Tracks(grid, tuple(_seen(one, at, part) for one, part in zip(asked, found, strict=True)), tasks, found)


def _seen(asked: load.ImageAttack, at: float, found: Scrub | None) -> Scrub:
    """What was found in the background, with 0 and `at`, which are attacked now if they are missing."""
    if found and {0.0, at} <= set(found.epsilons):
        return found
    first = load.scrubbed(asked, (0.0, at))
    return first.with_more(found) if found else first


def _task(asked: load.ImageAttack, grid: tuple[float, ...], at: float) -> Task:
    # Opened here: the caches belong to the thread of a page.
    run = partial(_run, *asked.open(), asked, grid, at)
    return Task(
        (asked, grid), run, lambda seen: len(seen.epsilons) == len(grid), cost=lambda seen: len(seen.epsilons) if seen else 0
    )


def _run(
    model: nn.Module, image: Tensor, label: int, asked: load.ImageAttack, grid: tuple[float, ...], at: float, seen: Scrub | None
) -> Iterator[Scrub]:
    """More and more of the grid, what is near to `at` first."""
    model, known = pausing(model), set(seen.epsilons) if seen else set()
    left = sorted((epsilon for epsilon in grid if epsilon not in known), key=lambda each: abs(each - at))
    for start in range(0, len(left), _TOGETHER):
        part = sorted(left[start : start + _TOGETHER])
        new = scrub.scrub(model, image, asked.attack, part, label=label, target=asked.target, index=asked.index)
        seen = seen.with_more(new) if seen else new
        yield seen
