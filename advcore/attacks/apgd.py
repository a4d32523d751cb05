"""APGD: projected gradient ascent whose step size adapts to its own progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn

from advcore.attacks import draws
from advcore.attacks.base import Attack, Batch, Budget, Norm, loss_gradient, option, per_image, unit
from advcore.attacks.losses import LOSSES, Loss, targeted_dlr

_MOMENTUM = 0.75  # weight of the new step; the previous step has the rest
_ENOUGH = 0.75  # a step size is kept while the loss grew in this share of its steps


def _checkpoints(steps: int) -> set[int]:
    """After how many steps the step size is reviewed: first after 22 %, then at intervals shrinking from 19 % to 6 %."""
    interval, at, found = max(int(0.22 * steps), 1), 0, set()
    while at < steps:
        at += interval
        found.add(at)
        interval = max(interval - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
    return found


@dataclass
class _State:
    """The state of the images that are not fooled yet: tensors whose first dimension is the image."""

    attacked: Tensor
    before: Tensor  # one step earlier
    gradient: Tensor
    loss: Tensor
    step: Tensor
    best: Tensor  # the point of the largest loss so far, with its gradient and loss
    best_gradient: Tensor
    best_loss: Tensor
    reviewed_loss: Tensor  # the largest loss at the last review
    halved: Tensor  # whether the last review halved the step
    grown: Tensor  # in how many steps since then the loss grew

    def keep(self, held: Tensor) -> None:
        """Leave out the images that are not in `held`, bool N."""
        for name, value in vars(self).items():
            setattr(self, name, value[held])

    def review(self, interval: int) -> None:
        """Halve the step and go back to the best point where the loss has grown too rarely or its maximum not at all."""
        halve = (self.grown <= _ENOUGH * interval) | (~self.halved & (self.reviewed_loss >= self.best_loss))
        self.halved, self.reviewed_loss = halve, self.best_loss.clone()
        self.step = torch.where(per_image(halve), self.step / 2, self.step)
        self.attacked = torch.where(per_image(halve), self.best, self.attacked)
        self.gradient = torch.where(per_image(halve), self.best_gradient, self.gradient)
        self.grown = torch.zeros_like(self.grown)


@dataclass(frozen=True, kw_only=True)
class AdaptiveAscent(Attack):
    """Base of the APGD attacks: gradient ascent with momentum and a step size that adapts by itself.

    The step begins at 2ε. At fixed points of the run it is halved for the images whose loss grew in less than three quarters
    of the steps, which then go on from their best point. An image that is fooled takes no further steps. A subclass gives the
    loss and the classes that each run looks at.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    warm_start: ClassVar[bool] = True

    steps: int = option(100, "gradient steps", low=1, high=1000)
    restarts: int = option(1, "random starts", low=1, high=100)
    seed: int = option(0, "seed of the random numbers")

    @property
    def passes(self) -> int:
        """Three for every step of every restart."""
        return 3 * (self.steps + 1) * self.restarts

    def _attack(self, model: nn.Module, batch: Batch) -> Tensor:
        attacked = batch.images.clone()
        with torch.no_grad():
            logits = model(batch.images).float()
        held = (~self.fooled(model, batch.images, logits, batch.labels)).nonzero()[:, 0]
        for stream, targets in enumerate(self._targets(logits, batch.labels)):
            if not len(held):
                break
            found, fooled = self._run(model, batch[held], targets[held], stream)
            kept = fooled if stream else torch.ones_like(fooled)  # an image that no run fools keeps the first run's point
            attacked[held[kept]], held = found[kept], held[~fooled]
        return attacked

    def _targets(self, logits: Tensor, labels: Tensor) -> list[Tensor]:
        """The class that each run takes for each image, int64 N a run. `logits` are the clean images'."""
        raise NotImplementedError

    def _loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """The loss to raise, float N."""
        raise NotImplementedError

    def _run(self, model: nn.Module, batch: Batch, targets: Tensor, stream: int) -> tuple[Tensor, Tensor]:
        """One run from one start: (attacked images N×C×H×W, whether each is fooled, bool N).

        An image that holds keeps the point of the largest loss.
        """
        result, fooled = batch.images.clone(), torch.zeros(len(batch), dtype=torch.bool, device=batch.images.device)
        where, budget = torch.arange(len(batch), device=batch.images.device), Budget(batch.images, batch.epsilon, self.norm)
        first = budget.project(batch.start) if batch.start is not None and stream == 0 else self._start(budget, batch, stream)
        state: _State | None = None
        reviews, reviewed = _checkpoints(self.steps), 0
        for step in range(self.steps + 1):
            at = first if state is None else self._next(state, budget, step)
            labels, aims = batch.labels[where], targets[where]
            logits, value, gradient = loss_gradient(model, at, lambda out, of=labels, to=aims: self._loss(out, of, to))
            done = self.fooled(model, at, logits, labels)
            if state is None:
                grown, halved = torch.zeros_like(value), torch.ones_like(done)
                state = _State(at, at, gradient, value, 2 * batch.epsilon, at, gradient, value, value, halved, grown)
            else:
                self._record(state, at, value, gradient)
            if done.any():
                result[where[done]], fooled[where[done]] = at[done], True
                where = where[~done]
                if not len(where):
                    return result, fooled
                state.keep(~done)
                budget = Budget(batch.images[where], batch.epsilon[where], self.norm)
            if step in reviews:
                state.review(step - reviewed)
                reviewed = step
        assert state is not None
        result[where] = state.best
        return result, fooled

    def _start(self, budget: Budget, batch: Batch, stream: int) -> Tensor:
        """Random points whose distance from the images is ε, cut to [0, 1]."""
        shape = batch.images.shape[1:]
        if self.norm == "linf":
            noise = draws.uniform(batch.indices, shape, seed=self.seed, stream=stream).mul_(2).sub_(1)
            noise /= noise.abs().amax((1, 2, 3), keepdim=True)
        else:
            noise = unit(draws.normal(batch.indices, shape, seed=self.seed, stream=stream), "l2")
        return budget.project(batch.images + batch.epsilon * noise.to(batch.images))

    def _next(self, state: _State, budget: Budget, step: int) -> Tensor:
        """The point after a gradient step and, from the second step on, momentum."""
        moved = budget.project(state.attacked + state.step * unit(state.gradient, self.norm))
        if step > 1:
            change = _MOMENTUM * (moved - state.attacked) + (1 - _MOMENTUM) * (state.attacked - state.before)
            moved = budget.project(state.attacked + change)
        state.before = state.attacked
        return moved

    @staticmethod
    def _record(state: _State, at: Tensor, value: Tensor, gradient: Tensor) -> None:
        """Put the new point into the state."""
        state.grown = state.grown + (value > state.loss)
        state.attacked, state.loss, state.gradient = at, value, gradient
        better = value > state.best_loss
        state.best = torch.where(per_image(better), at, state.best)
        state.best_gradient = torch.where(per_image(better), gradient, state.best_gradient)
        state.best_loss = torch.maximum(value, state.best_loss)


@dataclass(frozen=True, kw_only=True)
class APGD(AdaptiveAscent):
    """Auto-PGD (Croce & Hein 2020, arXiv 2003.01690): gradient ascent with momentum and a step size that adapts by itself."""

    loss: Loss = option("ce", "the loss to raise", choices=get_args(Loss))
    targeted: bool = False

    def _targets(self, logits: Tensor, labels: Tensor) -> list[Tensor]:
        return [labels] * self.restarts

    def _loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        return self.sign * LOSSES[self.loss](logits, labels)


@dataclass(frozen=True, kw_only=True)
class TargetedAPGD(AdaptiveAscent):
    """APGD toward one wrong class after another, on the targeted difference of logits ratio (Croce & Hein 2020).

    The targets are the classes that the model finds most likely after the label, `targets` of them or as many as there are.
    An image is fooled by any wrong answer.
    """

    targets: int = option(9, "target classes", low=1, high=999)

    @property
    def passes(self) -> int:
        """Three for every step toward every target."""
        return super().passes * self.targets

    def _targets(self, logits: Tensor, labels: Tensor) -> list[Tensor]:
        return [target for target in likely_targets(logits, labels, self.targets) for _ in range(self.restarts)]

    def _loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        return targeted_dlr(logits, labels, targets)


def likely_targets(logits: Tensor, labels: Tensor, most: int) -> list[Tensor]:
    """The most likely wrong classes of each image, best first: int64 N each, `most` of them or as many as there are."""
    others = logits.scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)
    return list(others[:, : min(most, logits.shape[1] - 1)].unbind(1))
