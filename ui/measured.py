"""Measured predictions, shared by all sessions and kept as they grow: a stopped measurement goes on where it was."""

from __future__ import annotations

import functools
import operator
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from advcore import attacks, data
from advcore.device import Precision, fastest_precision, pick_device
from advcore.evaluation.curves import Predictions, predictions
from ui import load

_KEPT = 200


@dataclass(frozen=True)
class Wanted:
    """A curve to measure. Whatever its number of images, it is measured from the first test image on."""

    checkpoint_id: str
    changed: float
    source: data.Source
    attack: attacks.Attack
    epsilons: tuple[float, ...]
    precision: Precision


class _Store:
    """The longest predictions so far of each curve; the least used are dropped."""

    def __init__(self) -> None:
        self._lock, self._found = threading.Lock(), OrderedDict[Wanted, Predictions]()

    def get(self, wanted: Wanted) -> Predictions | None:
        with self._lock:
            if wanted in self._found:
                self._found.move_to_end(wanted)
            return self._found.get(wanted)

    def put(self, wanted: Wanted, seen: Predictions) -> None:
        with self._lock:
            if wanted not in self._found or len(self._found[wanted]) < len(seen):
                self._found[wanted] = seen
            if len(self._found) > _KEPT:
                self._found.popitem(last=False)


@st.cache_resource(show_spinner=False)
def _store() -> _Store:
    return _Store()


def wanted(checkpoint_id: str, attack: attacks.Attack, epsilons: Sequence[float], precision: Precision | None = None) -> Wanted:
    """The curve of a checkpoint under an attack, on the data and the file as they now stand."""
    checkpoint = load.find(checkpoint_id)
    changed, source = load.written(checkpoint), data.find(checkpoint.recipe.dataset)
    return Wanted(checkpoint_id, changed, source, attack, tuple(epsilons), precision or fastest_precision(pick_device().type))


def so_far(curve: Wanted, count: int) -> Predictions | None:
    """What is measured of the first `count` images, by whichever session."""
    seen = _store().get(curve)
    return None if seen is None else seen.first(count)


def grow(curves: Sequence[Wanted], count: int, seconds: float) -> bool:
    """Measure for about `seconds`, the shortest curve first, until all have `count` images; true when they do."""
    until = time.monotonic() + seconds
    sizes: dict[Wanted, int] = st.session_state.setdefault("piece sizes", {})
    while True:
        lengths = {curve: len(so_far(curve, count) or ()) for curve in curves}
        shortest = min(lengths, key=lambda curve: lengths[curve])
        if lengths[shortest] >= count:
            return True
        if time.monotonic() > until:
            return False
        # Small batches waste a machine: an iterative attack moves all its ε side by side, the others one after another.
        least = max(4, 128 // len(shortest.epsilons)) if getattr(shortest.attack, "steps", 1) > 1 else 100
        size = sizes.get(shortest, least)
        began = time.monotonic()
        piece = _piece(shortest, lengths[shortest], min(count, lengths[shortest] + size))
        # A piece takes about half the time there is, on this machine, for this model, as busy as it is now.
        pace = seconds / 2 / max(time.monotonic() - began, 1e-3)
        sizes[shortest] = max(least, min(1000, round(size * min(max(pace, 0.25), 3))))
        before = so_far(shortest, lengths[shortest])
        _store().put(shortest, piece if before is None else before + piece)


def _piece(curve: Wanted, start: int, stop: int) -> Predictions:
    """Predictions of the images from `start` to `stop`."""
    checkpoint = load.find(curve.checkpoint_id)
    images = load.dataset(checkpoint.recipe.dataset)[start:stop]
    parts = predictions(load.model(checkpoint), images, curve.attack, curve.epsilons, precision=curve.precision)
    return functools.reduce(operator.add, parts)
