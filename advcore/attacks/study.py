"""Attacks that only the studies' figures need: FGSM with the studies' faults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from advcore.attacks.base import Batch, loss_gradient
from advcore.attacks.fgsm import FGSM


@dataclass(frozen=True, kw_only=True)
class UnclippedFGSM(FGSM):
    """FGSM that leaves [0, 1], as one gets it by adding ε to standardized inputs.

    The fault: its results are not images, because their values lie below 0 or above 1.
    """

    def _sweep(self, model: nn.Module, batch: Batch, epsilons: Sequence[float]) -> Iterator[Tensor]:
        direction = self.direction(model, batch.images, batch.labels)
        yield from (batch.images + epsilon * direction for epsilon in epsilons)


@dataclass(frozen=True, kw_only=True)
class OutputGradientFGSM(FGSM):
    """One step along the sign of ∂ (sum of the model's probabilities) / ∂ images, as P4's listing takes it.

    The fault: the probabilities of any image sum to one, so this gradient is zero. Only rounding errors are left, and their
    sign says nothing about the loss.
    """

    def _gradient(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return loss_gradient(model, images, lambda logits: logits.softmax(1).sum())[2]
