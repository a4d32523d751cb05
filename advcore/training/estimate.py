"""How long a recipe will take on this machine, extrapolated from a second or two of its own steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from advcore import data
from advcore.attacks import input_gradient
from advcore.data import readers
from advcore.defenses import DEFENSES
from advcore.defenses.base import ATTACK_STEPS
from advcore.device import Precision, describe, fastest_precision, keep_freed_memory, pick_device
from advcore.evaluation.curves import prepared
from advcore.evaluation.figures import PGD_IMAGES
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES, parameter_count
from advcore.recipe import Recipe
from advcore.training import watch
from advcore.training.loop import Trainer, initial_model

START_SECONDS = 4.0
"""Starting a process: Python, torch, the first step."""
_TRIAL_SECONDS = 0.8
_SAMPLE = 512
_FORWARD = 1 / 3  # what a forward pass costs beside a gradient
_MOST_PASSES = 3  # gradients for each image in a step, those of an iterative attack left out: FGSM's, and of two batches
_MOST_WEIGHTS = 20_000_000  # of a network that is tried: with gradients and moments it takes four times its weights
_REFERENCE = "preact_resnet18"  # tried in the place of a very large network that has no smaller width
_FEW_ATTACK_STEPS = (2, 6)  # how many are tried of an attack that takes more


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
        """All parts together."""
        return self.start + self.training + self.watching + self.figures

    @property
    def sentence(self) -> str:
        """The whole and its parts, in words."""
        parts = (
            (f"{self.steps:,} training steps", self.training),
            ("watching the accuracies", self.watching),
            ("final figures on the test images", self.figures),
            ("starting", self.start),
        )
        told = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts if seconds >= 0.5)
        return f"About {duration(self.seconds)} on {self.device}: {told}."


def duration(seconds: float) -> str:
    """Seconds in words: `8 s`, `3 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def estimate(recipe: Recipe, *, device: torch.device | None = None, precision: Precision | None = None) -> Estimate:
    """Time a few steps of the recipe on a few of its images, in about two seconds, and extrapolate.

    Of an attack of many steps a few are timed, and a very large network is replaced by a smaller one and its time multiplied,
    so that an estimate takes seconds and little memory.
    Raises as `loop.train` does for a recipe that cannot be carried out.
    """
    device = device or pick_device()
    precision = precision or fastest_precision(device.type)
    data.load(recipe.dataset, "train", limit=1)  # imports what reads the files
    began = time.perf_counter()
    few = data.load(recipe.dataset, "train", limit=min(_SAMPLE, recipe.images or _SAMPLE))
    loading = (time.perf_counter() - began) / len(few)
    tests, used = _count(recipe.dataset, "test"), min(_count(recipe.dataset, "train"), recipe.images or math.inf)
    batch = min(recipe.batch_size, watch.trained_on(int(used), recipe))
    steps = watch.trained_on(int(used), recipe) // batch * recipe.epochs
    tried, times = _tried(recipe, few)
    try:
        keep_freed_memory()
        gradient = times * _gradient_seconds(initial_model(tried, few), few, device)
        training = sum(part.epochs * _step_seconds(part, batch, few, device, precision) for part in tried.parts)
    finally:
        keep_freed_memory(False)  # the server, where this runs, trains nothing itself
    budgets = len({data.dataset(recipe.dataset).epsilon, recipe.epsilon} - {0.0})
    measured = tests * (1 + (1 + budgets) * _FORWARD) + min(tests, PGD_IMAGES) * budgets * (20 + 2 * _FORWARD)
    return Estimate(
        start=START_SECONDS + loading * (used + tests),
        training=times * training * steps / recipe.epochs,
        watching=min(recipe.evaluations, steps) * recipe.held_out * _watching_passes() * gradient,
        figures=measured * gradient,
        steps=steps,
        device=describe(device, precision),
    )


def _tried(recipe: Recipe, few: data.LabeledImages) -> tuple[Recipe, float]:
    """The recipe that is timed, and how many times longer the given one takes by its multiplications."""
    network = _unfilled(recipe, few)
    if parameter_count(network) <= _MOST_WEIGHTS:
        return recipe, 1.0
    resizable = ARCHITECTURES[recipe.architecture].default_width is not None
    architecture = recipe.architecture if resizable else _REFERENCE
    small = replace(recipe, architecture=architecture, width=None, warm_start=None)
    image = torch.empty(1, *few.shape, device="meta")
    return small, operations(network, image) / operations(_unfilled(small, few), image)


def _unfilled(recipe: Recipe, few: data.LabeledImages) -> nn.Module:
    """The recipe's network without memory for its weights."""
    with torch.device("meta"):
        return checkpoints.build(recipe, few.shape, len(few.class_names))


def operations(network: nn.Module, image: torch.Tensor) -> int:
    """The floating-point operations of the network's convolutions and linear layers on one image 1×C×H×W, at least 1.

    Both may be on the meta device. Forward hooks count: no other thread may use the network meanwhile.
    """
    counts = [1]

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        counts.append(2 * output.numel() * layer.weight[0].numel())

    # Not torch's FlopCounterMode: it hooks the networks of all threads.
    hooks = [layer.register_forward_hook(count) for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    network(image)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def work(recipe: Recipe) -> tuple[float, int]:
    """About how many floating-point operations a training takes, and how many weights its network has; no step is made.

    Raises DataError where the images are missing, ModelError where no network can be built for them.
    """
    few = data.load(recipe.dataset, "train", limit=1)
    network = _unfilled(recipe, few)
    used = int(min(_count(recipe.dataset, "train"), recipe.images or math.inf))
    passes = _MOST_PASSES + (recipe.attack_steps if ATTACK_STEPS in DEFENSES[recipe.defense].settings else 0)
    steps = math.ceil(used / recipe.batch_size) * recipe.epochs
    watched = min(recipe.evaluations, steps) * min(recipe.held_out, used) * _watching_passes()
    gradient = operations(network, torch.empty(1, *few.shape, device="meta")) / _FORWARD
    return (used * recipe.epochs * passes + watched) * gradient, parameter_count(network)


def _watching_passes() -> float:
    """The cost of evaluating a held-out image, in gradients: FGSM, PGD, and a prediction for each accuracy."""
    return 1 + watch.EVALUATION_STEPS + 3 * _FORWARD


def _step_seconds(recipe: Recipe, batch: int, few: data.LabeledImages, device: torch.device, precision: Precision) -> float:
    """Seconds of a step on `batch` images, extrapolated from few steps of its attack where these are many."""
    first, second = _FEW_ATTACK_STEPS
    if ATTACK_STEPS not in DEFENSES[recipe.defense].settings or recipe.attack_steps <= second:
        return _batch_seconds(recipe, batch, few, device, precision)
    fewer, more = (
        _batch_seconds(replace(recipe, attack_steps=steps), batch, few, device, precision) for steps in _FEW_ATTACK_STEPS
    )
    return more + max(0.0, more - fewer) / (second - first) * (recipe.attack_steps - second)


def _batch_seconds(recipe: Recipe, batch: int, few: data.LabeledImages, device: torch.device, precision: Precision) -> float:
    """Seconds of a step on `batch` images, extrapolated from a small and, where that is quick, a larger batch."""

    def trial(size: int, limit: float) -> float:
        alone = replace(recipe, batch_size=size, images=None, held_out=0, evaluations=0, keep_best=False, epochs=10_000)
        trainer = Trainer(alone, few, device, precision, None)
        return _mean_seconds(lambda: float(trainer.advance()), limit)  # float() waits for the device

    small = min(2, batch)
    little = trial(small, _TRIAL_SECONDS / 8)
    size = max(small, min(batch, len(few), int(small * _TRIAL_SECONDS / little)))
    if size == small:
        return little / small * batch
    much = trial(size, _TRIAL_SECONDS)
    # A step has a fixed cost even with few images: the optimizer changes every weight.
    return much + max(0.0, much - little) / (size - small) * (batch - size)


def _gradient_seconds(model: nn.Module, few: data.LabeledImages, device: torch.device) -> float:
    """Seconds that the gradient of the loss takes for one image of many at a time, forward pass included."""
    model, limit = prepared(model, device, "fp32"), _TRIAL_SECONDS / 4

    def trial(count: int) -> float:
        part = few[:count]
        images, labels = part.pixels(device).contiguous(memory_format=torch.channels_last), part.labels.to(device)
        return _mean_seconds(lambda: input_gradient(model, images, labels).cpu(), limit)

    # A call has a fixed cost, so as many as are quick: at most as many as are measured at a time.
    little = trial(small := min(2, len(few)))
    count = min(100, len(few), int(small * limit / little))
    return trial(count) / count if count > small else little / small


def _mean_seconds(work: Callable[[], object], limit: float) -> float:
    """The mean over as many runs as fit into `limit` seconds; of several, the first does not count."""
    seconds: list[float] = []
    while not seconds or sum(seconds) + seconds[-1] < limit:
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    counted = seconds[1:] or seconds
    return sum(counted) / len(counted)


def _count(name: str, split: data.Split) -> int:
    """How many images a split has, without decoding them."""
    source, info = data.find(name, split), data.dataset(name)
    if source.kind == "parquet":
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(file).num_rows for file in readers.parquet_files(data.data_root() / name, split))
    if source.kind == "folder":
        count = sum(file.suffix.lower() in readers.IMAGE_SUFFIXES for file in source.path.rglob("*"))
        return min(count, info.folder_limit or count)
    return info.sizes.get(split) or len(data.load(name, split))
