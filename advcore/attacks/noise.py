"""Random noise: the control that every attack is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcore.attacks import draws
from advcore.attacks.base import Attack, Norm, option, unit


@dataclass(frozen=True, kw_only=True)
class UniformNoise(Attack):
    """The control: random noise that uses no gradient. It fools few models at an ε at which attacks fool many.

    In L∞ every value changes by a uniform number from [−ε, ε]; in L2 the noise is uniform on the sphere of radius ε. A sweep
    scales one draw, so that only ε changes.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    needs_labels: ClassVar[bool] = False
    single_run: ClassVar[bool] = True

    seed: int = option(0, "seed of the random numbers")

    @property
    def passes(self) -> int:
        """None: the model is not evaluated."""
        return 0

    def direction(
        self, model: nn.Module | None, images: Tensor, labels: Tensor | None = None, *, indices: Tensor | None = None
    ) -> Tensor:
        """The noise at ε = 1, N×C×H×W: uniform in [−1, 1] (L∞) or of length 1 (L2). Model and labels are not used."""
        indices = torch.arange(len(images)) if indices is None else indices
        shape = images.shape[1:]
        if self.norm == "l2":
            return unit(draws.normal(indices, shape, seed=self.seed), "l2").to(images)
        return draws.uniform(indices, shape, seed=self.seed).mul_(2).sub_(1).to(images)


@dataclass(frozen=True, kw_only=True)
class SignNoise(UniformNoise):
    """The control of the same size as FGSM: every value moves by ε (L∞), its sign drawn at random, and is cut to [0, 1]."""

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)

    def direction(
        self, model: nn.Module | None, images: Tensor, labels: Tensor | None = None, *, indices: Tensor | None = None
    ) -> Tensor:
        """Each value −1 or 1, N×C×H×W. Model and labels are not used."""
        return torch.where(super().direction(model, images, indices=indices) < 0, -1.0, 1.0)
