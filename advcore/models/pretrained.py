"""ImageNet models for photos: torchvision's pretrained networks, where their weights are on this machine.

The weights lie in torch hub's cache, `$TORCH_HOME/hub/checkpoints` (usually `~/.cache/torch/hub/checkpoints`), under names
such as `resnet18-f37072fd.pth`: the part after the dash is the beginning of the file's SHA-256.

torchvision publishes these weights as pickles and in no other form. They are read safely: the bytes must first match the
fingerprint in their name, which torch hub checks after a download but never again; then `torch.load(weights_only=True)` reads
them, which knows tensors and containers only; and they must be the network's own weights, by name and shape.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from advcore.data.readers import imagenet_class_names
from advcore.errors import ModelError
from advcore.files import fetched_into, why_not_fetched
from advcore.models.architectures import Normalize, Shape

DATASET = "imagenet"
SHAPE: Shape = (3, 224, 224)
_TITLES = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "mobilenet_v3_large": "MobileNetV3-Large",
    "convnext_tiny": "ConvNeXt-Tiny",
    "efficientnet_b0": "EfficientNet-B0",
}
_FINGERPRINT = re.compile(r"-([0-9a-f]{8})\.pth")


@dataclass(frozen=True)
class Pretrained:
    """A network torchvision publishes weights for. `accuracy` (top-1 on ImageNet, in [0, 1]) is torchvision's own figure."""

    name: str
    title: str
    url: str
    megabytes: float
    accuracy: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    dataset = DATASET
    defense = "standard"
    defended = False

    @property
    def id(self) -> str:
        """`imagenet/NAME`, as pages and commands call it."""
        return f"{DATASET}/{self.name}"

    @property
    def architecture(self) -> str:
        """torchvision's name of the network."""
        return self.name

    @property
    def shape(self) -> Shape:
        """Channels, height and width of the images that it takes."""
        return SHAPE

    @property
    def class_names(self) -> tuple[str, ...]:
        """ImageNet's thousand classes, in label order."""
        return imagenet_class_names()

    def path(self) -> Path:
        """The file of its weights on this machine, with the right fingerprint. Raises ModelError when there is none."""
        published = cache_folder() / self.url.rsplit("/", 1)[1]
        files = [published, *sorted(cache_folder().glob(f"{self.name}-????????.pth"))]
        here = list(dict.fromkeys(file for file in files if _FINGERPRINT.search(file.name) and file.is_file()))
        for file in here:
            if _intact(file, file.stat().st_size, file.stat().st_mtime_ns):
                return file
        if here:
            raise ModelError(
                f"{self.title}: {here[0].name} is not what its name says (its SHA-256 begins otherwise), so it is not opened; "
                "delete it and download it again."
            )
        raise ModelError(f"{self.title}: its weights are not on this machine; they are a download of {self.megabytes:.0f} MB.")

    def model(self) -> nn.Module:
        """The network with its weights: images 3×H×W in [0, 1] to 1,000 logits; normalization inside, in eval mode, frozen.

        Raises ModelError when the weights are missing, damaged, hostile or another network's.
        """
        from torchvision.models import get_model

        file, network = self.path(), get_model(self.name, weights=None)
        data = file.read_bytes()
        if not _fits(file, hashlib.sha256(data).hexdigest()):  # exactly these bytes are loaded below
            raise ModelError(f"{self.title}: {file.name} changed while it was opened; try again.")
        try:
            weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # the reader of an untrusted file raises many kinds
            raise ModelError(
                f"{self.title}: the weights file cannot be read, or holds more than weights; delete it and download it again."
            ) from error
        try:
            network.load_state_dict(weights)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{self.title}: the weights file belongs to another network; delete it and download it again."
            ) from error
        if not all(torch.isfinite(value).all() for value in network.state_dict().values()):
            raise ModelError(f"{self.title}: the weights are not finite numbers; delete the file and download it again.")
        return nn.Sequential(Normalize(self.mean, self.std), network).eval().requires_grad_(False)


def cache_folder() -> Path:
    """Where torch hub, and so torchvision, keeps downloaded weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


@functools.cache
def zoo() -> dict[str, Pretrained]:
    """The networks there are weights for, by id; empty where torchvision is not installed."""
    try:
        from torchvision.models import get_model_weights
    except ImportError:
        return {}
    found = {}
    for name, title in _TITLES.items():
        weights = get_model_weights(name).DEFAULT
        crop = weights.transforms()
        figures = weights.meta["_metrics"]["ImageNet-1K"]
        size = weights.meta.get("_file_size", 0.0)
        item = Pretrained(name, title, weights.url, size, figures["acc@1"] / 100, tuple(crop.mean), tuple(crop.std))
        found[item.id] = item
    return found


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
    """Fetch a network's weights into torch hub's cache, yielding (bytes so far, bytes expected).

    The file appears under its name only when it is whole and its fingerprint fits. Raises ModelError when the network is
    unknown, the download fails, or the file is not the published one.
    """
    if model_id not in zoo():
        find(model_id)
    item, folder = zoo()[model_id], cache_folder()
    name = item.url.rsplit("/", 1)[1]
    fingerprint = _FINGERPRINT.search(name)[1]  # type: ignore[index]

    def fetch() -> None:
        torch.hub.download_url_to_file(item.url, str(folder / name), fingerprint, progress=False)

    try:
        yield from fetched_into(folder, round(item.megabytes * 1e6), fetch)
    except RuntimeError as error:  # the hash
        raise ModelError(f"The download of {item.title} is not the published file; nothing was kept, try again.") from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{item.title} could not be fetched ({why_not_fetched(error)}); check the network, or copy {name} into {folder}."
        ) from error


def _reason(item: Pretrained) -> str | None:
    try:
        item.path()
    except ModelError as error:
        return str(error)
    return None


@functools.lru_cache(maxsize=32)
def _intact(file: Path, size: int, changed: int) -> bool:
    """Whether the file's SHA-256 begins as its name says; computed again when its size or time changes."""
    with file.open("rb") as stream:
        return _fits(file, hashlib.file_digest(stream, "sha256").hexdigest())


def _fits(file: Path, digest: str) -> bool:
    return digest.startswith(_FINGERPRINT.search(file.name)[1])  # type: ignore[index]
