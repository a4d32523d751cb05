"""What a model looks at: its input gradient, and targeted attacks with a large budget.

The gradients of adversarially trained models are easier to read (Tsipras et al. 2019, arXiv 1805.12152), and their attacked
images can begin to look like the target (Engstrom et al. 2019, arXiv 1906.00945).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcore.attacks import PGD, Norm, evaluating, input_gradient, probabilities
from advcore.data import Dataset
from advcore.images.encode import to_bytes

STEPS = 40
"""Gradient steps of a targeted attack with a large budget."""


@dataclass(frozen=True, eq=False)
class InputGradient:
    """`values`: the gradient of the cross-entropy with respect to an image, C×H×W, per unit of pixel space.

    `alignment` is |cos| of the angle between image and gradient, in [0, 1] (after Etmann et al. 2019, arXiv 1905.04172, who
    take the gradient of a logit and do not divide by the image's length); 0 for a gradient that is zero.
    """

    values: Tensor
    alignment: float

    @property
    def largest(self) -> float:
        """The largest magnitude of a value."""
        return float(self.values.abs().max())

    def picture(self, scale: float) -> Tensor:
        """The gradient around mid-grey, C×H×W in [0, 1]: 0 is mid-grey, ±`scale` and beyond white and black."""
        return (0.5 + self.values / (2 * scale if scale else 1)).clamp(0, 1)


def input_gradient_at(model: nn.Module, image: Tensor, label: int) -> InputGradient:
    """The gradient of the loss of `label` at one image, 1×C×H×W in [0, 1]."""
    with evaluating(model):
        gradient = input_gradient(model, image, torch.tensor([label], device=image.device))[0]
    both = [values.flatten().double() for values in (image[0], gradient)]
    length = both[0].norm() * both[1].norm()
    return InputGradient(gradient.cpu(), float((both[0] @ both[1]).abs() / length) if length else 0.0)


def far_epsilons(info: Dataset, norm: Norm) -> tuple[float, ...]:
    """0 and four budgets, each twice the one before: up to 64/255 or the track's end (L∞), or 8 times the L2 budget."""
    largest = max(64 / 255, info.epsilon_max) if norm == "linf" else 8 * info.l2_budget
    return (0.0, *(largest / 2**halvings for halvings in (3, 2, 1, 0)))


@dataclass(frozen=True, eq=False)
class Film:
    """An image attacked toward class `target` with growing budgets: `frames` uint8 E×C×H×W, `shares` float32 E×K.

    `shares` are the model's probabilities for the images before they were rounded to 8 bits.
    """

    epsilons: tuple[float, ...]
    frames: Tensor
    shares: Tensor
    target: int

    @property
    def reached_at(self) -> float | None:
        """The first ε at which the model answers the target, or None."""
        found = (self.shares.argmax(1) == self.target).nonzero().flatten().tolist()
        return self.epsilons[found[0]] if found else None


def film(
    model: nn.Module,
    image: Tensor,
    target: int,
    epsilons: Sequence[float],
    *,
    norm: Norm = "linf",
    steps: int = STEPS,
    index: int = 0,
) -> Iterator[Film]:
    """PGD toward `target` without a random start, from one image (1×C×H×W in [0, 1]) at one ε after another.

    ε is in `norm`, in pixel space. Each step yields the film so far.
    """
    attack = PGD(steps=steps, norm=norm, targeted=True, random_start=False)
    aim, place = torch.tensor([target], device=image.device), torch.tensor([index])
    frames, shares = [], []
    for epsilon in epsilons:
        attacked = attack.perturb(model, image, aim, epsilon, indices=place)
        frames.append(to_bytes(attacked).cpu())
        shares.append(probabilities(model, attacked).cpu())
        yield Film(tuple(epsilons[: len(frames)]), torch.cat(frames), torch.cat(shares), target)
