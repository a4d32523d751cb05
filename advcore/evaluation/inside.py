"""A model's last hidden layer in two dimensions: where test images lie, and the path of one image as an attack grows."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcore.attacks import evaluating
from advcore.data import LabeledImages
from advcore.errors import AdvcoreError

IMAGES = 500
"""The first test images, on which the two directions are fitted."""
_AT_ONCE = 50


def hidden(model: nn.Module) -> nn.Module:
    """A copy of the model that ends before its last linear layer: images → N×D.

    Raises AdvcoreError for a model without a linear layer.
    """
    cut = copy.deepcopy(model)
    linear = [name for name, layer in cut.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise AdvcoreError("This model has no linear layer at its end: there is no last hidden layer to look at.")
    parent, _, name = linear[-1].rpartition(".")
    whole = cut.get_submodule(parent)
    children = [key for key, _ in whole.named_children()]
    for after in children[children.index(name) :]:  # what follows it acts on the logits
        setattr(whole, after, nn.Identity())
    return cut


@dataclass(frozen=True, eq=False)
class Inside:
    """The two directions of most variance (PCA) in the last hidden layer, and where the images lie along them.

    `mean` (D) and `directions` (2×D) give a place: directions · (features − mean). `variance` are the shares of the variance
    along each, `size` is D. `places` is float32 N×2, `labels` int64 N.
    """

    mean: Tensor
    directions: Tensor
    variance: tuple[float, float]
    places: Tensor
    labels: Tensor

    @property
    def size(self) -> int:
        """Values in the hidden layer."""
        return len(self.mean)

    def places_of(self, body: nn.Module, images: Tensor) -> Tensor:
        """Where images N×C×H×W lie, float32 N×2; `body` is `hidden(model)`."""
        return (_features(body, images) - self.mean) @ self.directions.T


def _features(body: nn.Module, images: Tensor) -> Tensor:
    with evaluating(body), torch.no_grad():
        return torch.cat([body(part).float().flatten(1).cpu() for part in images.split(_AT_ONCE)])


def inside(body: nn.Module, images: LabeledImages) -> Iterator[Inside | None]:
    """Fit the two directions on `images` (at least 3); `body` is `hidden(model)`. None after each part before the end.

    The sign of a direction is such that its largest component is positive.
    """
    if len(images) < 3:
        raise AdvcoreError(f"{len(images)} images are too few for two directions; 3 are the least.")
    device = next(body.parameters()).device
    parts = []
    for start in range(0, len(images), _AT_ONCE):
        parts.append(_features(body, images[start : start + _AT_ONCE].pixels(device)))
        yield None
    features = torch.cat(parts)
    mean = features.mean(0)
    _, lengths, rows = torch.linalg.svd((features - mean).double(), full_matrices=False)
    largest = rows[:2].gather(1, rows[:2].abs().argmax(1, keepdim=True))
    directions = (rows[:2] * largest.sign()).float()
    first, second = (lengths[:2] ** 2 / (lengths**2).sum().clamp(min=1e-12)).tolist()
    yield Inside(mean, directions, (first, second), (features - mean) @ directions.T, images.labels)
