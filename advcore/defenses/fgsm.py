"""The studies' adversarial training: the clean batch and its FGSM batch, concatenated."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from advcore.defenses.base import Defense, Step
from advcore.lazy import nn, torch


def with_fgsm(
    step: Step, images: torch.Tensor, targets: torch.Tensor, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> Iterator[torch.Tensor]:
    """The mean of `loss(images, targets)` over the clean batch and its FGSM batch at full ε, concatenated.

    With batch normalization both are one batch with common statistics, as in the studies. Without it the halves do not
    influence each other: the clean half goes first, and its backward pass also gives the gradient that the attack needs.
    """
    from advcore import distributed
    from advcore.attacks import clip

    normalized = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in step.network.modules())
    images = images.detach().requires_grad_()
    with distributed.unsynchronized(step.model):
        clean = loss(images, targets)
        if normalized:
            (gradient,) = torch.autograd.grad(clean, images)
        else:
            yield clean / 2
            gradient = images.grad
    images = images.detach()
    attacked = clip(images, gradient.sign(), step.recipe.epsilon)
    if normalized:
        yield loss(torch.cat([images, attacked]), torch.cat([targets, targets]))
    else:
        yield loss(attacked, targets) / 2


def losses(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cross-entropy over the clean and the FGSM batch, equally weighted."""
    yield from with_fgsm(step, images, labels, step.loss)


FGSM = Defense(
    name="fgsm",
    title="FGSM, as in the studies",
    trained="FGSM-trained",
    about="the clean batch concatenated with its FGSM batch at full ε",
    losses=losses,
    paper="Goodfellow et al. 2015, arXiv 1412.6572",
)
