"""FGSM: one step along the sign of the gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcore.attacks.base import Attack, clip, evaluating, halve_when_full, input_gradient


@dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Fast Gradient Sign Method (Goodfellow et al. 2015, arXiv 1412.6572): one step of size ε along the gradient's sign.

    The gradient does not depend on ε, so that a sweep takes one for all its ε.
    """

    targeted: bool = False

    def direction(self, model: nn.Module, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The step's direction, −1, 0 or +1 for each value: N×C×H×W. Attacked = clip(images + ε·direction)."""
        with evaluating(model):
            return self._direction(model, images, self._labels(model, images, labels))

    def _direction(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        gradient = halve_when_full(lambda *batch: input_gradient(model, *batch), images, labels)
        return gradient.sign_().mul_(self.sign)

    def _sweep(self, model: nn.Module, images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> Iterator[Tensor]:
        direction = self._direction(model, images, labels) if any(epsilons) else torch.zeros_like(images)
        for epsilon in epsilons:
            yield images.clone() if epsilon == 0 else clip(images, direction, epsilon)
