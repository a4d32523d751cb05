"""No defense: training on the clean images."""

from __future__ import annotations

from collections.abc import Iterator

from advcore.defenses.base import Defense, Step
from advcore.lazy import torch


def losses(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cross-entropy on the clean batch."""
    yield step.loss(images, labels)


STANDARD = Defense(
    name="standard",
    title="None (standard training)",
    trained="standard",
    about="no defense: training on the clean images alone",
    losses=losses,
    role="Standard",
    defended=False,
    epsilon="none",
)
