"""Accuracy against ε: curves with their intervals, the smallest ε that fools each image, accuracy per class, confusion."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from advcore.attacks import Attack, FastSearch, Norm, halve_when_full
from advcore.data import LabeledImages
from advcore.device import Precision, fastest_precision, torch_dtype
from advcore.errors import AdvcoreError
from advcore.evaluation.interval import wilson_interval
from advcore.models.layers import Normalize

Reading = Literal["exact", "worst"]
READINGS: dict[Reading, str] = {"exact": "at exactly ε", "worst": "worst case up to ε"}
"""How a curve is read: one attack at exactly each ε, or counting an image as fooled at ε if it is fooled at any ε′ ≤ ε."""

# Images whose two largest bf16 logits are closer than this share of the largest are evaluated again in fp32: 1 to 5 % of them.
# Of 36,000 answers of six models to clean and attacked images 64 differed between the precisions, the widest apart by 0.007.
_CLOSE = 0.02
# A CPU's kernels give an image the same logits and gradients, bit for bit, in every batch of a multiple of this size.
_MULTIPLE = 8


@dataclass(frozen=True)
class RobustnessCurve:
    """How many of `total` images the model classifies correctly at each ε (pixel space, in `norm`), under one reading.

    Curves over disjoint images add up.
    """

    epsilons: tuple[float, ...]
    correct: tuple[int, ...]
    total: int
    norm: Norm = "linf"
    reading: Reading = "exact"

    def __add__(self, other: RobustnessCurve) -> RobustnessCurve:
        _check_alike(self, other)
        counts = tuple(mine + theirs for mine, theirs in zip(self.correct, other.correct, strict=True))
        return replace(self, correct=counts, total=self.total + other.total)

    @property
    def accuracy(self) -> tuple[float, ...]:
        """The share of right answers at each ε, in [0, 1]."""
        return tuple(count / self.total if self.total else 0.0 for count in self.correct)

    @property
    def interval(self) -> tuple[tuple[float, float], ...]:
        """Wilson's 95 % interval of the accuracy at each ε."""
        return tuple(wilson_interval(count, self.total) for count in self.correct)

    def points(self) -> list[dict[str, Any]]:
        """One record per ε: epsilon, norm, reading, correct, accuracy, low, high."""
        kind = {"norm": self.norm, "reading": self.reading}
        rows = zip(self.epsilons, self.correct, self.accuracy, self.interval, strict=True)
        return [
            {"epsilon": epsilon, **kind, "correct": correct, "accuracy": accuracy, "low": low, "high": high}
            for epsilon, correct, accuracy, (low, high) in rows
        ]


def _check_alike(mine: RobustnessCurve | Predictions, other: RobustnessCurve | Predictions) -> None:
    """Raise AdvcoreError unless both are on one ε grid, in one norm and under one reading."""
    if (mine.epsilons, mine.norm, mine.reading) != (other.epsilons, other.norm, other.reading):
        raise AdvcoreError("Two measurements add only on the same ε grid, in one norm and under one reading.")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model answered: `predicted` int64 E×N for E values of ε (pixel space, in `norm`) and N images of `labels` int64 N.

    Under the reading "worst", the answer at ε is the one at the smallest ε of the grid that fools the model, up to ε.
    Predictions of disjoint images add up; everything a page shows of an attack is counted from them.
    """

    epsilons: tuple[float, ...]
    labels: Tensor
    predicted: Tensor
    norm: Norm = "linf"
    reading: Reading = "exact"

    def __add__(self, other: Predictions) -> Predictions:
        _check_alike(self, other)
        labels, predicted = torch.cat([self.labels, other.labels]), torch.cat([self.predicted, other.predicted], 1)
        return replace(self, labels=labels, predicted=predicted)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Predictions:
        """The same over the first `count` images only."""
        return replace(self, labels=self.labels[:count], predicted=self.predicted[:, :count])

    @property
    def curve(self) -> RobustnessCurve:
        """The correct answers at each ε."""
        counts = (self.predicted == self.labels).sum(1).tolist()
        return RobustnessCurve(self.epsilons, tuple(counts), len(self), self.norm, self.reading)

    @property
    def fooled_at(self) -> Tensor:
        """Per image, the first place of the grid at which the model is wrong, int64 N; E where it is right at every one."""
        return first_true(self.predicted != self.labels)

    def smallest_epsilon(self) -> Tensor:
        """Per image, the first ε of the grid at which the model is wrong, float64 N; ∞ where it is right at every one.

        An upper bound of the smallest perturbation that fools the model: another attack may find a smaller one.
        """
        return first_epsilon(self.epsilons, self.predicted != self.labels)

    def worst_case(self) -> Predictions:
        """The same answers under the reading "worst": an image fooled at one ε stays fooled at every larger one.

        Raises AdvcoreError unless the grid ascends.
        """
        if list(self.epsilons) != sorted(self.epsilons):
            raise AdvcoreError("The worst case up to ε needs a grid of ε in ascending order.")
        rows = torch.arange(len(self.epsilons))[:, None].expand_as(self.predicted)
        return replace(self, predicted=self.predicted.gather(0, torch.minimum(rows, self.fooled_at)), reading="worst")

    def confusion(self, place: int, classes: int) -> Tensor:
        """Counts at the ε in that place of the grid, int64 K×K: row = true class, column = answer."""
        pairs = self.labels * classes + self.predicted[place]
        return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)

    def per_class(self, place: int, classes: int) -> list[tuple[int, int]]:
        """(correct, all) for each true class at the ε in that place of the grid."""
        counts = self.confusion(place, classes)
        return list(zip(counts.diagonal().tolist(), counts.sum(1).tolist(), strict=True))


def first_true(table: Tensor) -> Tensor:
    """The first row at which each column of `table` (bool E×N) is true, int64 N; E if none."""
    # argmax finds the first maximum; the row of ones appended stands for "never".
    return torch.cat([table, table.new_ones(1, table.shape[1])]).byte().argmax(0)


def first_epsilon(epsilons: Sequence[float], fooled: Tensor) -> Tensor:
    """The first ε at which each column of `fooled` (bool E×N, rows in the order of `epsilons`) is true; ∞ if none."""
    return torch.tensor([*epsilons, math.inf], dtype=torch.float64)[first_true(fooled.cpu())]


class _Cast(nn.Module):
    """Converts what the normalization returns to the network's precision: the images themselves stay float32."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        return images.to(self.dtype)


def prepared(model: nn.Module, device: torch.device, precision: Precision) -> nn.Module:
    """A copy of the model for fast evaluation on `device`: eval mode, channels last, frozen, in `precision`.

    In bf16 the normalization of the images and all batch norms stay in fp32. bf16 needs the model's first layer to be its
    normalization; any other model stays in fp32 as a whole.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False).to(device)
    if precision == "bf16" and isinstance(model, nn.Sequential) and isinstance(model[0], Normalize):
        dtype = torch_dtype(precision)
        for layer in model[1:].modules():
            if not isinstance(layer, nn.modules.batchnorm._BatchNorm):  # they take and return bf16 with statistics in fp32
                for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
                    tensor.data = tensor.data.to(dtype) if tensor.is_floating_point() else tensor.data
        model = nn.Sequential(model[0], _Cast(dtype), *model[1:])
    return model.to(memory_format=torch.channels_last)


class Padded(nn.Module):
    """The model with every batch filled up to a multiple of eight, so that an image's logits do not depend on its batch."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """The model's logits for the images, N×K."""
        missing = -len(images) % _MULTIPLE
        if not missing or not len(images):
            return self.model(images)
        filled = torch.cat([images, images[:1].detach().expand(missing, -1, -1, -1)])
        return self.model(filled.contiguous(memory_format=torch.channels_last))[: len(images)]


def copies(
    model: nn.Module, device: torch.device | None, precision: Precision | None
) -> tuple[torch.device, nn.Module, nn.Module]:
    """(device, the model in fp32, the model to search with), both `prepared` and `Padded`.

    Without `device` it is the model's own, without `precision` the fastest one there. In fp32 both models are the same object;
    else the second is a `FastSearch` in `precision`, whose exact model is the first.
    """
    device = device or next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    precision = precision or fastest_precision(device.type)
    exact = Padded(prepared(model, device, "fp32"))
    if precision == "fp32":
        return device, exact, exact
    return device, exact, FastSearch(Padded(prepared(model, device, precision)), exact)


def default_batch_size(shape: tuple[int, int, int], device: torch.device) -> int:
    """On a CPU, what stays within its caches (measured in benchmarks/curve_vs_peers.py); on a GPU, what fills it."""
    most, values = (96, 2_000_000) if device.type == "cpu" else (1000, 20_000_000)
    return max(_MULTIPLE, min(most, values // math.prod(shape)) // _MULTIPLE * _MULTIPLE)


def predictions(
    model: nn.Module,
    data: LabeledImages,
    attack: Attack,
    epsilons: Sequence[float],
    *,
    device: torch.device | None = None,
    precision: Precision | None = None,
    batch_size: int | None = None,
) -> Iterator[Predictions]:
    """What the model answers to the attacked images, one batch after another (disjoint; add them up).

    `epsilons` are in pixel space and in the attack's norm; the attack moves away from the images' own labels. Without `device`
    the model's own is taken, without `precision` the fastest one there. Raises AttackError for an ε out of range. On a CPU the
    answers do not depend on the batch size or on the order of the images.

    `precision` is that of the answers. Those in bf16 whose two best logits are close are computed again in fp32, so that they
    are nearly always fp32's. The attack itself is always made in fp32: enough signs of a bf16 gradient are wrong to weaken it
    (FGSM at ε = 0.3 on digits/digits_cnn-fgsm-0.2 by 1.7 points), and FGSM takes one gradient for all its ε.
    """
    device, exact, quick = copies(model, device, precision)
    batch_size = batch_size or default_batch_size(data.shape, device)
    # A GPU gets several ε in one launch, a CPU one at a time: there a larger batch only leaves the cache.
    group = 1 if device.type == "cpu" else 16
    grid = tuple(float(epsilon) for epsilon in epsilons)
    for start in range(0, len(data), batch_size):
        part = data[start : start + batch_size]
        images = part.pixels(device).contiguous(memory_format=torch.channels_last)
        attacked = attack.sweep(exact, images, part.labels.to(device), grid, indices=part.indices)
        answers = _answers(quick, exact, _grouped(attacked, group))
        yield Predictions(grid, part.labels, answers.view(len(grid), len(part)).cpu(), attack.norm)


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


def _answers(quick: nn.Module, exact: nn.Module, batches: Iterator[Tensor]) -> Tensor:
    """The predicted class of each image: that of `quick`, and of `exact` for all images whose two best logits are close."""
    answers, unsure, doubts = [], [], []
    for images in batches:
        logits = _logits(quick, images)
        best = logits.topk(min(2, logits.shape[1]), 1)
        answers.append(best.indices[:, 0])
        if quick is not exact:
            unsure.append(best.values[:, 0] - best.values[:, -1] < _CLOSE * logits.abs().amax(1))
            doubts.append(images[unsure[-1]])
    found = torch.cat(answers)
    if unsure and len(again := torch.cat(doubts)):
        found[torch.cat(unsure)] = _logits(exact, again).argmax(1)
    return found


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    # no_grad around the model alone: the attack is a generator, which still needs gradients for its next ε.
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
