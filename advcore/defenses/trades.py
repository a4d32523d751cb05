"""TRADES: the clean loss plus the distance between the clean and the attacked prediction (Zhang et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator

from advcore.defenses.base import ATTACK_STEPS, STEP_SIZE, Defense, Setting, Step
from advcore.lazy import F, torch

BETA = Setting("trades_beta", "β of TRADES", 6.0, 0, 1000, step=0.5, digits=2)
_START = 0.001  # standard deviation of the attack's Gaussian start, in pixel space: the paper's code


def losses(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cross-entropy on clean images + β · KL(clean prediction ‖ attacked prediction).

    As in the paper's code: the attack maximizes that divergence with the network in eval mode, from a Gaussian start, and the
    clean and the attacked batch are two forward passes, each with its own batch statistics.
    """
    from advcore.attacks import ascend, evaluating

    recipe = step.recipe
    with evaluating(step.network):
        # Detached, not under no_grad: autocast would cache weights that carry no gradient.
        clean = step.network(images).float().softmax(1).detach()

        def gradient(attacked: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad():
                leaf = attacked.detach().requires_grad_()
                divergence = F.kl_div(step.network(leaf).float().log_softmax(1), clean, reduction="sum")
                return torch.autograd.grad(divergence, leaf)[0]

        start = _START * torch.empty_like(images).normal_(generator=step.generator)
        attacked = ascend(gradient, images, recipe.epsilon, step.step_size, recipe.attack_steps, start)
    logits, pushed = step.model(images, attacked)
    yield trades_loss(logits, pushed, labels, recipe.trades_beta, recipe.label_smoothing)


def trades_loss(
    clean: torch.Tensor, attacked: torch.Tensor, labels: torch.Tensor, beta: float, label_smoothing: float = 0.0
) -> torch.Tensor:
    """cross-entropy(clean) + β · KL(softmax(clean) ‖ softmax(attacked)), means over the batch; logits N×K, labels N."""
    divergence = F.kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="batchmean")
    return F.cross_entropy(clean, labels, label_smoothing=label_smoothing) + beta * divergence


TRADES = Defense(
    name="trades",
    title="TRADES",
    trained="TRADES-trained",
    about="clean loss + β · divergence of the attacked prediction from the clean one",
    losses=losses,
    paper="Zhang et al. 2019, arXiv 1901.08573",
    settings=(ATTACK_STEPS, STEP_SIZE, BETA),
)
