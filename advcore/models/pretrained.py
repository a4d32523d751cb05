"""ImageNet models for photos: torchvision's pretrained networks and robust ones, where their weights are on this machine.

torchvision publishes its weights as pickles and in no other form, under names that hold a fingerprint, which torch hub checks
after a download but never again: `published` checks it each time.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from advcore.errors import ModelError
from advcore.files import fetched_into, why_not_fetched
from advcore.models.layers import Normalize
from advcore.models.published import DATASET, FINGERPRINT, Pretrained, cache_folder
from advcore.models.robust_imagenet import ROBUST

_TITLES = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "mobilenet_v3_large": "MobileNetV3-Large",
    "convnext_tiny": "ConvNeXt-Tiny",
    "efficientnet_b0": "EfficientNet-B0",
}


@dataclass(frozen=True)
class TorchvisionNetwork(Pretrained):
    """A network that torchvision publishes weights for; `mean` and `std` are the normalization that they expect."""

    url: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def file_name(self) -> str:
        """The name of its file where it is published."""
        return self.url.rsplit("/", 1)[1]

    def fetch(self) -> None:
        """Download the weights; torch hub compares them with the fingerprint in their name."""
        fingerprint = FINGERPRINT.search(self.file_name)[1]  # type: ignore[index]
        torch.hub.download_url_to_file(self.url, str(cache_folder() / self.file_name), fingerprint, progress=False)

    def _read(self, data: bytes) -> tuple[Mapping[str, Tensor], Normalize]:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), Normalize(self.mean, self.std)


@functools.cache
def zoo() -> dict[str, Pretrained]:
    """The networks there are weights for, by id; empty where torchvision is not installed."""
    try:
        from torchvision.models import get_model_weights
    except ImportError:
        return {}
    found: dict[str, Pretrained] = {}
    for name, title in _TITLES.items():
        weights = get_model_weights(name).DEFAULT
        crop = weights.transforms()
        figures = weights.meta["_metrics"]["ImageNet-1K"]
        size = weights.meta.get("_file_size", 0.0)
        clean, normalization = figures["acc@1"] / 100, (tuple(crop.mean), tuple(crop.std))
        item = TorchvisionNetwork(name, title, size, clean, weights.url, *normalization)
        found[item.id] = item
    return found | {item.id: item for item in ROBUST}


def available() -> dict[str, Pretrained]:
    """The networks whose weights are on this machine and intact, by id."""
    return {item.id: item for item in zoo().values() if _reason(item) is None}


def missing() -> dict[str, str]:
    """Why each of the other networks is not available, by id: one sentence each."""
    if not zoo():
        return {f"{DATASET}/{name}": f"{title}: needs the package torchvision." for name, title in _TITLES.items()}
    return {item.id: reason for item in zoo().values() if (reason := _reason(item)) is not None}


def find(model_id: str) -> Pretrained:
    """The network with that id; raises ModelError when there is none, or no weights for it here."""
    if model_id not in zoo():
        choices = ", ".join(zoo()) or "none, for torchvision is not installed"
        raise ModelError(f"There is no pretrained model '{model_id[:80]}'; choose one of {choices}.")
    zoo()[model_id].path()
    return zoo()[model_id]


def download(model_id: str) -> Iterator[tuple[int, int]]:
    """Fetch a network's weights, yielding (bytes so far, bytes expected).

    The file appears under its name only when it is whole and its fingerprint fits. Raises ModelError when the network is
    unknown, the download fails, or the file is not the published one.
    """
    if model_id not in zoo():
        find(model_id)
    item = zoo()[model_id]
    try:
        yield from fetched_into(item.arrives_in, round(item.megabytes * 1e6), item.fetch)
    except RuntimeError as error:
        raise ModelError(f"The download of {item.title} is not the published file; nothing was kept, try again.") from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{item.title} could not be fetched ({why_not_fetched(error)}); check the network, or copy {item.file_name} into "
            f"{cache_folder()}."
        ) from error


def _reason(item: Pretrained) -> str | None:
    try:
        item.path()
    except ModelError as error:
        return str(error)
    return None
