"""Training on Gaussian noise, for randomized smoothing (Cohen et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator

from advcore.defenses.base import Defense, Setting, Step
from advcore.lazy import torch

SIGMA = Setting(
    "sigma",
    "σ of the training noise",
    0.25,
    1e-3,
    10,
    step=0.05,
    digits=3,
    help="Standard deviation of the Gaussian noise of the defense `noise`, in pixel space",
)


def losses(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cross-entropy on images + N(0, σ²), not clipped, as in the paper: the smoothed model sees such images."""
    noise = torch.empty_like(images).normal_(std=step.recipe.sigma, generator=step.generator)
    yield step.loss(images + noise, labels)


NOISE = Defense(
    name="noise",
    title="Gaussian noise",
    trained="noise-trained",
    about="images with Gaussian noise, not clipped: for a radius proved by randomized smoothing",
    losses=losses,
    paper="Cohen et al. 2019, arXiv 1902.02918",
    role="Noise-trained",
    epsilon="none",
    strength=("σ", "sigma"),
    settings=(SIGMA,),
)
