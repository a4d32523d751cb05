"""An attack on one image along the ε track: first at the ε that is shown, then in the background at all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st
from torch import Tensor, nn

from advcore.device import pick_device
from advcore.epsilon import nearest
from advcore.evaluation import scrub
from advcore.evaluation.scrub import Scrub
from ui import load, measured
from ui.waiting import wait
from ui.worker import Task, pausing, worker

_AT_ONCE, _AT_ONCE_GPU = 2e10, 2e12
"""Operations: less is computed at once, for no second drawing would be worth it."""
_TOGETHER = 10
"""At how many ε a piece of the background's work attacks: several at once take half as long as one by one."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """What is known of one image under one attack on several models.

    `epsilons` is the whole track; each of `seen` has a part of it, in which 0 and the ε that is shown always are. `tasks`
    complete them; there are none where nothing is missing.
    """

    epsilons: tuple[float, ...]
    seen: tuple[Scrub, ...]
    tasks: tuple[Task, ...] = ()

    def go_on(self, attack: str) -> None:
        """Have the rest computed while the page is open, with its progress; `attack` is the attack's title."""
        if not self.tasks:
            return

        def progress(now: list[Scrub | None]) -> tuple[float, str]:
            done, of = sum(len(seen.epsilons) for seen in now if seen), len(now) * len(self.epsilons)
            return done / of, f"{attack} at the other values of ε: {done} of {of} are done"

        with st.container(key="aside-track"):
            wait("track", self.tasks, self.seen, progress)


def tracks(asked: Sequence[load.ImageAttack], epsilons: tuple[float, ...], epsilon: float) -> Tracks:
    """One attack on one image, made on each model, at least at 0 and at the ε of the track that is nearest to `epsilon`."""
    grid = scrub.coarse(epsilons)
    if asked[0].attack.single_run or _quick(asked, len(grid)):
        whole = tuple(load.scrubbed(one, epsilons) for one in asked)
        return Tracks(whole[0].epsilons, whole)
    at = nearest(grid, epsilon)
    seen = tuple(load.known(one, grid, {0.0, at}) for one in asked)
    missing = any(len(part.epsilons) < len(grid) for part in seen)
    return Tracks(grid, seen, tuple(_task(one, grid, at) for one in asked) if missing else ())


def _quick(asked: Sequence[load.ImageAttack], count: int) -> bool:
    work = sum(measured.operations_of(one.checkpoint_id, one.changed, one.attack, count) for one in asked)
    return work < (_AT_ONCE if pick_device().type == "cpu" else _AT_ONCE_GPU)


def _task(asked: load.ImageAttack, grid: tuple[float, ...], at: float) -> Task:
    # Opened here: the caches belong to the thread of a page.
    run = partial(_run, *asked.open(), asked, grid, at)
    return Task(
        (asked, grid), run, lambda seen: len(seen.epsilons) == len(grid), cost=lambda seen: len(seen.epsilons) if seen else 0
    )


def _run(
    model: nn.Module, image: Tensor, label: int, asked: load.ImageAttack, grid: tuple[float, ...], at: float, seen: Scrub | None
) -> Iterator[Scrub]:
    """More and more of the grid, what is near to `at` first; a page may add to it meanwhile."""
    model = pausing(model)
    while left := [epsilon for epsilon in grid if seen is None or epsilon not in seen.epsilons]:
        part = sorted(sorted(left, key=lambda each: abs(each - at))[:_TOGETHER])
        seen = worker().join((asked, grid), asked.along(model, image, label, part), Scrub.with_more)
        yield seen
