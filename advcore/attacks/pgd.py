"""PGD: many small steps along the gradient, projected back into the ε-ball."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcore.attacks.base import Attack, climb, halve_when_full, input_gradient, uniform_noise
from advcore.errors import AttackError

# How many input values PGD moves at once, on an accelerator and on a CPU (200 CIFAR-10 images).
_SIDE_BY_SIDE = (50_000_000, 614_400)


# Harm above this means fooled: losses lie far below it.
_DONE = 1e6


@dataclass(frozen=True, kw_only=True)
class PGD(Attack):
    """Projected Gradient Descent (Madry et al. 2018, arXiv 1706.06083): steps of FGSM, projected back into the ε-ball.

    `step_size` is in pixel space; None takes 2.5·ε/steps, with which the steps can reach any point of the ball. Over
    `restarts`, each from its own random start, the worst image is kept: the first that fools (or reaches the target), else
    the one whose loss went farthest.
    """

    steps: int = 20
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    targeted: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise AttackError(f"PGD needs at least 1 step and 1 restart, not {self.steps} and {self.restarts}.")
        if self.step_size is not None and not self.step_size > 0:
            raise AttackError(f"PGD's step size must be above 0, not {self.step_size}; leave it out for 2.5·ε/steps.")

    def _sweep(self, model: nn.Module, images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> Iterator[Tensor]:
        # Several ε side by side in one batch: a step then costs one launch for all of them.
        together = max(1, _SIDE_BY_SIDE[images.device.type == "cpu"] // max(1, images.numel()))
        generator = torch.Generator().manual_seed(self.seed)
        starts = [uniform_noise(images, 1.0, generator) for _ in range(self.restarts)] if self.random_start else []
        for first in range(0, len(epsilons), together):
            group = epsilons[first : first + together]
            budgets = torch.tensor(group, dtype=images.dtype, device=images.device).repeat_interleave(len(images))
            copies = [tensor.repeat(len(group), *[1] * (tensor.dim() - 1)) for tensor in (images, labels, *starts)]
            attacked = halve_when_full(
                lambda budgets, *batch: self._run(model, budgets, *batch), budgets.view(-1, 1, 1, 1), *copies
            )
            yield from attacked.split(len(images)) if len(images) else (images.clone() for _ in group)

    def _run(self, model: nn.Module, budgets: Tensor, images: Tensor, labels: Tensor, *starts: Tensor) -> Tensor:
        """The worst over the restarts; `budgets` N×1×1×1 is each image's ε, `starts` unit noise for each restart."""
        step = budgets * (2.5 / self.steps) if self.step_size is None else torch.full_like(budgets, self.step_size)

        def run(which: Tensor | slice, start: Tensor | None) -> Tensor:
            reach, aim, images_of = budgets[which], labels[which], images[which]
            begin = None if start is None else start[which] * reach
            ascent = self.sign * step[which]
            return climb(lambda attacked: input_gradient(model, attacked, aim), images_of, reach, ascent, self.steps, begin)

        attacked = run(slice(None), starts[0] if starts else None)
        worst = self._harm(model, attacked, labels) if len(starts) > 1 else None
        for start in starts[1:]:
            held = (worst < _DONE).nonzero()[:, 0]  # what is fooled needs no further try
            if not len(held):
                break
            candidate = run(held, start)
            harm = self._harm(model, candidate, labels[held])
            better = harm > worst[held]
            attacked[held[better]], worst[held] = candidate[better], torch.maximum(worst[held], harm)
        return attacked

    def _harm(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """How far each image is on its way, float N: any that fooled the model ranks above all that did not."""
        with torch.no_grad():
            logits = model(images).float()
            loss = self.sign * F.cross_entropy(logits, labels, reduction="none")
            done = (logits.argmax(1) == labels) == (self.sign < 0)
        return loss.clamp(max=_DONE / 2) + 2 * _DONE * done
