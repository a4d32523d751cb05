"""ImageNet networks for photos: torchvision's, and adversarially trained ones from the Hugging Face Hub.

Their weights lie in torch hub's cache, `$TORCH_HOME/hub/checkpoints` (usually `~/.cache/torch/hub/checkpoints`), under names
such as `resnet18-f37072fd.pth`: the part after the dash is the beginning of the file's SHA-256, which is compared each time a
file is opened. torchvision's files are pickles, read by a loader that accepts tensors only. The Hub's (Salman et al. 2020,
arXiv 2007.08489) are pickles too: `pickles` opens each once, in a separate process, and its weights are kept as safetensors.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from safetensors import torch as safetensors
from torch import Tensor, nn

from advcore.data.readers import imagenet_class_names
from advcore.errors import ModelError
from advcore.files import fetched_into, why_not_fetched
from advcore.models.architectures import Shape
from advcore.models.layers import Normalize
from advcore.models.pickles import MEAN, STD, as_safetensors

DATASET = "imagenet"
SHAPE: Shape = (3, 224, 224)
REPOSITORY = "madrylab/robust-imagenet-models"
_FINGERPRINT = re.compile(r"-([0-9a-f]{8})\.(?:pth|safetensors)$")
_TITLES = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "mobilenet_v3_large": "MobileNetV3-Large",
    "convnext_tiny": "ConvNeXt-Tiny",
    "efficientnet_b0": "EfficientNet-B0",
}


@dataclass(frozen=True)
class Pretrained:
    """A network with published weights. `accuracy` (top-1 on ImageNet, in [0, 1]) is the publisher's own figure.

    A subclass says how its file is called where it is published (`file_name`), downloaded (`fetch`) and read (`_read`).
    """

    name: str
    title: str
    megabytes: float
    accuracy: float

    dataset: ClassVar[str] = DATASET
    shape: ClassVar[Shape] = SHAPE
    defense: ClassVar[str] = "standard"
    defended: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """`imagenet/NAME`, as pages and commands call it."""
        return f"{DATASET}/{self.name}"

    @property
    def architecture(self) -> str:
        """torchvision's name of the network."""
        return self.name

    @property
    def about(self) -> str:
        """What its publishers say of it, as a sentence."""
        return f"It is right on {100 * self.accuracy:.1f} % of ImageNet."

    @property
    def class_names(self) -> tuple[str, ...]:
        """ImageNet's thousand classes, in label order."""
        return imagenet_class_names()

    @property
    def file_name(self) -> str:
        """The name of its file where it is published."""
        raise NotImplementedError

    @property
    def arrives_in(self) -> Path:
        """The folder that grows during a download."""
        return cache_folder()

    def fetch(self) -> None:
        """Download the weights into the cache; the file appears under its name only when it is complete.

        Raises RuntimeError when it is not the published file, OSError or ValueError when it cannot be fetched.
        """
        raise NotImplementedError

    def path(self) -> Path:
        """The file of its weights on this machine, with the right fingerprint. Raises ModelError when there is none."""
        folder = cache_folder()
        files = [folder / self.file_name, *sorted(folder.glob(f"{self.name}-????????.*"))]
        here = [file for file in files if _FINGERPRINT.search(file.name) and file.is_file()]
        for file in here:
            if _intact(file, file.stat().st_size, file.stat().st_mtime_ns):
                return file
        if here:
            raise ModelError(
                f"{self.title}: the SHA-256 of {here[0].name} is not the one in its name, so it is not opened; delete it and "
                "download it again."
            )
        raise ModelError(f"{self.title}: its weights are not on this machine; they are a download of {self.megabytes:.0f} MB.")

    def model(self) -> nn.Module:
        """The network with its weights: images 3×H×W in [0, 1] to 1,000 logits; normalization inside, in eval mode, frozen.

        Raises ModelError when the weights are missing, damaged, hostile or another network's.
        """
        from torchvision.models import get_model

        file, network = self.path(), get_model(self.architecture, weights=None)
        data = file.read_bytes()
        if not _fits(file, hashlib.sha256(data).hexdigest()):  # exactly these bytes are loaded below
            raise ModelError(f"{self.title}: {file.name} changed while it was opened; try again.")
        try:
            weights, normalize = self._read(data)
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
        model = nn.Sequential(normalize, network)
        if not all(torch.isfinite(value).all() for value in model.state_dict().values()):
            raise ModelError(f"{self.title}: the weights are not finite numbers; delete the file and download it again.")
        return model.eval().requires_grad_(False)

    def _read(self, data: bytes) -> tuple[Mapping[str, Tensor], Normalize]:
        """The weights by torchvision's names, and the normalization in front of them."""
        raise NotImplementedError


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
        fingerprint = _FINGERPRINT.search(self.file_name)[1]  # type: ignore[index]
        torch.hub.download_url_to_file(self.url, str(cache_folder() / self.file_name), fingerprint, progress=False)

    def _read(self, data: bytes) -> tuple[Mapping[str, Tensor], Normalize]:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), Normalize(self.mean, self.std)


@dataclass(frozen=True)
class HubNetwork(Pretrained):
    """A network of `REPOSITORY`: torchvision's `network`, trained with PGD within `trained_in` (a norm and an ε, in words).

    `autoattack` is RobustBench's accuracy under AutoAttack at that ε, in percent, where it has one.
    """

    network: str
    trained_in: str
    autoattack: float | None = None

    defense: ClassVar[str] = "pgd"
    defended: ClassVar[bool] = True

    @property
    def architecture(self) -> str:
        """torchvision's name of the network."""
        return self.network

    @property
    def about(self) -> str:
        """What its publishers and RobustBench say of it."""
        robust = "" if self.autoattack is None else f" and, says RobustBench, on {self.autoattack:.1f} % under AutoAttack"
        return f"Adversarially trained with PGD in {self.trained_in}. Right on {100 * self.accuracy:.1f} % of ImageNet{robust}."

    @property
    def file_name(self) -> str:
        """The name of its file on the Hub."""
        return f"{self.name}.ckpt"

    @property
    def arrives_in(self) -> Path:
        """The Hub's own cache of the repository."""
        home = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or "~/.cache/huggingface") / "hub"
        return Path(home).expanduser() / f"models--{REPOSITORY.replace('/', '--')}"

    def fetch(self) -> None:
        """Download the pickle, compare it with the SHA-256 that the Hub lists, and keep its weights as safetensors.

        A pickle that somebody has copied into the cache folder is taken instead, without a comparison.
        """
        if (copied := cache_folder() / self.file_name).is_file():
            self.keep(copied)
            return
        try:
            from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        except ImportError as error:
            raise OSError("the package huggingface_hub is not installed") from error
        try:
            listed = get_hf_file_metadata(hf_hub_url(REPOSITORY, self.file_name)).etag
            pickle = Path(hf_hub_download(REPOSITORY, self.file_name))
        except Exception as error:  # the errors of the Hub's HTTP library are not all OSErrors
            raise OSError(_innermost(error)) from error
        if _sha256(pickle) != listed:
            raise RuntimeError("not the published file")
        self.keep(pickle)

    def keep(self, pickle: Path) -> Path:
        """Write the weights in a pickle as safetensors into the cache; the path. Raises RuntimeError when it holds others."""
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{uuid.uuid4().hex}.part"
        try:
            as_safetensors(pickle, part, self.network)
            return part.replace(folder / f"{self.name}-{_sha256(part)[:8]}.safetensors")
        finally:
            part.unlink(missing_ok=True)

    def _read(self, data: bytes) -> tuple[Mapping[str, Tensor], Normalize]:
        weights = safetensors.load(data)
        return weights, Normalize(weights.pop(MEAN).tolist(), weights.pop(STD).tolist())


ROBUST = tuple(
    HubNetwork(name, f"{title}, adversarially trained, {words}", megabytes, clean / 100, network, words, autoattack)
    for name, network, title, words, megabytes, clean, autoattack in (
        ("resnet18_linf_eps4.0", "resnet18", "ResNet-18", "L∞ ε 4/255", 94, 52.49, 25.32),
        ("resnet50_linf_eps4.0", "resnet50", "ResNet-50", "L∞ ε 4/255", 205, 63.86, 34.96),
        ("resnet18_l2_eps3", "resnet18", "ResNet-18", "L2 ε 3.0", 94, 53.12, None),
        ("resnet50_l2_eps3", "resnet50", "ResNet-50", "L2 ε 3.0", 205, 62.83, None),
    )
)
"""Clean accuracies: github.com/microsoft/robust-models-transfer. AutoAttack (5,000 images): RobustBench, 31 March 2025."""


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
    found: dict[str, Pretrained] = {}
    for name, title in _TITLES.items():
        weights = get_model_weights(name).DEFAULT
        crop, clean = weights.transforms(), weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100
        size, mean, std = weights.meta.get("_file_size", 0.0), tuple(crop.mean), tuple(crop.std)
        found[f"{DATASET}/{name}"] = TorchvisionNetwork(name, title, size, clean, weights.url, mean, std)
    return found | {item.id: item for item in ROBUST}


def available() -> dict[str, Pretrained]:
    """The networks whose weights are on this machine and intact, by id."""
    if not any(_FINGERPRINT.search(file.name) for file in cache_folder().glob("*")):
        return {}  # the import of torchvision, which `zoo` needs, takes two seconds
    return {item.id: item for item in zoo().values() if _reason(item) is None}


def missing() -> dict[str, str]:
    """Why each of the other networks is not available, by id: one sentence each."""
    if not zoo():
        return {f"{DATASET}/{name}": f"{title}: needs the package torchvision." for name, title in _TITLES.items()}
    return {item.id: reason for item in zoo().values() if (reason := _reason(item)) is not None}


def find(model_id: str) -> Pretrained:
    """The network with that id; raises ModelError when there is none, or no weights for it here."""
    item = _known(model_id)
    item.path()
    return item


def download(model_id: str) -> Iterator[tuple[int, int]]:
    """Fetch a network's weights, yielding (bytes so far, bytes expected).

    The file appears under its name only when it is complete and its fingerprint fits. Raises ModelError when the network is
    unknown, the download fails, or the file is not the published one.
    """
    item = _known(model_id)
    try:
        yield from fetched_into(item.arrives_in, round(item.megabytes * 1e6), item.fetch)
    except RuntimeError as error:
        raise ModelError(f"The download of {item.title} is not the published file; nothing was kept, try again.") from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{item.title} could not be fetched ({why_not_fetched(error)}); check the network, or copy {item.file_name} into "
            f"{cache_folder()}."
        ) from error


def _known(model_id: str) -> Pretrained:
    if model_id not in zoo():
        choices = ", ".join(zoo()) or "none, because torchvision is not installed"
        raise ModelError(f"There is no pretrained model '{model_id[:80]}'; choose one of {choices}.")
    return zoo()[model_id]


def _reason(item: Pretrained) -> str | None:
    try:
        item.path()
    except ModelError as error:
        return str(error)
    return None


@functools.lru_cache(maxsize=32)
def _intact(file: Path, _size: int, _changed: int) -> bool:
    """Whether the file's SHA-256 begins as its name says; computed again when its size or time changes."""
    return _fits(file, _sha256(file))


def _fits(file: Path, digest: str) -> bool:
    """Whether a SHA-256 begins as the file's name says."""
    return digest.startswith(_FINGERPRINT.search(file.name)[1])  # type: ignore[index]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _innermost(error: BaseException) -> str:
    """The message of the exception that caused the others."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error) or type(error).__name__
