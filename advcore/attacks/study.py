"""Attacks that only the studies' figures need: FGSM with the studies' faults, and the distances of C&W."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcore.attacks.base import evaluating, loss_gradient
from advcore.attacks.fgsm import FGSM
from advcore.errors import AttackError


@dataclass(frozen=True, kw_only=True)
class UnclippedFGSM(FGSM):
    """FGSM that leaves [0, 1], as one gets it by adding ε to standardized inputs.

    What is wrong with it: its results are no images. A value below 0 or above 1 cannot be shown, saved or photographed.
    """

    def _sweep(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        epsilons: Sequence[float],
        indices: Tensor,
        start: Tensor | None,
    ) -> Iterator[Tensor]:
        direction = self.direction(model, images, labels)
        yield from (images + epsilon * direction for epsilon in epsilons)


@dataclass(frozen=True, kw_only=True)
class OutputGradientFGSM(FGSM):
    """One step along the sign of ∂ (sum of the model's probabilities) / ∂ images, as P4's listing takes it.

    What is wrong with it: the probabilities of any image sum to one, so that this gradient is zero. What is left are rounding
    errors, and their sign says nothing about the loss.
    """

    def _gradient(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return loss_gradient(model, images, lambda logits: logits.softmax(1).sum())[2]


def carlini_wagner(model: nn.Module, images: Tensor, labels: Tensor, *, searches: int = 5, steps: int = 200) -> Tensor:
    """The L2 distance in pixel space at which each image fools the model, float N; 0 where it is wrong, ∞ where none is found.

    Carlini & Wagner 2017 (arXiv 1608.04644) in foolbox's implementation, with `searches` binary search steps of `steps` steps
    each. `images` N×C×H×W in [0, 1], `labels` int64 N. Raises AttackError when foolbox is not installed.
    """
    try:
        import foolbox
    except ImportError as error:
        raise AttackError("C&W needs the package foolbox, which is not installed; `pip install foolbox`.") from error
    with evaluating(model):
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
        attack = foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=searches, steps=steps, stepsize=0.05)
        _, found, fooled = attack(wrapped, images, labels, epsilons=None)
        right = model(images).argmax(1) == labels
    distance = (found - images).flatten(1).norm(dim=1)
    distance = torch.where(fooled, distance, torch.full_like(distance, torch.inf))
    return torch.where(right, distance, torch.zeros_like(distance)).detach()
