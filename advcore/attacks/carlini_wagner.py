"""Carlini & Wagner's L2 attack: the smallest change by optimization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcore.attacks.base import Norm, length, loss_gradient, option
from advcore.attacks.losses import margin
from advcore.attacks.smallest import SmallestAttack

_INSIDE = 0.999999  # keeps the inverse of tanh finite at 0 and 1
_FALLING = 0.9999  # of the objective some steps before
_BETA1, _BETA2 = 0.9, 0.999  # of Adam


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

    def _closest(self, model: nn.Module, images: Tensor, labels: Tensor, enough: float = 0.0) -> Tensor:
        with torch.no_grad():
            clean_fooled = self.fooled(model, images, model(images).float(), labels)
        best, best_size = images.clone(), torch.where(clean_fooled, 0.0, torch.inf).double()
        weight = torch.full_like(best_size, self.weight, dtype=images.dtype)
        low, high = torch.zeros_like(weight), torch.full_like(weight, torch.inf)
        for _ in range(self.searches):
            held = (best_size > enough).nonzero()[:, 0]
            if not len(held):
                break
            found, size = self._run(model, images[held], labels[held], weight[held], enough)
            better, fooled = size < best_size[held], size.isfinite()
            best[held[better]], best_size[held[better]] = found[better], size[better]
            high[held[fooled]], low[held[~fooled]] = weight[held[fooled]], weight[held[~fooled]]
            weight = torch.where(high.isinf(), weight * 10, (low + high) / 2)
        return best

    def _run(self, model: nn.Module, images: Tensor, labels: Tensor, weight: Tensor, enough: float) -> tuple[Tensor, Tensor]:
        """The nearest image that fools along one run, and its distance: N×C×H×W and float64 N, ∞ where there is none.

        An image leaves the run when it fools at a distance of at most `enough`, or, as in the authors' code, when its objective
        has not fallen during a tenth of the steps (at least 20).
        """
        best, best_size = images.clone(), torch.full_like(weight, torch.inf, dtype=torch.float64)
        where, origin = torch.arange(len(images), device=images.device), (images * 2 - 1).mul(_INSIDE).atanh()
        change, mean, square = torch.zeros(3, *images.shape, dtype=images.dtype, device=images.device)
        before, pause = torch.full_like(best_size, torch.inf), max(20, self.steps // 10)
        for step in range(1, self.steps + 1):
            tanh = (origin + change).tanh()
            at = (tanh / _INSIDE / 2 + 0.5).clamp(0, 1)
            logits, cost, gradient = loss_gradient(model, at, self._cost(labels, weight))
            size = length(at - images).flatten()
            better = self.fooled(model, at, logits, labels) & (self._behind(logits, labels) <= 0) & (size < best_size[where])
            best[where[better]], best_size[where[better]] = at[better], size[better]
            gradient = (gradient + 2 * (at - images)) * (1 - tanh**2) / 2
            held = best_size[where] > enough
            if step % pause == 0:
                objective = size**2 + cost
                held, before = held & (objective < before * _FALLING), objective
            if not held.all():
                where, images, labels, weight, origin = where[held], images[held], labels[held], weight[held], origin[held]
                change, mean, square, gradient = change[held], mean[held], square[held], gradient[held]
                before = before[held]
                if not len(where):
                    break
            mean, square = mean.lerp(gradient, 1 - _BETA1), square.lerp(gradient**2, 1 - _BETA2)  # Adam
            rate = self.step_size / (1 - _BETA1**step)
            change = change - rate * mean / ((square / (1 - _BETA2**step)).sqrt() + 1e-8)
        return best, best_size

    def _cost(self, labels: Tensor, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """What logits cost beside the size of the change: the weight times how far they are from fooling."""
        return lambda logits: weight * self._behind(logits, labels).clamp(min=0)

    def _behind(self, logits: Tensor, labels: Tensor) -> Tensor:
        """By how much the leading wrong logit (targeted: the target's) misses the confidence it must have, float N."""
        return self.confidence - self.sign * margin(logits, labels)
