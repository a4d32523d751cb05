"""FGSM: one step along the gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from advcore.attacks.base import Attack, Norm, evaluating, halve_when_full, input_gradient, predict, unit


@dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Fast Gradient Sign Method (Goodfellow et al. 2015, arXiv 1412.6572): one step of size ε along the gradient's sign.

    In L2 the step goes along the gradient itself, scaled to length ε. The gradient does not depend on ε: a sweep computes it
    once for all its ε.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    single_run: ClassVar[bool] = True

    targeted: bool = False

    def direction(
        self, model: nn.Module, images: Tensor, labels: Tensor | None = None, *, indices: Tensor | None = None
    ) -> Tensor:
        """The step's direction, N×C×H×W: −1, 0 or +1 for each value (L∞), or of length 1 (L2)."""
        with evaluating(model):
            labels = predict(model, images) if labels is None else labels
            return unit(halve_when_full(lambda *batch: self._gradient(model, *batch), images, labels), self.norm) * self.sign

    def _gradient(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return input_gradient(model, images, labels)
