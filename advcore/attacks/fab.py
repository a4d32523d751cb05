"""FAB: walks along the decision boundary toward the smallest perturbation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcore.attacks.apgd import likely_targets
from advcore.attacks.base import Attack, Batch, Norm, length, loss_gradient, option, per_image

_OVERSHOOT = 1.05  # how far beyond the boundary a step goes
_BACKWARD = 0.9  # share of the change that is left after a step back toward the clean image
_NEWTON_STEPS = 30
_MOST_CLEAN = 0.1  # the largest weight of the projection of the clean image


@dataclass(frozen=True, kw_only=True)
class FAB(Attack):
    """Targeted Fast Adaptive Boundary attack (Croce & Hein 2020, arXiv 1907.02044), FAB-T.

    At every step the boundary to a target class is taken as a plane, onto which the point and the clean image are projected
    within [0, 1]. From beyond the boundary it steps back toward the clean image. The targets are the classes that the model
    finds most likely after the label. An image counts as fooled once a point beyond the boundary lies within ε, and takes
    no further steps; an image that is never fooled is returned unchanged.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    steps: int = option(100, "steps toward each target", low=1, high=1000)
    targets: int = option(9, "target classes", low=1, high=999)

    @property
    def passes(self) -> int:
        """Four for every step toward every target: a gradient and the answer at the new point."""
        return 4 * self.steps * self.targets

    def _attack(self, model: nn.Module, batch: Batch) -> Tensor:
        attacked = batch.images.clone()
        with torch.no_grad():
            logits = model(batch.images).float()
        held = (~self.fooled(model, batch.images, logits, batch.labels)).nonzero()[:, 0]
        for targets in likely_targets(logits, batch.labels, self.targets):
            if not len(held):
                break
            attacked[held], fooled = self._run(model, batch[held], targets[held])
            held = held[~fooled]
        return attacked

    def _run(self, model: nn.Module, batch: Batch, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Toward one target each: (images N×C×H×W, fooled ones within ε and clean others; whether each is fooled, bool N)."""
        result, fooled = batch.images.clone(), torch.zeros(len(batch), dtype=torch.bool, device=batch.images.device)
        where, at = torch.arange(len(batch), device=batch.images.device), batch.images
        for _ in range(self.steps):
            at = self._step(model, batch, targets, at)
            with torch.no_grad():
                logits = model(at).float()
            beyond, done = self.succeeded(logits, batch.labels), self._within(at - batch.images, batch.epsilon)
            done[done.clone()] = self.fooled(model, at[done], logits[done], batch.labels[done])
            if done.any():
                result[where[done]], fooled[where[done]] = at[done], True
                held = ~done
                where, batch, targets, at, beyond = where[held], batch[held], targets[held], at[held], beyond[held]
                if not len(where):
                    break
            at = torch.where(per_image(beyond), batch.images + (at - batch.images) * _BACKWARD, at)
        return result, fooled

    def _step(self, model: nn.Module, batch: Batch, targets: Tensor, at: Tensor) -> Tensor:
        """The next point: a mean of the projections of `at` and of the clean image, a little beyond the boundary."""
        pairs = torch.stack([batch.labels, targets], 1)

        def lead(logits: Tensor) -> Tensor:
            label, target = logits.gather(1, pairs).unbind(1)
            return target - label

        _, value, gradient = loss_gradient(model, at, lead)
        clean_value = value + (gradient * (batch.images - at)).flatten(1).sum(1)  # of the plane, at the clean image
        own = to_plane(at, gradient, -value, self.norm)
        clean = to_plane(batch.images, gradient, -clean_value, self.norm)
        size, clean_size = (self._size(change).clamp(min=1e-8) for change in (own, clean))
        share = (size / (size + clean_size)).clamp(max=_MOST_CLEAN)
        return ((at + _OVERSHOOT * own) * (1 - share) + (batch.images + _OVERSHOOT * clean) * share).clamp_(0, 1)

    def _size(self, change: Tensor) -> Tensor:
        """The size of each change in the attack's norm, N×1×1×1."""
        return length(change).to(change) if self.norm == "l2" else per_image(change.abs().flatten(1).amax(1))

    def _within(self, change: Tensor, epsilon: Tensor) -> Tensor:
        """Whether each change lies within ε, measured exactly; bool N."""
        change = change.double()
        size = length(change) if self.norm == "l2" else per_image(change.abs().flatten(1).amax(1))
        return (size <= epsilon.double()).flatten()


def to_plane(points: Tensor, gradient: Tensor, rise: Tensor, norm: Norm) -> Tensor:
    """The smallest change (L∞ or L2) that raises gradient·points by `rise` and keeps the points within [0, 1]; N×C×H×W.

    Where [0, 1] leaves too little room, the change that gets closest. `rise` (float N) may be negative. Each value changes by
    min(λ·weight, its room), and Newton's method finds λ: the rise gained is concave and piecewise linear in λ.
    """
    slope = (gradient * rise.sign().view(-1, 1, 1, 1)).flatten(1)
    flat, wanted = points.flatten(1), rise.abs()[:, None]
    room = torch.where(slope > 0, 1 - flat, flat)
    steep = slope.abs()
    weight = steep if norm == "l2" else (steep > 0).to(steep)
    scale = wanted / (steep * weight).sum(1, keepdim=True).clamp(min=1e-30)
    for _ in range(_NEWTON_STEPS):
        free = scale * weight < room
        gain = (steep * torch.where(free, scale * weight, room)).sum(1, keepdim=True)
        missing, rate = wanted - gain, (steep * weight * free).sum(1, keepdim=True)
        short = (missing > 1e-6 * wanted) & (rate > 0)
        if not short.any():
            break
        scale = torch.where(short, scale + missing / rate, scale)
    return (slope.sign() * torch.minimum(scale * weight, room)).view_as(points)
