"""Accuracy curves measured in the background, shared by all sessions."""

from __future__ import annotations

import copy
import functools
import operator
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st
import torch
from torch import nn

from advcore import attacks, data
from advcore.device import Precision, fastest_precision, pick_device
from advcore.evaluation.curves import Predictions, Reading, predictions
from advcore.evaluation.worst_case import worst_case
from advcore.training.estimate import operations
from ui import load, visitor
from ui.worker import Task, pausing, worker

# How much work a piece is, in floating-point operations: one or two seconds on two cores.
_PIECE, _PIECE_GPU = 2e11, 2e13
_MOST_IMAGES, _MULTIPLE = 96, 8


@dataclass(frozen=True)
class Curve:
    """A curve to measure: everything that its points depend on. Its images are the first ones of the test split."""

    checkpoint_id: str
    changed: float
    source: data.Source
    attack: attacks.Attack
    epsilons: tuple[float, ...]
    reading: Reading
    precision: Precision


def curve(
    checkpoint_id: str,
    attack: attacks.Attack,
    epsilons: Sequence[float],
    *,
    reading: Reading = "exact",
    precision: Precision | None = None,
) -> Curve:
    """The curve of a checkpoint under an attack, with its file and data as they are now; raises AdvcoreError if gone."""
    checkpoint = load.find(checkpoint_id)
    changed, source = load.written(checkpoint), data.find(checkpoint.recipe.dataset)
    precision = precision or fastest_precision(pick_device().type)
    return Curve(checkpoint_id, changed, source, attack, tuple(epsilons), reading, precision)


def so_far(of: Curve, count: int) -> Predictions | None:
    """What is measured of the first `count` images, by any session; None if nothing is."""
    seen = worker().result(of)
    return None if seen is None else seen.first(count)


def images_measured(of: Curve, count: int) -> int:
    """How many of the first `count` images are measured."""
    return len(so_far(of, count) or ())


def complete(wanted: Mapping[Curve, int]) -> bool:
    """Whether every curve is measured on its number of images."""
    return all(images_measured(of, count) >= count for of, count in wanted.items())


@dataclass(frozen=True)
class Progress:
    """The share of the work that is done, how many curves are finished, and the seconds left (None: not known yet)."""

    share: float
    finished: int
    left: float | None


def progress(wanted: Mapping[Curve, int]) -> Progress:
    """The progress of these curves; work is counted in operations of the network."""
    seen = {of: images_measured(of, count) for of, count in wanted.items()}
    whole = {of: _work(of) * count for of, count in wanted.items()}
    rest = {of: whole[of] * (1 - seen[of] / count) for of, count in wanted.items()}
    spent = [_SPENT[of] for of in wanted if of in _SPENT]
    usual = sum(seconds for seconds, _ in spent) / sum(work for _, work in spent) if spent else None
    rates = {of: _SPENT[of][0] / _SPENT[of][1] if of in _SPENT else usual for of in wanted}
    left = None if usual is None else sum(work * (rates[of] or 0.0) for of, work in rest.items())
    finished = sum(seen[of] >= count for of, count in wanted.items())
    return Progress(1 - sum(rest.values()) / sum(whole.values()), finished, left)


_SPENT: dict[Curve, tuple[float, float]] = {}
"""By curve: the seconds spent on whole pieces of it, and the operations done in them."""
_WARM: set[str] = set()
"""The models on which a piece has been measured."""


def _work(of: Curve) -> float:
    """About how many operations an image of the curve costs."""
    return operations_of(of.checkpoint_id, of.changed, of.attack, len(of.epsilons))


def operations_of(checkpoint_id: str, changed: float, attack: attacks.Attack, count: int) -> float:
    """About how many operations the attack on one image costs at `count` values of ε."""
    return _model_operations(checkpoint_id, changed) * _passes(attack, count)


@functools.lru_cache(maxsize=256)
def _model_operations(checkpoint_id: str, _changed: float) -> int:
    """The operations of a forward pass on one image; counted on a copy, since other threads use the model."""
    checkpoint = load.find(checkpoint_id)
    return operations(copy.deepcopy(load.model(checkpoint)), torch.zeros(1, *checkpoint.shape, device=pick_device()))


def ask(wanted: Mapping[Curve, int]) -> None:
    """Measure each curve on its number of images in the background; a page repeats this while it is open."""
    tasks = [_task(of, count) for of, count in wanted.items() if images_measured(of, count) < count]
    worker().ask(session(), tasks, group=visitor.group())


def stop() -> None:
    """Measure nothing more for this session."""
    worker().stop(session())


def problem(wanted: Mapping[Curve, int]) -> str | None:
    """The first curve that cannot be measured and why, or None."""
    found = ((of, worker().error(of)) for of in wanted)
    return next((f"{of.checkpoint_id} under {attacks.title(of.attack)}: {error}" for of, error in found if error), None)


def session() -> str:
    """A name of this session."""
    return st.session_state.setdefault("session", uuid.uuid4().hex)


def _task(of: Curve, count: int) -> Task:
    checkpoint = load.find(of.checkpoint_id)
    # Loaded here: the caches belong to the thread of a page.
    model, images = load.model(checkpoint), load.dataset(checkpoint.recipe.dataset)
    cheap, work = of.attack.passes, _work(of)
    return Task(
        key=of,
        run=functools.partial(_measure, of, work, model, images),
        enough=lambda seen: len(seen) >= count,
        # Fast attacks are finished first; curves of one attack grow together.
        cost=lambda seen: (cheap, work * (1 + len(seen or ()))),
    )


def _passes(attack: attacks.Attack, count: int) -> int:
    """About how many passes through the network an image costs at `count` values of ε."""
    return attack.passes * (1 if attack.single_run else count) + count


def _measure(
    of: Curve, work: float, model: nn.Module, images: data.LabeledImages, seen: Predictions | None
) -> Iterator[Predictions | None]:
    """Predictions over more and more images, after pieces whose size depends only on the model and the attack."""
    model = pausing(model)
    count, group = _piece(of, work, next(model.parameters()).device)
    answers = predictions if of.reading == "exact" else worst_case
    for start in range(len(seen or ()), len(images), count):
        some, rows, seconds = images[start : start + count], [], 0.0
        for first in range(0, len(of.epsilons), group):
            if rows:
                yield None
            began, grid = time.perf_counter(), of.epsilons[first : first + group]
            rows.append(functools.reduce(operator.add, answers(model, some, of.attack, grid, precision=of.precision)))
            seconds += time.perf_counter() - began
        part = replace(rows[0], epsilons=of.epsilons, predicted=torch.cat([row.predicted for row in rows]))
        seen = part if seen is None else seen + part
        if of.checkpoint_id in _WARM and len(some) == count:  # a model's first piece is slow, and one of few images too
            before = _SPENT.get(of, (0.0, 0.0))
            _SPENT[of] = (before[0] + seconds, before[1] + work * count)
        _WARM.add(of.checkpoint_id)
        yield seen


def _piece(of: Curve, work: float, device: torch.device) -> tuple[int, int]:
    """How many images and how many ε a piece has, by their amount of work, not by the speed of the machine."""
    passes = (_PIECE if device.type == "cpu" else _PIECE_GPU) / (work / _passes(of.attack, len(of.epsilons)))
    count = int(passes / _passes(of.attack, len(of.epsilons))) // _MULTIPLE * _MULTIPLE
    count = min(_MOST_IMAGES, max(_MULTIPLE, count))
    whole = of.attack.single_run or of.reading == "worst"  # what is found at one ε serves the others
    group = len(of.epsilons) if whole else int(passes / (count * _passes(of.attack, 1)))
    return count, max(1, group)
