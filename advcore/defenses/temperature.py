"""Training at a high temperature: the teacher of defensive distillation (Papernot et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator

from advcore.defenses.base import Defense, Setting, Step
from advcore.lazy import F, torch

TEMPERATURE = Setting("temperature", "Temperature", 20.0, 0.01, 1000, step=1.0, digits=2)


def losses(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cross-entropy of softmax(logits / T) on the clean batch."""
    (logits,) = step.model(images)
    yield F.cross_entropy(logits / step.recipe.temperature, labels, label_smoothing=step.recipe.label_smoothing)


HIGH_TEMPERATURE = Defense(
    name="temperature",
    title="None, at a high temperature",
    trained="trained at a high temperature",
    about="clean images, with the logits divided by a temperature: the teacher of defensive distillation",
    losses=losses,
    paper="Papernot et al. 2016, arXiv 1511.04508",
    role="Trained at a temperature",
    defended=False,
    epsilon="none",
    strength=("T", "temperature"),
    settings=(TEMPERATURE,),
)
