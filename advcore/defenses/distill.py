"""Defensive distillation (Papernot et al. 2016), with FGSM images where ε > 0."""

from __future__ import annotations

from collections.abc import Iterator

from advcore.defenses.base import Defense, Step
from advcore.defenses.fgsm import with_fgsm
from advcore.defenses.temperature import TEMPERATURE
from advcore.lazy import F, torch


def losses(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Learn the teacher's predictions at a high temperature; with ε > 0 on clean and FGSM images, as `fgsm` does.

    The teacher has to be trained at the same temperature (`temperature`): the softened answers of another are nearly uniform.
    """
    assert step.teacher is not None
    with torch.no_grad():
        taught = step.teacher(images.detach()).float()

    def loss(batch: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        (logits,) = step.model(batch)
        return distillation_loss(logits, targets, step.recipe.temperature)

    if step.recipe.epsilon:
        yield from with_fgsm(step, images, taught, loss)
    else:
        yield loss(images, taught)


def distillation_loss(logits: torch.Tensor, taught: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cross-entropy between softmax(taught / T) and softmax(logits / T), mean over the batch; both N×K."""
    return F.cross_entropy(logits / temperature, (taught / temperature).softmax(1))


DISTILL = Defense(
    name="distill",
    title="Defensive distillation",
    trained="distilled",
    about="learns a teacher's predictions at a high temperature, with FGSM images if ε > 0",
    losses=losses,
    paper="Papernot et al. 2016, arXiv 1511.04508",
    role="Distilled",
    epsilon="optional",
    needs_teacher=True,
    settings=(TEMPERATURE,),
)
