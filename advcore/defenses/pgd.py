"""PGD training (Madry et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator

from advcore.defenses.base import ATTACK_STEPS, STEP_SIZE, Defense, Step
from advcore.lazy import torch


def losses(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cross-entropy on PGD images from a uniform start in the ε-ball."""
    yield step.loss(step.ascended(images, labels, step.recipe.attack_steps, step.step_size), labels)


PGD = Defense(
    name="pgd",
    title="PGD",
    trained="PGD-trained",
    about="PGD images alone",
    losses=losses,
    paper="Madry et al. 2018, arXiv 1706.06083",
    settings=(ATTACK_STEPS, STEP_SIZE),
)
