"""JSMA: changes as few values as it can, two at a time, each to black or white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcore.attacks.apgd import likely_targets
from advcore.attacks.base import Norm, option
from advcore.attacks.smallest import SmallestAttack

_CANDIDATES = 128  # values among which the best pair is looked for


@dataclass(frozen=True, kw_only=True)
class JSMA(SmallestAttack):
    """Jacobian-based Saliency Map Attack (Papernot et al. 2016, arXiv 1511.07528): a sparse attack toward one class.

    Every step sets the two values to 0 or 1 that together raise the target's logit most while they lower the others'. The
    distance is the share of the values that change. Untargeted, the target is the most likely wrong class, and any wrong
    answer fools. Differs from the paper: a value may go down as well as up, and pairs are looked for among the 128 values of
    the strongest effect.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0",)

    norm: Norm = option("l0", "the norm of ε", choices=("l0",))
    share: float = option(0.15, "largest share of the values that may change", low=0, high=1)
    targeted: bool = False

    @property
    def passes(self) -> int:
        """Five for every pair of values of a 28×28 image: a forward pass and two gradients."""
        return 5 * max(1, int(self.share * 784) // 2)

    def _closest(self, model: nn.Module, images: Tensor, labels: Tensor, enough: float = 0.0) -> Tensor:
        with torch.no_grad():
            logits = model(images).float()
        targets = labels if self.targeted else likely_targets(logits, labels, 1)[0]
        result, at, where = images.clone(), images, torch.arange(len(images), device=images.device)
        unused = torch.ones_like(images.flatten(1), dtype=torch.bool)
        pairs = int(self.share * unused.shape[1]) // 2
        for step in range(pairs + 1):
            logits, raised, lowered = self._effects(model, at, targets)
            done = self.fooled(model, at, logits, labels)
            result[where[done]] = at[done]
            held = ~done
            where, at, labels, targets, unused = where[held], at[held], labels[held], targets[held], unused[held]
            if not len(where) or step == pairs:
                break
            at, unused = self._changed(at, raised[held], lowered[held], unused)
        return result

    def _effects(self, model: nn.Module, at: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logits, ∂ target's logit / ∂ values, ∂ sum of the other logits / ∂ values), the last two N×values."""
        with torch.enable_grad():
            leaf = at.detach().requires_grad_()
            logits = model(leaf).float()
            target = logits.gather(1, targets[:, None]).sum()
            (raised,) = torch.autograd.grad(target, leaf, retain_graph=True)
            (lowered,) = torch.autograd.grad(logits.sum() - target, leaf)
        return logits.detach(), raised.flatten(1), lowered.flatten(1)

    def _changed(self, at: Tensor, raised: Tensor, lowered: Tensor, unused: Tensor) -> tuple[Tensor, Tensor]:
        """The images with the best pair of unused values at 0 or 1, and which values are unused still."""
        flat = at.flatten(1).clone()
        way = (raised - lowered).sign()
        room = torch.where(way > 0, flat < 1, flat > 0) & unused & (way != 0)
        gain, loss = raised * way, lowered * way
        strongest = (gain - loss).masked_fill(~room, -torch.inf).topk(min(_CANDIDATES, flat.shape[1]), 1)
        free = strongest.values.isfinite()
        gain, loss = gain.gather(1, strongest.indices), loss.gather(1, strongest.indices)
        gains, losses = gain[:, :, None] + gain[:, None, :], loss[:, :, None] + loss[:, None, :]
        # Where no pair raises the target and lowers the others, the pair of the strongest effect.
        score = torch.where((gains > 0) & (losses < 0), -gains * losses, 1e-9 * (gains - losses))
        pairs = free[:, :, None] & free[:, None, :]
        pairs &= ~torch.eye(gain.shape[1], dtype=torch.bool, device=at.device)
        best = score.masked_fill(~pairs, -torch.inf).flatten(1).argmax(1)
        chosen = strongest.indices.gather(1, torch.stack([best // gain.shape[1], best % gain.shape[1]], 1))
        usable = room.gather(1, chosen)
        ends = torch.where(usable, (way.gather(1, chosen) > 0).to(flat), flat.gather(1, chosen))
        return flat.scatter(1, chosen, ends).view_as(at), unused.scatter(1, chosen, False)
