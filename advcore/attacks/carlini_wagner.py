"""Carlini & Wagner's L2 attack: the smallest change by optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcore.attacks.base import Norm, length, loss_gradient, option, per_image
from advcore.attacks.losses import margin
from advcore.attacks.smallest import SmallestAttack

_INSIDE = 0.999999  # keeps the inverse of tanh finite at 0 and 1


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(SmallestAttack):
    """Carlini & Wagner 2017 (arXiv 1608.04644), L2: Adam minimizes ‖change‖² + c · (the label's lead over the other logits).

    The image is written as a tanh, which keeps it within [0, 1]. A binary search over `searches` runs finds the weight c of
    each image.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)

    norm: Norm = option("l2", "the norm of ε", choices=("l2",))
    searches: int = option(9, "steps of the binary search over the weight", low=1, high=20)
    steps: int = option(200, "steps of each run", low=1, high=10_000)
    step_size: float = option(0.05, "learning rate of Adam", low=1e-6)
    confidence: float = option(0.0, "by how much the wrong logit must lead", low=0)
    weight: float = option(1e-3, "the first weight", low=1e-12)
    targeted: bool = False

    @property
    def passes(self) -> int:
        """Three for every step of every run."""
        return 3 * self.searches * self.steps

    def _closest(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            best_size = torch.where(self.fooled(model, images, model(images).float(), labels), 0.0, torch.inf)
        best = images.clone()
        low, high = torch.zeros_like(best_size), torch.full_like(best_size, torch.inf)
        weight = torch.full_like(best_size, self.weight)
        for _ in range(self.searches):
            found, size = self._run(model, images, labels, weight)
            better = size < best_size
            best, best_size = torch.where(per_image(better), found, best), torch.minimum(size, best_size)
            fooled = size.isfinite()
            high, low = torch.where(fooled, weight, high), torch.where(fooled, low, weight)
            weight = torch.where(high.isinf(), weight * 10, (low + high) / 2)
        return best

    def _run(self, model: nn.Module, images: Tensor, labels: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest image that fools along one run, and its distance: N×C×H×W and N, ∞ where there is none."""
        origin = (images * 2 - 1).mul(_INSIDE).atanh()
        change = torch.zeros_like(origin)
        adam = torch.optim.Adam([change], lr=self.step_size)
        best, best_size = images.clone(), torch.full_like(weight, torch.inf)
        for _ in range(self.steps):
            tanh = (origin + change).tanh()
            at = (tanh / _INSIDE / 2 + 0.5).clamp(0, 1)
            logits, _, gradient = loss_gradient(model, at, lambda out: weight * self._behind(out, labels).clamp(min=0))
            size = length(at - images).flatten().to(weight)
            better = self.fooled(model, at, logits, labels) & (self._behind(logits, labels) <= 0) & (size < best_size)
            best, best_size = torch.where(per_image(better), at, best), torch.where(better, size, best_size)
            change.grad = (gradient + 2 * (at - images)) * (1 - tanh**2) / 2
            adam.step()
        return best, best_size

    def _behind(self, logits: Tensor, labels: Tensor) -> Tensor:
        """By how much the leading wrong logit (targeted: the target's) misses the confidence it must have, float N."""
        return self.confidence - self.sign * margin(logits, labels)
