"""Datasets: what there is, where each is looked for, and the one way to load it.

A dataset is looked for in this order: Parquet files in the Hugging Face Hub image layout, torchvision's own files, an
ImageFolder, all three under the data folder (`$ADVCORE_DATA`, else `data/`); then the samples that the package foolbox
brings. `digits` comes with scikit-learn and is always there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from advcore.data import class_names, readers
from advcore.errors import DataError

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
FOLDER_SIZE = 64  # a folder of the user's own is brought to this side, unless all its images share a smaller size
IMAGENET_LIMIT = 1000  # how many images of a full ImageNet folder are decoded unless told otherwise


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """Images with their labels: uint8 N×C×H×W (0…255), int64 N, and the class names in label order.

    `source` says in words where they came from; `samples` is true for the handful that foolbox brings. `indices` (int64 N) are
    the images' positions in their dataset, 0 … N−1 if left out: slices keep them, and attacks draw random numbers from them.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    dataset: str = ""
    source: str = ""
    samples: bool = False
    indices: Tensor = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        if self.indices is None:
            object.__setattr__(self, "indices", torch.arange(len(self.labels)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> LabeledImages:
        return replace(self, images=self.images[index], labels=self.labels[index], indices=self.indices[index])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def pixels(self, device: torch.device | str = "cpu") -> Tensor:
        """The images in pixel space: float32 N×C×H×W in [0, 1], on `device`."""
        return self.images.to(device).float().div_(255)


def even_epsilons(stop: float, steps: int, start: float = 0.0) -> tuple[float, ...]:
    """`steps` + 1 values of ε, evenly from `start` to `stop`, each rounded to ten decimals: equal grids compare equal."""
    return tuple(round(start + (stop - start) * index / steps, 10) for index in range(steps + 1)) if steps else (start,)


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset before any file is opened.

    `mean` and `std` are the training split's, per channel, in pixel space; `epsilon` is the budget the studies use on it and
    `epsilon_max` where the ε track ends, both L∞ in pixel space.
    """

    name: str
    title: str
    shape: tuple[int, int, int] | None
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)
    epsilon: float = 0.03
    epsilon_max: float = 32 / 255
    torchvision: readers.TorchvisionFormat | None = None
    foolbox: str | None = None
    wordnet: tuple[str, ...] = ()
    sizes: dict[Split, int] = field(default_factory=dict)
    note: str = ""

    @property
    def epsilons(self) -> tuple[float, ...]:
        """The fine ε grid of the track, 0 … epsilon_max: steps of 0.005 on grey images, of half a grey level on colour."""
        return even_epsilons(self.epsilon_max, round(self.epsilon_max / (0.005 if self.epsilon_max > 0.25 else 0.5 / 255)))


_GREY = {"train": 60_000, "test": 10_000}
_BUILT_IN = (
    Dataset(
        "mnist",
        "MNIST",
        (1, 28, 28),
        class_names.DIGITS,
        (0.1307,),
        (0.3081,),
        0.1,
        0.5,
        torchvision="MNIST",
        foolbox="mnist",
        sizes=_GREY,
        note="handwritten digits",
    ),
    Dataset(
        "fashion-mnist",
        "Fashion-MNIST",
        (1, 28, 28),
        class_names.FASHION,
        (0.2860,),
        (0.3530,),
        0.1,
        0.5,
        torchvision="FashionMNIST",
        foolbox="fashionMNIST",
        sizes=_GREY,
        note="pieces of clothing",
    ),
    Dataset(
        "cifar10",
        "CIFAR-10",
        (3, 32, 32),
        class_names.CIFAR10,
        (0.4914, 0.4822, 0.4465),
        (0.2470, 0.2435, 0.2616),
        0.03,
        32 / 255,
        torchvision="CIFAR10",
        foolbox="cifar10",
        sizes={"train": 50_000, "test": 10_000},
        note="photographs in ten classes",
    ),
    Dataset(
        "tiny-imagenet",
        "Tiny ImageNet (50 classes)",
        (3, 64, 64),
        tuple(class_names.TINY_IMAGENET.values()),
        (0.48, 0.45, 0.40),
        (0.28, 0.27, 0.28),
        0.03,
        32 / 255,
        torchvision="TinyImageNet",
        wordnet=tuple(class_names.TINY_IMAGENET),
        sizes={"train": 25_000, "test": 2_500},
        note="ImageNet downscaled to 64×64",
    ),
    Dataset(
        "imagenet",
        "ImageNet",
        (3, 224, 224),
        (),
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        0.03,
        32 / 255,
        foolbox="imagenet",
        note="photographs in a thousand classes, 224×224",
    ),
    Dataset(
        "digits",
        "Digits 8×8",
        (1, 8, 8),
        class_names.DIGITS,
        (0.3053,),
        (0.3760,),
        0.1,
        0.5,
        sizes={"train": 1_437, "test": 360},
        note="scikit-learn's handwritten digits, always at hand",
    ),
)
BUILT_IN: dict[str, Dataset] = {dataset.name: dataset for dataset in _BUILT_IN}
# Folders that torchvision keeps its own files in: no datasets of the user's.
_TORCHVISION_FOLDERS = {"MNIST", "FashionMNIST", "cifar-10-batches-py", "tiny-imagenet-200"}


@dataclass(frozen=True)
class Source:
    """Where a split of a dataset was found: the form of the files, their path, and the same in words."""

    kind: Literal["parquet", "torchvision", "folder", "samples", "package"]
    path: Path
    words: str

    @property
    def samples(self) -> bool:
        return self.kind == "samples"


def data_root() -> Path:
    """The data folder: `$ADVCORE_DATA`, else `data/` in the working directory."""
    return Path(os.environ.get("ADVCORE_DATA") or "data")


def datasets() -> dict[str, Dataset]:
    """Every dataset by name: the built-in ones, then each folder of the user's own under the data folder."""
    root, found = data_root(), dict(BUILT_IN)
    with contextlib.suppress(OSError):  # a data folder that cannot be listed holds no datasets
        for folder in sorted(root.iterdir()):
            name = folder.name
            if name in BUILT_IN or name in _TORCHVISION_FOLDERS or not re.fullmatch(r"[\w][\w.-]{0,63}", name):
                continue
            if readers.folder_split(folder, "test") is not None:
                found[name] = Dataset(name, name, None, note="a folder of your own")
    return found


def dataset(name: str) -> Dataset:
    """The dataset called `name`; raises DataError when there is none."""
    known = datasets()
    if name not in known:
        raise DataError(f"There is no dataset '{name}'; choose one of {', '.join(known)}.")
    return known[name]


def find(name: str, split: Split = "test") -> Source:
    """Where `split` of the dataset is, without opening it; raises DataError when it is nowhere."""
    info, root = dataset(name), data_root()
    if split not in SPLITS:
        raise DataError(f"There is no split '{split}'; choose one of {', '.join(SPLITS)}.")
    if name == "digits" and importlib.util.find_spec("sklearn"):
        return Source("package", Path("scikit-learn"), "scikit-learn's own copy")
    if files := readers.parquet_files(root / name, split):
        place = files[0] if len(files) == 1 else files[0].parent
        return Source("parquet", place, f"Parquet in {files[0].parent}")
    if info.torchvision and (folder := readers.torchvision_folder(root, name, info.torchvision)):
        return Source("torchvision", folder, f"torchvision's files in {folder}")
    if folder := readers.folder_split(root / name, split):
        return Source("folder", folder, f"image folder {folder}")
    if info.foolbox and split == "test" and (folder := readers.foolbox_folder()):
        return Source("samples", folder, "the 20 sample images that foolbox brings")
    fetch = f", or fetch it with `python -m advcore data --download {name}`" if info.torchvision else ""
    fetch = ", or run `pip install scikit-learn`, which brings it" if name == "digits" else fetch
    raise DataError(
        f"{info.title} ({split} split) is not on this machine: put it under {root / name} as Parquet or as "
        f"{split}/CLASS/*.png folders, set ADVCORE_DATA to where it is{fetch}."
    )


def available(split: Split = "test") -> dict[str, Source]:
    """The datasets whose `split` is on this machine, by name, with where it is."""
    found = {}
    for name in datasets():
        try:
            found[name] = find(name, split)
        except DataError:
            continue
    return found


def load(name: str, split: Split = "test", *, limit: int | None = None) -> LabeledImages:
    """The first `limit` images of a split (all of them if None), decoded.

    Grey datasets come as 1×H×W and colour ones as 3×H×W. Raises DataError, in one sentence that names the file, when the
    data is missing, truncated, of the wrong shape or has labels outside its classes.
    """
    source, info = find(name, split), dataset(name)
    if limit is not None and limit < 1:
        raise DataError(f"The number of images must be at least 1, not {limit}.")
    try:
        raw = _read(info, source, split, limit)
    except OSError as error:  # what the readers do not expect: a file that may not be opened, a disk that fails
        raise DataError(f"{error.filename or source.path} cannot be read ({error.strerror}); make it readable.") from error
    names = info.class_names or raw.class_names or readers.imagenet_class_names()
    if name == "imagenet" and set(names) != set(readers.imagenet_class_names()):
        names = readers.names_of_wordnet_ids(names)
    _check(info, names, raw, source)
    return LabeledImages(raw.images, raw.labels, names, name, source.words, source.samples)


def _read(info: Dataset, source: Source, split: Split, limit: int | None) -> readers.RawImages:
    """What the files of a source hold, as it stands."""
    name, channels = info.name, info.shape[0] if info.shape else None
    match source.kind:
        case "package":
            return readers.read_digits(split, limit)
        case "parquet":
            return readers.read_parquet(readers.parquet_files(data_root() / name, split), channels, limit)
        case "torchvision":
            return readers.read_torchvision(info.torchvision, source.path, split, info.wordnet, limit)
        case "folder":
            if info.shape is None:
                return readers.read_own_folder(data_root() / name, split, FOLDER_SIZE, limit)
            limit = limit or (IMAGENET_LIMIT if name == "imagenet" else None)
            return readers.read_folder(source.path, *info.shape[:2], info.class_names, info.wordnet, limit)
        case "samples":
            return readers.read_foolbox(source.path, info.foolbox, *info.shape[:2], limit)


def _check(info: Dataset, names: tuple[str, ...], raw: readers.RawImages, source: Source) -> None:
    """Raise DataError unless the images have the dataset's shape and the labels lie within its classes."""
    where = source.path if source.kind == "parquet" else source.words
    if len(raw.labels) == 0:
        raise DataError(f"{where} holds no images; replace it with a complete copy of {info.title}.")
    if info.shape and tuple(raw.images.shape[1:]) != info.shape:
        raise DataError(
            f"{where} holds images of {readers.size_text(raw.images.shape[1:])}, but {info.title} has "
            f"{readers.size_text(info.shape)}; replace it with a copy of {info.title}."
        )
    low, high = int(raw.labels.min()), int(raw.labels.max())
    if low < 0 or high >= len(names):
        wrong = low if low < 0 else high
        raise DataError(
            f"{where} holds the label {wrong}, but {info.title} has the labels 0 to {len(names) - 1}; "
            f"replace it with a copy of {info.title}."
        )


def download(name: str) -> Iterator[tuple[int, int]]:
    """Fetch the dataset with torchvision into the data folder, yielding (bytes so far, bytes expected).

    Raises DataError when torchvision has no such dataset or the network does not give it.
    """
    info = dataset(name)
    if info.torchvision is None:
        raise DataError(f"{info.title} cannot be fetched from here; put your copy under {data_root() / name}.")
    yield from readers.download(info.torchvision, data_root())
