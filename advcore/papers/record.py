"""The record of a measurement: counts and their origin, read and written as JSON, and quantities computed from them."""

from __future__ import annotations

import base64
import functools
import json
import math
import os
import statistics
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from advcore.device import Precision
from advcore.errors import AdvcoreError
from advcore.evaluation.interval import wilson_interval
from advcore.files import write_whole

PRECISION: Precision = "fp32"  # as the headers' figures: the same model shows the same number on every page
FIRST = 1000
"""For how many of the first images a measurement stores which ones were right."""
# Student's t for a two-sided 95 % interval, by degrees of freedom; more seeds than six take the last.
_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571}


@dataclass(frozen=True, order=True)
class Accuracy:
    """An accuracy to measure: of a model under an attack. ε is L∞ in pixel space, of C&W the L2 budget; clean is ε = 0."""

    model: str
    attack: str = "FGSM"
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", round(self.epsilon, 6))

    @property
    def dataset(self) -> str:
        """The dataset of its model."""
        return self.model.split("/")[0]


Sum = Mapping[Accuracy, float]
"""A weighted sum of accuracies, for example `{clean: 1, FGSM: −1}` for a drop."""


def add(*weighted: tuple[float, Sum]) -> Sum:
    """The sum of weighted sums: each accuracy stands in it once, with its whole weight."""
    total: dict[Accuracy, float] = {}
    for weight, of in weighted:
        for part, own in of.items():
            total[part] = total.get(part, 0.0) + weight * own
    return {part: weight for part, weight in total.items() if weight}


@dataclass(frozen=True)
class Measurement:
    """`right` of the first `images` test images; `bits` (base64) says which of the first thousand."""

    model: str
    attack: str
    epsilon: float
    seed: int
    images: int
    right: int
    bits: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.images or not self.images:
            raise ValueError(f"{self.right} of {self.images} images right")

    @property
    def share(self) -> float:
        """The accuracy, in [0, 1]."""
        return self.right / self.images

    @functools.cached_property
    def first(self) -> np.ndarray:
        """Which of the first thousand images were right, bool; empty where the record does not say."""
        packed = np.frombuffer(base64.b64decode(self.bits), np.uint8)
        return np.unpackbits(packed, count=min(self.images, FIRST) if self.bits else 0).astype(bool)


def packed(right: np.ndarray) -> str:
    """Which of the first thousand images were right (bool N), as a Measurement keeps it."""
    return base64.b64encode(np.packbits(right[:FIRST]).tobytes()).decode()


@dataclass(frozen=True)
class Record:
    """The measurements for a study or a question, and their origin. `missing` says why a model was not measured."""

    key: str
    command: str
    date: str
    device: str
    precision: str
    versions: dict[str, str]
    seconds: float
    missing: dict[str, str]
    measured: tuple[Measurement, ...]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the measured models."""
        return sorted({item.seed for item in self.measured})

    @property
    def images(self) -> dict[str, int]:
        """On how many images each attack was measured; of several datasets, on how many at most."""
        return {item.attack: item.images for item in sorted(self.measured, key=lambda item: item.images)}

    def to_json(self) -> str:
        """The record with one measurement a line, so that a difference between two of them can be read."""
        head = {name: value for name, value in asdict(self).items() if name != "measured"}
        head |= {"seeds": self.seeds, "images": self.images}
        lines = [f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
        inside = ",\n".join(f"    {json.dumps(asdict(item), ensure_ascii=False)}" for item in self.measured)
        return "{\n" + ",\n".join([*lines, f'  "measured": [\n{inside}\n  ]']) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """The record in a JSON text; raises AdvcoreError when it is damaged."""
        try:
            values = json.loads(text)
            measured = tuple(Measurement(**row) for row in values["measured"])
            return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name != "measured"}, measured=measured)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise AdvcoreError(
                f"A record of measurements is damaged ({str(error)[:80]}); measure again with `python -m advcore papers run`."
            ) from error

    def find(self, of: Accuracy, seed: int = 0) -> Measurement | None:
        """The measurement of an accuracy, or None."""
        return self._found.get((of, seed))

    @functools.cached_property
    def _found(self) -> dict[tuple[Accuracy, int], Measurement]:
        return {(Accuracy(item.model, item.attack, item.epsilon), item.seed): item for item in self.measured}

    def curve(self, model: str, attack: str) -> list[Measurement]:
        """The measurements of a model under an attack with the first seed, by rising ε; ε = 0 is the clean accuracy."""
        seed = min(self.seeds, default=0)
        found = [item for item in self.measured if (item.model, item.attack, item.seed) == (model, attack, seed)]
        clean = self.find(Accuracy(model), seed)
        return sorted([*found, *([clean] if clean and attack != "FGSM" else [])], key=lambda item: item.epsilon)


# --- the files -----------------------------------------------------------------------------------------------------------


def folder() -> Path:
    """Where the records are: `$ADVCORE_RECORDED`, else `recorded/` beside this file."""
    return Path(os.environ.get("ADVCORE_RECORDED") or Path(__file__).resolve().parent / "recorded")


def read(key: str) -> Record | None:
    """The record of a study or question, or None; raises AdvcoreError when the file is damaged."""
    path = folder() / f"{key}.json"
    return Record.from_json(path.read_text(encoding="utf-8")) if path.exists() else None


def write(record: Record) -> Path:
    """Replace the record of that key; returns its path."""
    path = folder() / f"{record.key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, record.to_json())
    return path


def replaced(old: Record, new: Record, models: Collection[str]) -> Record:
    """The old record with the new measurements of `models` in the place of its own; raises AdvcoreError across precisions."""
    if old.precision != new.precision:
        raise AdvcoreError(f"The record of {old.key} is in {old.precision}; measure all of it again, or in that precision.")
    kept = tuple(item for item in old.measured if item.model not in models)
    missing = {model: why for model, why in old.missing.items() if model not in models} | new.missing
    return replace(new, missing=missing, measured=(*kept, *new.measured), seconds=round(old.seconds + new.seconds, 1))


# --- quantities ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """A measured quantity in percent (a drop: in points), the mean over the seeds, with its 95 % interval.

    The interval covers the choice of test images and, from two seeds on, the choice of seeds. `spread` is the standard
    deviation over the seeds; `images` is the smallest number of images behind it.
    """

    percent: float
    low: float
    high: float
    spread: float | None
    seeds: int
    images: int


def value(record: Record | None, of: Sum) -> Value | None:
    """A sum of accuracies, measured; None when a part of it was not."""
    seeds = [[(weight, record.find(part, seed)) for part, weight in of.items()] for seed in record.seeds] if record else []
    whole = [[(weight, item) for weight, item in parts if item] for parts in seeds if all(item for _, item in parts)]
    if not whole:
        return None
    each = [100 * sum(weight * item.share for weight, item in parts) for parts in whole]
    mean, images = statistics.mean(each), min(item.images for parts in whole for _, item in parts)
    spread = statistics.stdev(each) if len(each) > 1 else None
    by_seed = _T.get(len(each) - 1, _T[5]) * spread / math.sqrt(len(each)) if spread is not None else 0.0
    if list(of.values()) == [1.0]:  # an accuracy, which lies between 0 and 100
        low, high = (100 * end for end in wilson_interval(round(mean * images / 100), images))
        low, high = max(0.0, mean - math.hypot(mean - low, by_seed)), min(100.0, mean + math.hypot(high - mean, by_seed))
    else:
        # The seeds share their test images: more seeds do not lessen this part.
        half = math.hypot(196 * math.sqrt(statistics.mean(_variance(parts) for parts in whole)), by_seed)
        low, high = mean - half, mean + half
    return Value(mean, low, high, spread, len(each), images)


def _variance(parts: list[tuple[float, Measurement]]) -> float:
    """The sampling variance of a weighted sum of shares: paired where they are of the same test images."""
    total = sum(
        weight * other * _covariance(one, two, weight * other > 0)
        for weight, one in parts
        for other, two in parts
        if one.model.split("/")[0] == two.model.split("/")[0]
    )
    return max(total, 0.0)


def _covariance(one: Measurement, two: Measurement, same_sign: bool) -> float:
    """The covariance of two shares measured on the first images of one test split.

    Which images were right in both decides it (as in McNemar's test). Where a record does not say which, the covariance is
    taken that makes the interval widest (the Fréchet bounds).
    """
    p, q = one.share, two.share
    most = max(one.images, two.images)
    if one == two:
        return p * (1 - p) / most
    count = min(len(one.first), len(two.first))
    if count:
        first, second = one.first[:count], two.first[:count]
        if first.all() or second.all() or not (first.any() and second.any()):
            return 0.0
        return float(np.corrcoef(first, second)[0, 1]) * math.sqrt(p * (1 - p) * q * (1 - q)) / most
    return ((min(p, q) if same_sign else max(0.0, p + q - 1)) - p * q) / most
