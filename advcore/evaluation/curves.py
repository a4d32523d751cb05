"""Accuracy under attack: curves over ε with their uncertainty, the smallest ε that fools, per class, confusion."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcore.attacks import Attack, halve_when_full
from advcore.data import LabeledImages
from advcore.device import Precision, fastest_precision, torch_dtype
from advcore.errors import AdvcoreError
from advcore.models.architectures import Normalize

# Two bf16 logits closer than this share of the largest are asked again in fp32. Of 36,000 answers of six models to clean and
# attacked images 64 changed with the precision, the widest apart by 0.007; what is asked again is 1 to 5 % of them.
_CLOSE = 0.02
_Z = 1.959963984540054  # the normal quantile of a two-sided 95 % interval


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval for the share `correct / total` (Wilson 1927); (0, 1) when nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = correct / total, _Z * _Z / total
    centre = (share + z2 / 2) / (1 + z2)
    half = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total)) / (1 + z2)
    # Rounding must not push a bound past the share itself: none right begins at 0, all right ends at 1.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


@dataclass(frozen=True)
class RobustnessCurve:
    """How many of `total` images the model gets right at each ε (L∞, pixel space). Curves over disjoint images add up."""

    epsilons: tuple[float, ...]
    correct: tuple[int, ...]
    total: int

    def __add__(self, other: RobustnessCurve) -> RobustnessCurve:
        if self.epsilons != other.epsilons:
            raise AdvcoreError("Two curves add only on the same ε grid; measure both on one.")
        counts = tuple(mine + theirs for mine, theirs in zip(self.correct, other.correct, strict=True))
        return RobustnessCurve(self.epsilons, counts, self.total + other.total)

    @property
    def accuracy(self) -> tuple[float, ...]:
        """The share of right answers at each ε, in [0, 1]."""
        return tuple(count / self.total if self.total else 0.0 for count in self.correct)

    @property
    def interval(self) -> tuple[tuple[float, float], ...]:
        """Wilson's 95 % interval of the accuracy at each ε."""
        return tuple(wilson_interval(count, self.total) for count in self.correct)

    def points(self) -> list[dict[str, float]]:
        """One record an ε: epsilon, correct, accuracy, low, high."""
        rows = zip(self.epsilons, self.correct, self.accuracy, self.interval, strict=True)
        return [
            {"epsilon": epsilon, "correct": correct, "accuracy": accuracy, "low": low, "high": high}
            for epsilon, correct, accuracy, (low, high) in rows
        ]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model answered: `predicted` int64 E×N over E values of ε and N images, beside the true `labels` int64 N.

    Predictions of disjoint images add up; everything a page shows of an attack is counted from them.
    """

    epsilons: tuple[float, ...]
    labels: Tensor
    predicted: Tensor

    def __add__(self, other: Predictions) -> Predictions:
        if self.epsilons != other.epsilons:
            raise AdvcoreError("Two sets of predictions add only on the same ε grid; measure both on one.")
        labels, predicted = torch.cat([self.labels, other.labels]), torch.cat([self.predicted, other.predicted], 1)
        return Predictions(self.epsilons, labels, predicted)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Predictions:
        """The same over the first `count` images only."""
        return Predictions(self.epsilons, self.labels[:count], self.predicted[:, :count])

    @property
    def curve(self) -> RobustnessCurve:
        """The right answers at each ε."""
        counts = (self.predicted == self.labels).sum(1).tolist()
        return RobustnessCurve(self.epsilons, tuple(counts), len(self))

    def smallest_epsilon(self) -> Tensor:
        """Per image, the first ε of the grid at which the model is wrong, float64 N; ∞ where it is right at every one."""
        return first_epsilon(self.epsilons, self.predicted != self.labels)

    def confusion(self, epsilon: float, classes: int) -> Tensor:
        """Counts at one ε of the grid, int64 K×K: row = true class, column = answer."""
        answers = self.predicted[self._index(epsilon)]
        return torch.bincount(self.labels * classes + answers, minlength=classes * classes).view(classes, classes)

    def per_class(self, epsilon: float, classes: int) -> list[tuple[int, int]]:
        """(right, all) for each true class at one ε of the grid."""
        counts = self.confusion(epsilon, classes)
        return list(zip(counts.diagonal().tolist(), counts.sum(1).tolist(), strict=True))

    def _index(self, epsilon: float) -> int:
        if epsilon not in self.epsilons:
            raise AdvcoreError(f"ε = {epsilon} was not measured; choose one of the grid.")
        return self.epsilons.index(epsilon)


def first_epsilon(epsilons: Sequence[float], fooled: Tensor) -> Tensor:
    """The first ε at which each column of `fooled` (bool E×N, rows in the order of `epsilons`) is true; ∞ if none."""
    grid = torch.tensor([*epsilons, math.inf], dtype=torch.float64)
    # argmax finds the first maximum; the row of ones appended stands for "never".
    padded = torch.cat([fooled, torch.ones(1, fooled.shape[1], dtype=torch.bool)]).byte()
    return grid[padded.argmax(0)]


class _Cast(nn.Module):
    """Rounds what the normalization gives to the network's precision: images themselves stay float32."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        return images.to(self.dtype)


def prepared(model: nn.Module, device: torch.device, precision: Precision) -> nn.Module:
    """A copy of the model for fast evaluation on `device`: eval mode, channels last, frozen, in `precision`.

    bf16 needs the model's first layer to be its normalization, which stays in fp32; any other model stays in fp32 whole.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False).to(device)
    if precision == "bf16" and isinstance(model, nn.Sequential) and isinstance(model[0], Normalize):
        dtype = torch_dtype(precision)
        model = nn.Sequential(model[0], _Cast(dtype), *(layer.to(dtype) for layer in model[1:]))
    return model.to(memory_format=torch.channels_last)


def _batch_size(shape: tuple[int, int, int], device: torch.device) -> int:
    """On a CPU, what stays within its caches (measured in benchmarks/curve_vs_peers.py); on a GPU, what fills it."""
    most, values = (100, 2_000_000) if device.type == "cpu" else (1000, 20_000_000)
    return max(4, min(most, values // math.prod(shape)))


def predictions(
    model: nn.Module,
    data: LabeledImages,
    attack: Attack,
    epsilons: Sequence[float],
    *,
    targets: Tensor | None = None,
    device: torch.device | None = None,
    precision: Precision | None = None,
    batch_size: int | None = None,
) -> Iterator[Predictions]:
    """What the model answers to the attacked images, one batch after another (disjoint; add them up).

    `epsilons` are L∞ in pixel space; `targets` (int64 N) are the wanted classes of a targeted attack. Without `device` the
    model's own is taken, without `precision` the fastest one there. Raises AttackError for an ε outside [0, 1].

    `precision` is that of the answers; bf16 ones that are a close call are made in fp32, so that they are fp32's. The attack is
    always made in fp32: enough signs of a bf16 gradient are wrong to weaken it (FGSM at ε = 0.3 on digits/digits_cnn-fgsm-0.2
    by 1.7 points), and FGSM needs but one for all its ε.
    """
    device = device or next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    precision = precision or fastest_precision(device.type)
    exact = prepared(model, device, "fp32")
    fast = exact if precision == "fp32" else prepared(model, device, precision)
    batch_size = batch_size or _batch_size(data.shape, device)
    # A GPU gets several ε in one launch, a CPU one at a time: there a larger batch only leaves the cache.
    group = 1 if device.type == "cpu" else 16
    grid = tuple(float(epsilon) for epsilon in epsilons)
    for start in range(0, len(data), batch_size):
        part = data[start : start + batch_size]
        images = part.pixels(device).contiguous(memory_format=torch.channels_last)
        aim = part.labels if targets is None else targets[start : start + batch_size]
        attacked = attack.sweep(exact, images, aim.to(device), grid, indices=part.indices)
        answers = _answers(fast, exact, _grouped(attacked, group))
        yield Predictions(grid, part.labels, answers.view(len(grid), len(part)).cpu())


def _grouped(tensors: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """Up to `size` successive tensors joined along the batch."""
    held: list[Tensor] = []
    for tensor in tensors:
        held.append(tensor)
        if len(held) == size:
            yield torch.cat(held) if size > 1 else tensor
            held = []
    if held:
        yield torch.cat(held)


def _answers(fast: nn.Module, exact: nn.Module, batches: Iterator[Tensor]) -> Tensor:
    """The predicted class of each image: `fast`'s, and where that is a close call, `exact`'s, asked of all together."""
    answers, unsure, doubts = [], [], []
    for images in batches:
        logits = _logits(fast, images)
        best = logits.topk(min(2, logits.shape[1]), 1)
        answers.append(best.indices[:, 0])
        if fast is not exact:
            unsure.append(best.values[:, 0] - best.values[:, -1] < _CLOSE * logits.abs().amax(1))
            doubts.append(images[unsure[-1]])
    found = torch.cat(answers)
    if unsure and len(again := torch.cat(doubts)):
        found[torch.cat(unsure)] = _logits(exact, again).argmax(1)
    return found


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    # Around the model alone: an attack that is still under way needs its gradients.
    with torch.no_grad():
        return halve_when_full(lambda part: model(part).float(), images)


def robustness_curve(
    model: nn.Module, data: LabeledImages, attack: Attack, epsilons: Sequence[float], **options: object
) -> Iterator[RobustnessCurve]:
    """Growing curves: the first after one batch, the last over all images. `options` as for `predictions`."""
    total: RobustnessCurve | None = None
    for part in predictions(model, data, attack, epsilons, **options):  # type: ignore[arg-type]
        total = part.curve if total is None else total + part.curve
        yield total


def accuracy(model: nn.Module, data: LabeledImages, attack: Attack, epsilon: float, **options: object) -> float:
    """The share of images, in [0, 1], that the model gets right under `attack` at one ε."""
    *_, curve = robustness_curve(model, data, attack, [epsilon], **options)
    return curve.accuracy[0]
