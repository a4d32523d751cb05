"""What all published ImageNet networks share: a weights file whose name holds its fingerprint, and how it is opened.

The files lie in torch hub's cache, `$TORCH_HOME/hub/checkpoints` (usually `~/.cache/torch/hub/checkpoints`), under names like
`resnet18-f37072fd.pth`: the part after the dash is the beginning of the file's SHA-256. They are read safely: the bytes must
match that fingerprint; a reader that knows tensors only opens them; and they must be the network's own weights, by name and
shape.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcore.data.readers import imagenet_class_names
from advcore.errors import ModelError
from advcore.models.architectures import Shape
from advcore.models.layers import Normalize

DATASET = "imagenet"
SHAPE: Shape = (3, 224, 224)
FINGERPRINT = re.compile(r"-([0-9a-f]{8})\.(?:pth|safetensors)$")


@dataclass(frozen=True)
class Pretrained:
    """A network with published weights. `accuracy` (top-1 on ImageNet, in [0, 1]) is the publisher's own figure.

    A subclass says how its file is read (`_read`), where it comes from (`fetch`) and what it is called (`file_name`). `about`
    is what the publishers say of it, in a sentence.
    """

    name: str
    title: str
    megabytes: float
    accuracy: float

    dataset = DATASET
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
    def shape(self) -> Shape:
        """Channels, height and width of the images that it takes."""
        return SHAPE

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
        """Download the weights into the cache; the file appears under its name only when it is whole.

        Raises RuntimeError when it is not the published file, OSError or ValueError when it cannot be fetched.
        """
        raise NotImplementedError

    def path(self) -> Path:
        """The file of its weights on this machine, with the right fingerprint. Raises ModelError when there is none."""
        folder = cache_folder()
        files = [folder / self.file_name, *sorted(folder.glob(f"{self.name}-????????.*"))]
        here = list(dict.fromkeys(file for file in files if FINGERPRINT.search(file.name) and file.is_file()))
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

        file, network = self.path(), get_model(self.architecture, weights=None)
        data = file.read_bytes()
        if not fits(file, hashlib.sha256(data).hexdigest()):  # exactly these bytes are loaded below
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


def cache_folder() -> Path:
    """Where torch hub, and so torchvision, keeps downloaded weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


@functools.lru_cache(maxsize=32)
def _intact(file: Path, size: int, changed: int) -> bool:
    """Whether the file's SHA-256 begins as its name says; computed again when its size or time changes."""
    with file.open("rb") as stream:
        return fits(file, hashlib.file_digest(stream, "sha256").hexdigest())


def fits(file: Path, digest: str) -> bool:
    """Whether a SHA-256 begins as the file's name says."""
    return digest.startswith(FINGERPRINT.search(file.name)[1])  # type: ignore[index]
