"""FGSM training from a random start (Wong et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator

from advcore.defenses.base import STEP_SIZE, Defense, Step
from advcore.lazy import torch


def losses(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cross-entropy on images one step (1.25 ε) from a uniform start in the ε-ball, projected back into it."""
    yield step.loss(step.ascended(images, labels, 1, step.recipe.step_size or 1.25 * step.recipe.epsilon), labels)


FGSM_RS = Defense(
    name="fgsm_rs",
    title="FGSM from a random start",
    trained="FGSM-trained from a random start",
    about="FGSM images from a random start within ε",
    losses=losses,
    paper="Wong et al. 2020, arXiv 2001.03994",
    settings=(STEP_SIZE,),
)
