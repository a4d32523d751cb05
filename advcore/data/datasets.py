"""The datasets: one entry each, where their files are searched, and how they are loaded.

A dataset is searched in this order: Parquet files in the Hugging Face Hub image layout, torchvision's own files, and class
folders, all below the data folder (`$ADVCORE_DATA`, or `data/`); then the samples of the package foolbox. `digits` is read
from scikit-learn's files.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from advcore.data import class_names, readers
from advcore.errors import DataError
from advcore.lazy import torch

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
FOLDER_SIZE = 64  # images of a user's folder are scaled to this side, unless all of them share a smaller size


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """Images with their labels: uint8 N×C×H×W (0…255), int64 N, and the class names in label order.

    `source` says in words where they came from; `samples` is true for the 20 images that foolbox contains. `indices` (int64 N)
    are the images' positions in their dataset, 0 … N−1 by default: slices keep them, and the random numbers of attacks depend
    on them. `groups` (int64 N) gives images of the same object one number, so that they are held out together; None if unknown.
    """

    images: torch.Tensor
    labels: torch.Tensor
    class_names: tuple[str, ...]
    dataset: str = ""
    source: str = ""
    samples: bool = False
    indices: torch.Tensor = None  # type: ignore[assignment]  # filled in below
    groups: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.indices is None:
            object.__setattr__(self, "indices", torch.arange(len(self.labels)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | torch.Tensor) -> LabeledImages:
        groups = None if self.groups is None else self.groups[index]
        return replace(self, images=self.images[index], labels=self.labels[index], indices=self.indices[index], groups=groups)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def pixels(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """The images in pixel space: float32 N×C×H×W in [0, 1], on `device`."""
        return self.images.to(device).float().div_(255)

    @property
    def contrast(self) -> torch.Tensor:
        """The standard deviation of the values in the middle of each image, half as wide and high, in pixel space, float N.

        Dark and hazy images have little. What surrounds the subject does not count.
        """
        _, height, width = self.shape
        middle = self.pixels()[:, :, height // 4 : height - height // 4, width // 4 : width - width // 4]
        return middle.flatten(1).std(1, correction=0)


def even_epsilons(stop: float, steps: int, start: float = 0.0) -> tuple[float, ...]:
    """`steps` + 1 values of ε, evenly from `start` to `stop`, each rounded to ten decimals: equal grids compare equal."""
    return tuple(round(start + (stop - start) * index / steps, 10) for index in range(steps + 1)) if steps else (start,)


@dataclass(frozen=True)
class DigitForm:
    """How a dataset frames its digits: the longer side of the ink is `ink` pixels, centred by mass or by its bounding box."""

    ink: float
    by_mass: bool = True


@dataclass(frozen=True)
class Dataset:
    """What the program knows about a dataset before any file is opened. A new dataset is one entry in `BUILT_IN`.

    `shape` is C×H×W, or None for a user's folder, where the images decide. `mean` and `std` are the training split's, per
    channel, in pixel space. `epsilon` is the budget the studies use and `epsilon_max` where the ε track ends, both L∞ in pixel
    space; `l2_budget` is the L2 budget in pixel space within which Carlini and Wagner's attack must succeed. `sizes` counts
    the images of each split. `torchvision` says how torchvision stores the dataset, `foolbox` the prefix of foolbox's samples,
    `sklearn` that it is part of scikit-learn, `wordnet` the ids of its classes in label order. `folder_limit` is how many
    images of a folder are decoded by default. `digit_form` is set for datasets of handwritten digits. `subject` is what the
    images show, a name in `advcore.photos.subjects`; empty for a user's folder. `mirrored` says whether an image keeps its
    class when it is mirrored. `architecture` is the network that pages train first; `pair` names a standard checkpoint and a
    defended one that is not masked, on which pages open. `quick` and `robust` are fields of the recipes of those names:
    `quick` trains the standard model of `architecture` further, must start, train and be measured within a minute on two
    cores, and is empty where that is impossible. `swap` names two classes, where taking the first for the second does harm: an
    example of an attack toward a class. `credit` names the origin and the licence; `caveat` says how the images on which the
    shipped models were measured differ from it.
    """

    name: str
    title: str
    note: str = "a folder of your own"
    shape: tuple[int, int, int] | None = None
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)
    epsilon: float = 0.03
    epsilon_max: float = 32 / 255
    l2_budget: float = 0.5
    sizes: Mapping[Split, int] = field(default_factory=dict)
    torchvision: readers.TorchvisionFiles | None = None
    foolbox: str | None = None
    sklearn: bool = False
    wordnet: tuple[str, ...] = ()
    folder_limit: int | None = None
    digit_form: DigitForm | None = None
    subject: str = ""
    mirrored: bool = True
    architecture: str = "general_cnn"
    pair: tuple[str, str] | None = None
    quick: Mapping[str, Any] = field(default_factory=dict)
    robust: Mapping[str, Any] = field(default_factory=dict)
    swap: tuple[str, str] | None = None
    credit: str = ""
    caveat: str = ""

    @property
    def grey(self) -> bool:
        """Whether its images have one channel; False for a user's folder."""
        return self.shape is not None and self.shape[0] == 1

    @property
    def epsilons(self) -> tuple[float, ...]:
        """The ε grid of the track, 0 … epsilon_max, in steps of 0.005 for grey images and of 0.5/255 for colour."""
        return even_epsilons(self.epsilon_max, round(self.epsilon_max / (0.005 if self.grey else 0.5 / 255)))


_BUILT_IN = (
    Dataset(
        "mnist",
        "MNIST",
        "handwritten digits",
        shape=(1, 28, 28),
        class_names=class_names.DIGITS,
        subject="digit",
        mirrored=False,
        pair=("general_cnn-standard", "general_cnn-fgsm-0.1"),
        mean=(0.1307,),
        std=(0.3081,),
        epsilon=0.1,
        epsilon_max=0.5,
        l2_budget=1.5,
        sizes={"train": 60_000, "test": 10_000},
        torchvision=readers.TorchvisionFiles("MNIST", "MNIST/raw", 11_594_722),
        foolbox="mnist",
        digit_form=DigitForm(20),  # LeCun et al. 1998
        architecture="srivathsav_cnn",
        quick={
            "defense": "pgd",
            "attack_steps": 3,
            "epsilon": 0.2,
            "epochs": 3,
            "images": 8000,
            "batch_size": 64,
            "learning_rate": 0.0007,
        },
        credit="Y. LeCun, C. Cortes and C. Burges; CC BY-SA 3.0",
    ),
    Dataset(
        "fashion-mnist",
        "Fashion-MNIST",
        "pieces of clothing",
        shape=(1, 28, 28),
        class_names=class_names.FASHION,
        subject="clothing",
        pair=("general_cnn-standard", "general_cnn-pgd-0.1"),
        mean=(0.2860,),
        std=(0.3530,),
        epsilon=0.1,
        epsilon_max=0.5,
        l2_budget=1.5,
        sizes={"train": 60_000, "test": 10_000},
        torchvision=readers.TorchvisionFiles("FashionMNIST", "FashionMNIST/raw", 30_878_645),
        foolbox="fashionMNIST",
        architecture="general_cnn",
        quick={
            "defense": "trades",
            "trades_beta": 0.15,
            "attack_steps": 3,
            "epsilon": 0.07,
            "epochs": 1,
            "images": 36_000,
            "learning_rate": 0.0006,
            "averaging": 0.99,
        },
        robust={"epsilon": 0.1},
        credit="Zalando Research; MIT licence",
    ),
    Dataset(
        "cifar10",
        "CIFAR-10",
        "photographs in ten classes",
        shape=(3, 32, 32),
        class_names=class_names.CIFAR10,
        subject="photo",
        pair=("preact_resnet18-standard", "preact_resnet18-n_fgsm-0.03137"),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        sizes={"train": 50_000, "test": 10_000},
        torchvision=readers.TorchvisionFiles("CIFAR10", "cifar-10-batches-py", 170_498_071),
        foolbox="cifar10",
        credit="A. Krizhevsky, V. Nair and G. Hinton; no licence stated",
        caveat="Our figures are measured on a JPEG copy of CIFAR-10, so they are not exactly those of the original files.",
    ),
    Dataset(
        "gtsrb",
        "GTSRB (traffic signs)",
        "German traffic signs in 43 classes",
        shape=(3, 32, 32),
        class_names=class_names.GTSRB,
        subject="sign",
        architecture="airbench",
        pair=("airbench-standard", "airbench-n_fgsm-0.03137"),
        quick={
            "defense": "pgd",
            "attack_steps": 2,
            "epsilon": 0.03,
            "epochs": 1,
            "images": 8000,
            "optimizer": "muon",
            "learning_rate": 0.015,
            "schedule": "linear",
            "label_smoothing": 0.1,
            "augment": ("rotate", "shift"),
            "averaging": 0.95,
            "evaluations": 4,
        },
        mirrored=False,
        swap=("Stop", "Speed limit 120 km/h"),
        mean=(0.3583, 0.3173, 0.3347),
        std=(0.2706, 0.2538, 0.2633),
        sizes={"test": 12_630},  # copies differ in how many training images they keep
        torchvision=readers.TorchvisionFiles("GTSRB", "gtsrb/GTSRB", 276_000_000),
        credit="J. Stallkamp et al. 2011; free to use with a citation",
        caveat="Our figures are measured on a softened JPEG copy of GTSRB's test set: they compare with no published ones.",
    ),
    Dataset(
        "tiny-imagenet",
        "Tiny ImageNet (50 classes)",
        "ImageNet downscaled to 64×64",
        shape=(3, 64, 64),
        class_names=tuple(class_names.TINY_IMAGENET.values()),
        subject="photo",
        pair=("preact_resnet18-standard", "preact_resnet18-fgsm_rs-0.01569"),
        mean=(0.48, 0.45, 0.40),
        std=(0.28, 0.27, 0.28),
        l2_budget=1.0,
        sizes={"train": 25_000, "test": 2_500},
        torchvision=readers.TorchvisionFiles(
            "TinyImageNet",
            "tiny-imagenet-200",
            248_100_043,
            url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            md5="90528d7ca1a48142e341f4ef8d21d0de",
        ),
        wordnet=tuple(class_names.TINY_IMAGENET),
        credit="Stanford CS231n, from ImageNet; for research and teaching only",
    ),
    Dataset(
        "imagenet",
        "ImageNet",
        "photographs in a thousand classes, 224×224",
        shape=(3, 224, 224),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        foolbox="imagenet",
        subject="photo",
        folder_limit=1000,
        credit="image-net.org; for research and teaching only",
    ),
    Dataset(
        "digits",
        "Digits 8×8",
        "scikit-learn's handwritten digits, part of the installation",
        shape=(1, 8, 8),
        class_names=class_names.DIGITS,
        subject="digit",
        mirrored=False,
        pair=("digits_cnn-standard", "digits_cnn-pgd-0.2"),
        mean=(0.3053,),
        std=(0.3760,),
        epsilon=0.1,
        epsilon_max=0.5,
        sizes={"train": 1_437, "test": 360},
        sklearn=True,
        digit_form=DigitForm(7.4, by_mass=False),  # they fill their height
        architecture="digits_cnn",
        quick={"defense": "fgsm", "epsilon": 0.2, "epochs": 15, "batch_size": 64, "learning_rate": 0.003},
        robust={"epsilon": 0.2, "epochs": 40, "batch_size": 64},
        credit="E. Alpaydin and C. Kaynak; CC BY 4.0",
    ),
)
BUILT_IN: dict[str, Dataset] = {dataset.name: dataset for dataset in _BUILT_IN}
"""By name, in the order in which pages list them."""


@dataclass(frozen=True)
class Source:
    """Where a split of a dataset was found: the form of its files, their path, and the form in words, without the path."""

    kind: Literal["parquet", "torchvision", "folder", "samples", "package"]
    path: Path
    words: str

    @property
    def samples(self) -> bool:
        """Whether these are foolbox's 20 images."""
        return self.kind == "samples"


def data_root() -> Path:
    """The data folder: `$ADVCORE_DATA`, or `data/` in the working directory."""
    return Path(os.environ.get("ADVCORE_DATA") or "data")


def datasets() -> dict[str, Dataset]:
    """Every dataset by name: the built-in ones, then each class folder of a user's own below the data folder."""
    root, found = data_root(), dict(BUILT_IN)
    reserved = {info.torchvision.folder.split("/")[0] for info in found.values() if info.torchvision} | set(found)
    with contextlib.suppress(OSError):  # a data folder that cannot be listed holds no datasets
        for folder in sorted(root.iterdir()):
            usable = folder.name not in reserved and re.fullmatch(r"\w[\w.-]{0,63}", folder.name)
            if usable and readers.folder_split(folder, "test"):
                found[folder.name] = Dataset(folder.name, folder.name)
    return found


def dataset(name: str) -> Dataset:
    """The dataset called `name`; raises DataError when there is none."""
    known = BUILT_IN if name in BUILT_IN else datasets()  # which looks into the data folder; pages ask this many times
    if name not in known:
        raise DataError(f"There is no dataset '{name}'; choose one of {', '.join(known)}.")
    return known[name]


def find(name: str, split: Split = "test") -> Source:
    """Where `split` of the dataset is, without opening it; raises DataError when it is not on this machine."""
    info, root = dataset(name), data_root()
    if split not in SPLITS:
        raise DataError(f"There is no split '{split}'; choose one of {', '.join(SPLITS)}.")
    if info.sklearn and importlib.util.find_spec("sklearn"):
        return Source("package", Path("scikit-learn"), "from scikit-learn")
    if files := readers.parquet_files(root / name, split):
        return Source("parquet", files[0] if len(files) == 1 else files[0].parent, "from Parquet files")
    if info.torchvision and (folder := readers.torchvision_folder(root, name, info.torchvision)):
        return Source("torchvision", folder, "from torchvision's files")
    if folder := readers.folder_split(root / name, split):
        return Source("folder", folder, "from an image folder")
    if info.foolbox and split == "test" and (folder := readers.foolbox_folder()):
        return Source("samples", folder, "the samples that foolbox brings")
    fetch = f", or fetch it with `python -m advcore data --download {name}`" if info.torchvision else ""
    fetch = ", or run `pip install scikit-learn`, which contains it" if info.sklearn else fetch
    raise DataError(
        f"{info.title} ({split} split) is not on this machine: put it under {root / name} as Parquet or as "
        f"{split}/CLASS/*.png folders, set ADVCORE_DATA to the folder that holds it{fetch}."
    )


def available(split: Split = "test") -> dict[str, Source]:
    """The datasets whose `split` is on this machine: name to source."""
    found = {}
    for name in datasets():
        try:
            found[name] = find(name, split)
        except DataError:
            continue
    return found


def load(name: str, split: Split = "test", *, limit: int | None = None) -> LabeledImages:
    """The first `limit` images of a split (all of them if None), decoded.

    The order is that of the files; images of class folders are shuffled with a fixed seed, so that the first N are a fair
    sample. Grey images are 1×H×W and colour images 3×H×W. Raises DataError, in one sentence that names the file, when the data
    is missing, truncated, of the wrong shape or has labels outside its classes.
    """
    source, info = find(name, split), dataset(name)
    if limit is not None and limit < 1:
        raise DataError(f"The number of images must be at least 1, not {limit}.")
    try:
        raw = _read(info, source, split, limit)
    except OSError as error:  # a file that may not be opened, a failing disk
        raise DataError(f"{error.filename or source.path} cannot be read ({error.strerror}); make it readable.") from error
    names = info.class_names or readers.names_of_wordnet_ids(raw.class_names) or readers.imagenet_class_names()
    _check(info, names, raw, source)
    return LabeledImages(raw.images, raw.labels, names, name, source.words, source.samples, groups=raw.groups)


def test_split(name: str) -> LabeledImages:
    """The test split, decoded once for each place it is found in, and shared: it must not be changed. Raises as `load` does."""
    return _kept(name, find(name, "test"))


@functools.lru_cache(maxsize=8)
def _kept(name: str, source: Source) -> LabeledImages:
    return load(name, "test")


def _read(info: Dataset, source: Source, split: Split, limit: int | None) -> readers.RawImages:
    """The images of a source, unchecked."""
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
            limit = limit or info.folder_limit
            return readers.read_folder(source.path, *info.shape[:2], info.class_names, info.wordnet, limit)
        case "samples":
            return readers.read_foolbox(source.path, info.foolbox, *info.shape[:2], limit)


def _check(info: Dataset, names: tuple[str, ...], raw: readers.RawImages, source: Source) -> None:
    """Raise DataError unless the images have the dataset's shape and the labels lie within its classes."""
    where = source.path
    if len(raw.labels) == 0:
        raise DataError(f"{where} holds no images; replace it with a complete copy of {info.title}.")
    if info.shape and tuple(raw.images.shape[1:]) != info.shape:
        raise DataError(
            f"{where} holds images of {readers.size_text(raw.images.shape[1:])}, but {info.title} has "
            f"{readers.size_text(info.shape)}; replace it with a copy of {info.title}."
        )
    if problem := class_names.problem(names):  # said before training: no checkpoint could hold them
        raise DataError(f"{where} cannot be used: it has {problem}; correct the names of its classes.")
    wrong = raw.labels[(raw.labels < 0) | (raw.labels >= len(names))]
    if len(wrong):
        raise DataError(
            f"{where} holds the label {int(wrong[0])}, but {info.title} has the labels 0 to {len(names) - 1}; "
            f"replace it with a copy of {info.title}."
        )


def download(name: str) -> Iterator[tuple[int, int]]:
    """Download the dataset with torchvision into the data folder, yielding (bytes so far, bytes expected).

    Raises DataError when torchvision has no such dataset, or when the download fails.
    """
    info = dataset(name)
    if info.torchvision is None:
        raise DataError(f"{info.title} cannot be fetched from here; put your copy under {data_root() / name}.")
    yield from readers.download(info.torchvision, data_root())
