"""Adversarially trained ImageNet networks (Salman et al. 2020, arXiv 2007.08489) from the Hugging Face Hub.

They are published as pickles. After a download, `unpickle` opens the pickle once, in a process of its own, and keeps the
weights as safetensors; the app opens only those.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from safetensors import torch as safetensors
from torch import Tensor

from advcore.models.layers import Normalize
from advcore.models.pickles import MEAN, STD, as_safetensors
from advcore.models.published import Pretrained, cache_folder

REPOSITORY = "madrylab/robust-imagenet-models"


@dataclass(frozen=True)
class HubNetwork(Pretrained):
    """A network of the repository, trained with PGD in `norm` at `epsilon` (as its title has it).

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
        with pickle.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != listed:
                raise RuntimeError("not the published file")
        self.keep(pickle)

    def keep(self, pickle: Path) -> Path:
        """Write the weights in a pickle as safetensors into the cache; the path. Raises RuntimeError when it holds others."""
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{uuid.uuid4().hex}.part"
        try:
            as_safetensors(pickle, part, self.network)
            with part.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return part.replace(folder / f"{self.name}-{digest[:8]}.safetensors")
        finally:
            part.unlink(missing_ok=True)

    def _read(self, data: bytes) -> tuple[Mapping[str, Tensor], Normalize]:
        weights = safetensors.load(data)
        return weights, Normalize(weights.pop(MEAN).tolist(), weights.pop(STD).tolist())


def _innermost(error: BaseException) -> str:
    """The message of the exception that caused the others."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error) or type(error).__name__


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
