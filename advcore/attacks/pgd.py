"""PGD: many small steps along the gradient, each projected back into the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn

from advcore.attacks import draws
from advcore.attacks.base import Attack, Batch, Budget, Norm, loss_gradient, option, unit
from advcore.attacks.losses import LOSSES, Loss


@dataclass(frozen=True, kw_only=True)
class PGD(Attack):
    """Projected Gradient Descent (Madry et al. 2018, arXiv 1706.06083): steps of FGSM, projected back into the budget.

    `step_size` is in pixel space; None takes 2.5·ε/steps, with which the steps can reach any point of the budget. Of several
    `restarts`, each from its own random start, an image keeps the first that fools (or reaches the target), else the one of
    the largest loss. `momentum` adds that share of the earlier steps' gradients (Dong et al. 2018, arXiv 1710.06081).
    With `stop_early` an image takes no further steps once it fools the model.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    warm_start: ClassVar[bool] = True

    steps: int = option(20, "gradient steps", low=1, high=1000)
    step_size: float | None = option(None, "size of a step in pixel space; 2.5·ε/steps if left out", low=1e-6)
    restarts: int = option(1, "random starts", low=1, high=100)
    random_start: bool = True
    loss: Loss = option("ce", "the loss to raise", choices=get_args(Loss))
    momentum: float = option(0.0, "share of the earlier gradients kept", low=0, high=1)
    stop_early: bool = False
    targeted: bool = False
    seed: int = option(0, "seed of the random numbers")

    @property
    def passes(self) -> int:
        """Three for every step of every restart."""
        return 3 * self.steps * self.restarts

    def _attack(self, model: nn.Module, batch: Batch) -> Tensor:
        attacked = self._run(model, batch, self._start(batch, 0))
        if self.restarts == 1 or not self.random_start:
            return attacked
        done, best = self._judge(model, attacked, batch.labels)
        for restart in range(1, self.restarts):
            held = (~done).nonzero()[:, 0]
            if not len(held):
                break
            part = batch[held]
            candidate = self._run(model, part, self._start(part, restart))
            fooled, loss = self._judge(model, candidate, part.labels)
            better = fooled | (loss > best[held])
            attacked[held[better]], best[held[better]] = candidate[better], loss[better]
            done[held] = fooled
        return attacked

    def _start(self, batch: Batch, restart: int) -> Tensor:
        """Where a restart begins: the given images for the first, else random points of the budget."""
        budget = Budget(batch.images, batch.epsilon, self.norm)
        if batch.start is not None and restart == 0:
            return budget.project(batch.start)
        return random_start(budget, batch.indices, self.seed, restart) if self.random_start else batch.images.clone()

    def _run(self, model: nn.Module, batch: Batch, attacked: Tensor) -> Tensor:
        """The steps from `attacked` on."""
        result, where = attacked.clone(), torch.arange(len(batch), device=attacked.device)
        budget, velocity = Budget(batch.images, batch.epsilon, self.norm), None
        for _ in range(self.steps):
            labels = batch.labels
            logits, _, gradient = loss_gradient(model, attacked, lambda out, of=labels: self.sign * LOSSES[self.loss](out, of))
            left = self.fooled(model, attacked, logits, labels) if self.stop_early else None
            if left is not None and left.any():
                result[where[left]] = attacked[left]
                held = ~left
                where, batch, attacked, gradient = where[held], batch[held], attacked[held], gradient[held]
                velocity = None if velocity is None else velocity[held]
                if not len(batch):
                    return result
                budget = Budget(batch.images, batch.epsilon, self.norm)
            if self.momentum:
                gradient = gradient / gradient.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
                gradient = velocity = gradient if velocity is None else gradient + self.momentum * velocity
            size = batch.epsilon * (2.5 / self.steps) if self.step_size is None else self.step_size
            attacked = budget.project(attacked + size * unit(gradient, self.norm))
        result[where] = attacked
        return result

    def _judge(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each image has what the attack wants (bool N), and the loss that the attack raises (float N)."""
        with torch.no_grad():
            logits = model(images).float()
            return self.fooled(model, images, logits, labels), self.sign * LOSSES[self.loss](logits, labels)


def random_start(budget: Budget, indices: Tensor, seed: int, restart: int) -> Tensor:
    """Random points of the budget: uniform in the cube of side 2ε (L∞), uniform in the ball of radius ε (L2); N×C×H×W."""
    shape = budget.images.shape[1:]
    if budget.norm == "linf":
        noise = draws.uniform(indices, shape, seed=seed, stream=restart).mul_(2).sub_(1)
    else:
        radius = draws.uniform(indices, (1, 1, 1), seed=seed, stream=-1 - restart) ** (1 / shape.numel())
        noise = unit(draws.normal(indices, shape, seed=seed, stream=restart), "l2") * radius
    return budget.project(budget.images + budget.epsilon * noise.to(budget.images))
