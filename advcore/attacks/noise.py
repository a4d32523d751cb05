"""Random noise: the control that every attack is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcore.attacks.base import Attack, clip, uniform_noise


@dataclass(frozen=True, kw_only=True)
class UniformNoise(Attack):
    """The control: noise drawn uniformly from [−ε, ε], which no gradient points. Hardly fools anyone at the same ε."""

    seed: int = 0

    def direction(self, images: Tensor) -> Tensor:
        """The noise at ε = 1, uniform in [−1, 1], N×C×H×W: a sweep scales one draw, so that ε alone changes."""
        generator = torch.Generator().manual_seed(self.seed)
        return uniform_noise(images, 1.0, generator)

    def _labels(self, model: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        return torch.empty(0) if labels is None else labels

    def _sweep(self, model: nn.Module, images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> Iterator[Tensor]:
        noise = self.direction(images)
        for epsilon in epsilons:
            yield images.clone() if epsilon == 0 else clip(images, noise, epsilon)
