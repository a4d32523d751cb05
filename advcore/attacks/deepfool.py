"""DeepFool: steps across the nearest linearized decision boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcore.attacks.base import Norm, option, per_image
from advcore.attacks.smallest import SmallestAttack


@dataclass(frozen=True, kw_only=True)
class DeepFool(SmallestAttack):
    """DeepFool (Moosavi-Dezfooli et al. 2016, arXiv 1511.04599): repeated steps to the nearest linearized boundary.

    Every step goes to the boundary that is nearest if the model were linear, out of those to the `candidates` most likely
    classes. At the end the change is made `overshoot` longer.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2", "linf")

    norm: Norm = option("l2", "the norm of ε", choices=("l2", "linf"))
    steps: int = option(50, "steps", low=1, high=1000)
    candidates: int = option(10, "classes looked at, the label included", low=2, high=1000)
    overshoot: float = option(0.02, "how much longer the change is made", low=0, high=1)

    @property
    def passes(self) -> int:
        """A forward pass and a gradient for every candidate at each step; most images need a few steps only."""
        return self.steps * (1 + 2 * self.candidates)

    def _closest(self, model: nn.Module, images: Tensor, labels: Tensor, enough: float = 0.0) -> Tensor:
        result, where = images.clone(), torch.arange(len(images), device=images.device)
        clean, at, classes = images, images, None
        for _ in range(self.steps):
            logits, values, gradients, classes = self._linearized(model, at, labels, classes)
            held = ~self.fooled(model, at, logits, labels)
            if not held.all():
                result[where[~held]] = at[~held]
                where, clean, at, labels = where[held], clean[held], at[held], labels[held]
                values, gradients, classes = values[held], gradients[held], classes[held]
                if not len(where):
                    return result
            at = self._beyond(clean, at, values, gradients)
        with torch.no_grad():
            fooled = self.fooled(model, at, model(at).float(), labels)
        result[where[fooled]] = at[fooled]
        return result

    def _linearized(
        self, model: nn.Module, at: Tensor, labels: Tensor, classes: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(logits, other logits less the label's N×M, their gradients N×M×C×H×W, the classes they belong to N×M)."""
        with torch.enable_grad():
            leaf = at.detach().requires_grad_()
            logits = model(leaf).float()
            if classes is None:  # fixed at the clean image
                others = logits.detach().scatter(1, labels[:, None], -torch.inf)
                classes = others.topk(min(self.candidates, logits.shape[1]) - 1, 1).indices
            leads = logits.gather(1, classes) - logits.gather(1, labels[:, None])
            columns = leads.sum(0)
            gradients = [torch.autograd.grad(column, leaf, retain_graph=True)[0] for column in columns]
        return logits.detach(), leads.detach(), torch.stack(gradients, 1), classes

    def _beyond(self, clean: Tensor, at: Tensor, values: Tensor, gradients: Tensor) -> Tensor:
        """`at` moved onto the nearest linearized boundary, the whole change then made `overshoot` longer."""
        flat = gradients.flatten(2)
        size = flat.norm(dim=2) if self.norm == "l2" else flat.abs().sum(2)
        distance = values.abs() / size.clamp(min=1e-12)
        nearest = distance.argmin(1)
        every = torch.arange(len(at), device=at.device)
        gradient, how_far = gradients[every, nearest], distance[every, nearest] + 1e-4
        unit = gradient / per_image(size[every, nearest].clamp(min=1e-12)) if self.norm == "l2" else gradient.sign()
        # The change so far already holds the overshoot of the steps before.
        change = (at - clean) / (1 + self.overshoot) + per_image(how_far) * unit
        return (clean + (1 + self.overshoot) * change).clamp(0, 1)
