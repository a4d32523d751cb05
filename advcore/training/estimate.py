"""How long a recipe will take on this machine, told from a second or two of its own steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from advcore import data
from advcore.attacks import input_gradient, predict
from advcore.data import readers
from advcore.device import Precision, describe, fastest_precision, keep_freed_memory, pick_device
from advcore.evaluation.curves import prepared
from advcore.evaluation.figures import PGD_IMAGES
from advcore.recipe import Recipe
from advcore.training.loop import Trainer, initial_model
from advcore.training.watch import EVALUATION_STEPS, trained_on

START_SECONDS = 4.0
"""A process of its own: Python, torch, the first step."""
_TRIAL_SECONDS = 0.8
_SAMPLE = 512


@dataclass(frozen=True)
class Estimate:
    """Seconds a run will take, in its parts: starting and loading, steps, watching held-out images, the final figures."""

    start: float
    training: float
    watching: float
    figures: float
    steps: int
    device: str

    @property
    def seconds(self) -> float:
        return self.start + self.training + self.watching + self.figures

    @property
    def sentence(self) -> str:
        """The whole and its parts, for people."""
        parts = (
            (f"{self.steps:,} training steps", self.training),
            ("watching the accuracies", self.watching),
            ("final figures on the test images", self.figures),
            ("starting", self.start),
        )
        told = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts if seconds >= 0.5)
        return f"About {duration(self.seconds)} on {self.device}: {told}."


def duration(seconds: float) -> str:
    """Seconds as people say them: `8 s`, `3 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def estimate(recipe: Recipe, *, device: torch.device | None = None, precision: Precision | None = None) -> Estimate:
    """Time a few steps of the recipe on a few of its images, in about two seconds, and reckon the rest from them.

    Raises as `training.train` does for a recipe that cannot be carried out.
    """
    keep_freed_memory()
    device = device or pick_device()
    precision = precision or fastest_precision(device.type)
    data.load(recipe.dataset, "train", limit=1)  # imports what reads the files
    began = time.perf_counter()
    few = data.load(recipe.dataset, "train", limit=min(_SAMPLE, recipe.images or _SAMPLE))
    loading = (time.perf_counter() - began) / len(few)
    tests = _count(recipe.dataset, "test")
    used = min(_count(recipe.dataset, "train"), recipe.images or math.inf)
    batch = min(recipe.batch_size, trained_on(int(used), recipe))
    steps = trained_on(int(used), recipe) // batch * recipe.epochs
    per_step = _step_seconds(recipe, batch, few, device, precision)
    answer, gradient = _pass_seconds(initial_model(recipe, few), few, device)
    watched = recipe.held_out * (3 * answer + (EVALUATION_STEPS + 1) * gradient)
    budgets = len({data.dataset(recipe.dataset).epsilon, recipe.epsilon} - {0.0})
    measured = tests * ((1 + budgets) * answer + gradient)
    measured += min(tests, PGD_IMAGES) * budgets * (20 * gradient + 2 * answer)
    return Estimate(
        start=START_SECONDS + loading * (used + tests),
        training=steps * per_step,
        watching=min(recipe.evaluations, steps) * watched,
        figures=measured,
        steps=steps,
        device=describe(device, precision),
    )


def _step_seconds(recipe: Recipe, batch: int, few: data.LabeledImages, device: torch.device, precision: Precision) -> float:
    """Seconds of a step on `batch` images; where that would take long, reckoned from two smaller batches."""
    small = min(2, batch)
    step = _trial(recipe, few, small, device, precision)
    first = _seconds(step)
    if first > _TRIAL_SECONDS:
        return first / small * batch
    little = _mean_seconds(step, _TRIAL_SECONDS / 8)
    size = max(small, min(batch, len(few), int(small * _TRIAL_SECONDS / little)))
    much = _mean_seconds(_trial(recipe, few, size, device, precision), _TRIAL_SECONDS)
    # A step costs something however few its images are: the optimizer changes every weight.
    each = max(0.0, much - little) / (size - small) if size > small else much / size
    return much + each * (batch - size)


def _trial(
    recipe: Recipe, few: data.LabeledImages, size: int, device: torch.device, precision: Precision
) -> Callable[[], object]:
    """A step of the recipe with `size` images, to be carried out time and again."""
    alone = replace(recipe, batch_size=size, images=None, held_out=0, evaluations=0, keep_best=False, epochs=10_000)
    trainer = Trainer(alone, few, device, precision, None)

    def step() -> None:
        float(trainer.advance())  # waits for the device

    return step


def _pass_seconds(model: nn.Module, few: data.LabeledImages, device: torch.device) -> tuple[float, float]:
    """Seconds an image costs to answer, and for the gradient of its loss."""
    model = prepared(model, device, "fp32")
    # A few images first; where those take no time, as many as the figures are measured on at a time.
    for part in (few[:2], few[:100]):
        images, labels = part.pixels(device).contiguous(memory_format=torch.channels_last), part.labels.to(device)
        works = (lambda: predict(model, images).cpu(), lambda: input_gradient(model, images, labels).cpu())  # noqa: B023
        answer, gradient = (_mean_seconds(work, _TRIAL_SECONDS / 4) / len(part) for work in works)
        if gradient * 100 > _TRIAL_SECONDS / 4:
            break
    return answer, gradient


def _mean_seconds(work: Callable[[], object], limit: float) -> float:
    """The mean over as many runs as fit into `limit` seconds; of several, the first does not count."""
    seconds = [_seconds(work)]
    while sum(seconds) + seconds[-1] < limit:
        seconds.append(_seconds(work))
    warm = seconds[1:] or seconds
    return sum(warm) / len(warm)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _count(name: str, split: data.Split) -> int:
    """How many images a split has, without decoding them."""
    source, info = data.find(name, split), data.dataset(name)
    if source.kind == "parquet":
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(file).num_rows for file in readers.parquet_files(data.data_root() / name, split))
    if source.kind == "folder":
        return sum(file.suffix.lower() in readers.IMAGE_SUFFIXES for file in source.path.rglob("*"))
    return info.sizes.get(split) or len(data.load(name, split))
