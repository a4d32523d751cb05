"""Base class of the attacks that search for the smallest perturbation instead of filling a budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcore.attacks.base import Attack, Batch, Budget, evaluating, halve_when_full, per_image, predict


@dataclass(frozen=True, kw_only=True)
class SmallestAttack(Attack):
    """Base of the attacks that search for the nearest image that fools the model. A subclass writes `_closest`.

    One run serves every ε, and may end at the smallest. At ε the result is the image found where that lies within ε; otherwise
    the change toward it, shortened to ε, which usually does not fool the model.
    """

    single_run: ClassVar[bool] = True

    def closest(self, model: nn.Module, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(nearest images found that fool the model N×C×H×W, their distances from `images` in the attack's norm, float64 N).

        The distance is 0 where the model is wrong about the clean image, and ∞ where nothing was found; the image is then the
        clean one. It is an upper bound on the smallest distance that fools.
        """
        images = images.detach()
        with evaluating(model):
            labels = predict(model, images) if labels is None else labels
            found = halve_when_full(lambda *part: self._closest(model, *part), images, labels)
            logits = halve_when_full(lambda part: model(part).detach().float(), found)
        distance = self._distance(found - images)
        return found, distance.where(self.fooled(model, found, logits, labels), torch.inf)

    def _closest(self, model: nn.Module, images: Tensor, labels: Tensor, enough: float = 0.0) -> Tensor:
        """The nearest image found that fools the model for each image, or the image itself; N×C×H×W within [0, 1].

        The search for an image may end at a distance of at most `enough`.
        """
        raise NotImplementedError

    def _distance(self, change: Tensor) -> Tensor:
        """The size of each change in the attack's norm, float64 N."""
        flat = change.flatten(1).double()
        if self.norm == "l0":
            return (flat != 0).double().mean(1)
        return flat.norm(dim=1) if self.norm == "l2" else flat.abs().amax(1)

    def _sweep(self, model: nn.Module, batch: Batch, epsilons: Sequence[float]) -> Iterator[Tensor]:
        images, labels = batch.images, batch.labels
        if not len(images):
            yield from (images.clone() for _ in epsilons)
            return
        found, enough = images, min(filter(None, epsilons), default=None)
        if enough:
            found = halve_when_full(lambda *part: self._closest(model, *part, enough), images, labels)
        distance = self._distance(found - images)
        for epsilon in epsilons:
            yield torch.where(per_image(distance <= epsilon), found, self._shortened(images, found, epsilon))

    def _shortened(self, images: Tensor, found: Tensor, epsilon: float) -> Tensor:
        if self.norm != "l0":
            return Budget(images, epsilon, self.norm).project(found)
        change = (found - images).flatten(1)
        largest = change.abs().topk(int(epsilon * change.shape[1]), 1).indices
        kept = torch.zeros_like(change).scatter(1, largest, 1.0)
        return images + (change * kept).view_as(images)
