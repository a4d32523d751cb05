"""The forms images lie on disk in: Parquet, torchvision's files, image folders, and the samples inside packages.

Each reader returns uint8 images and labels as they stand; `data.py` decides which is asked and checks what came back.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import math
import re
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from advcore.errors import DataError
from advcore.images.decode import turn_upright

TorchvisionFormat = Literal["MNIST", "FashionMNIST", "CIFAR10", "TinyImageNet"]
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
# What those suffixes promise, whatever the bytes claim to be: Pillow hands others, such as EPS, to programs outside.
PICTURE_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")
_MODES = {1: "L", 3: "RGB"}
_QUARTER_TURNS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
}
_GREY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B"}
_SPLIT_FOLDERS = {"train": ("train",), "test": ("test", "val", "validation")}
# Size of each archive set in bytes, for the progress of a download.
_DOWNLOAD_BYTES = {"MNIST": 11_594_722, "FashionMNIST": 30_878_645, "CIFAR10": 170_498_071, "TinyImageNet": 248_100_043}
_TINY_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TINY_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


@dataclass(frozen=True, eq=False)
class RawImages:
    """uint8 N×C×H×W, int64 N, and the class names if the files themselves name them."""

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...] = ()


def size_text(shape: Sequence[int]) -> str:
    """C×H×W in words: `28×28 grey`, `32×32 colour`."""
    channels, height, width = shape
    return f"{width}×{height} {'grey' if channels == 1 else 'colour'}"


def _stack(pictures: Iterable[np.ndarray], labels: Iterable[int], class_names: Sequence[str] = ()) -> RawImages:
    """Equal-sized H×W or H×W×C arrays as one RawImages."""
    arrays = list(pictures)
    if not arrays:
        return RawImages(torch.empty(0, 1, 1, 1, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), tuple(class_names))
    pixels = np.stack(arrays)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    images = torch.from_numpy(np.ascontiguousarray(pixels))
    return RawImages(images, torch.tensor(list(labels), dtype=torch.int64), tuple(class_names))


def decode(data: bytes | Path, channels: int) -> np.ndarray:
    """One encoded picture as a uint8 array, H×W for one channel and H×W×3 for three."""
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=PICTURE_FORMATS) as picture:
        return np.asarray(_converted(picture, channels))


def _converted(picture: Image.Image, channels: int) -> Image.Image:
    """The picture as 8-bit grey or colour."""
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion cuts at 255 where it should scale
        picture = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    return picture.convert(_MODES[channels])


_DECODE_ERRORS = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    OverflowError,
    RuntimeError,
    Image.DecompressionBombError,
)


# --- Parquet -----------------------------------------------------------------------------------------------------------


def parquet_files(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split: `test.parquet` or the Hub's `[data/]test-00000-of-00002.parquet`, in order."""
    names = (split, "valid", "validation") if split == "test" else (split,)
    for place in (folder, folder / "data"):
        for name in names:
            if (single := place / f"{name}.parquet").is_file():
                return [single]
            if shards := sorted(place.glob(f"{name}-*-of-*.parquet")):
                return shards
    return []


def read_parquet(files: Sequence[Path], channels: int | None, limit: int | None) -> RawImages:
    """Images of the Hugging Face Hub layout: column `image` (struct of `bytes` and `path`), column `label` (int)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_shards(files)
    pictures: list[np.ndarray] = []
    labels: list[int] = []
    names: tuple[str, ...] = ()
    for file in files:
        wanted = None if limit is None else limit - len(labels)
        if wanted == 0:
            break
        try:
            with pq.ParquetFile(file) as parquet:
                schema, rows = parquet.schema_arrow, _parquet_rows(parquet, wanted)
        except (pa.ArrowException, OSError, KeyError, AttributeError) as error:  # AttributeError: `image` is no struct
            raise DataError(
                f"{file} is not a readable Parquet file of images ({_first_line(error)}); copy it again."
            ) from error
        names = names or _hub_class_names(schema.metadata or {})
        for row, (data, label) in enumerate(rows):
            if not isinstance(data, bytes) or not isinstance(label, int):
                raise DataError(f"{file}, row {row}: an image or its label is missing; copy the file again.")
            try:
                pictures.append(decode(data, channels or 3))
            except _DECODE_ERRORS as error:
                raise DataError(f"{file}, row {row}: the image cannot be read; copy the file again.") from error
            if pictures[-1].shape != pictures[0].shape:
                raise DataError(
                    f"{file}, row {row}: the image has another size than the first one; all images of a split must "
                    "have the same size."
                )
            labels.append(label)
    return _stack(pictures, labels, names)


def _check_shards(files: Sequence[Path]) -> None:
    """Raise DataError when `test-00000-of-00002.parquet` is there without its fellow."""
    if not (numbered := re.fullmatch(r"(.+)-\d+-of-(\d+)\.parquet", files[0].name)):
        return
    stem, count = numbered[1], int(numbered[2])
    wanted = (f"{stem}-{index:05}-of-{count:05}.parquet" for index in range(count))
    here = {file.name for file in files}
    if missing := next((name for name in wanted if name not in here), None):
        raise DataError(f"{files[0].parent / missing} is missing: the split has {count} files; copy it as well.")


def _parquet_rows(parquet: Any, limit: int | None) -> list[tuple[bytes, int]]:
    """(encoded image, label) of the first `limit` rows."""
    rows: list[tuple[bytes, int]] = []
    for batch in parquet.iter_batches(batch_size=min(limit or 4096, 4096), columns=["image", "label"]):
        images, labels = batch.column("image").field("bytes").to_pylist(), batch.column("label").to_pylist()
        rows.extend(zip(images, labels, strict=True))
        if limit is not None and len(rows) >= limit:
            return rows[:limit]
    return rows


def _hub_class_names(metadata: dict[bytes, bytes]) -> tuple[str, ...]:
    """The class names in a Parquet file's `huggingface` metadata, or none."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"]["label"]["names"]
        return tuple(str(name) for name in names)
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160].rstrip(": ") if str(error).strip() else type(error).__name__


# --- torchvision's own files -------------------------------------------------------------------------------------------

_TORCHVISION_MARKS = {
    "MNIST": "MNIST/raw",
    "FashionMNIST": "FashionMNIST/raw",
    "CIFAR10": "cifar-10-batches-py",
    "TinyImageNet": "tiny-imagenet-200",
}


def torchvision_folder(root: Path, name: str, form: TorchvisionFormat) -> Path | None:
    """The folder to hand to torchvision: the data folder or the dataset's own below it, whichever holds files of the set.

    An empty folder, as a download without network leaves it, holds none.
    """
    return next((place for place in (root, root / name) if any((place / _TORCHVISION_MARKS[form]).glob("*"))), None)


def read_torchvision(
    form: TorchvisionFormat | None, root: Path, split: str, wordnet: Sequence[str], limit: int | None
) -> RawImages:
    """A split as torchvision downloads it; Tiny ImageNet is its public archive, cut to the classes in `wordnet`."""
    if form == "TinyImageNet":
        return _read_tiny_imagenet(root / _TORCHVISION_MARKS[form], split, wordnet, limit)
    try:
        from torchvision import datasets
    except ImportError as error:
        raise DataError(f"{root} holds {form} as torchvision keeps it; run `pip install torchvision` to read it.") from error
    kind = getattr(datasets, form or "")
    try:
        if form == "CIFAR10":
            loaded = kind(root, train=split == "train")  # opens its pickled batches only if their checksums are right
        else:
            _check_idx(root / form / "raw", split)
            # The .pt files of old versions would come first, and they are pickles: they are never opened.
            loaded = type(form, (kind,), {"_check_legacy_exist": lambda _: False})(root, train=split == "train")
        pixels, targets = np.asarray(loaded.data), [int(label) for label in loaded.targets]
    except DataError:
        raise
    except (RuntimeError, ValueError, OSError, AssertionError, TypeError, KeyError) as error:
        where = _damaged_batch(kind, root) if form == "CIFAR10" else root / _TORCHVISION_MARKS[form]
        raise DataError(f"{where} is missing or not what {form} has there; delete it and fetch {form} again.") from error
    return _stack(list(pixels[:limit]), targets[:limit], getattr(loaded, "classes", ()))


def _check_idx(raw: Path, split: str) -> None:
    """Raise DataError unless a split's two idx files are as long as their headers say, and as many labels as images."""
    stem, counts = "train" if split == "train" else "t10k", []
    for name, magic, dimensions in ((f"{stem}-images-idx3-ubyte", 0x803, 3), (f"{stem}-labels-idx1-ubyte", 0x801, 1)):
        file = raw / name
        if not file.is_file():
            raise DataError(f"{file} is missing; fetch the dataset again.")
        with file.open("rb") as opened:
            header = opened.read(4 * (dimensions + 1))
        if len(header) < 4 * (dimensions + 1) or int.from_bytes(header[:4], "big") != magic:
            raise DataError(f"{file} does not begin like an idx file; delete it and fetch the dataset again.")
        sizes = struct.unpack(f">{dimensions}I", header[4:])
        if file.stat().st_size != len(header) + math.prod(sizes):
            raise DataError(f"{file} is truncated, or longer than it says; delete it and fetch the dataset again.")
        counts.append(sizes[0])
    if counts[0] != counts[1]:
        raise DataError(
            f"{raw} has {counts[0]} images but {counts[1]} labels ({split}); delete it and fetch the dataset again."
        )


def _damaged_batch(kind: Any, root: Path) -> Path:
    """The first of CIFAR-10's files that is missing or has another checksum than the published one."""
    from torchvision.datasets.utils import check_integrity

    folder = root / kind.base_folder
    listed = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    return next((folder / name for name, md5 in listed if not check_integrity(folder / name, md5)), folder)


def _read_tiny_imagenet(folder: Path, split: str, wordnet: Sequence[str], limit: int | None) -> RawImages:
    """The public archive's layout: train/ID/images/*.JPEG, and val/images with val_annotations.txt (used as `test`)."""
    labels = {wnid: label for label, wnid in enumerate(wordnet)}
    if split == "train":
        files = []
        for wnid, label in labels.items():
            place = folder / "train" / wnid / "images"
            if not (found := sorted(place.glob("*.JPEG"))):
                raise DataError(f"{place} is missing or has no images; unpack tiny-imagenet-200.zip again.")
            files += [(file, label) for file in found]
    else:
        table = folder / "val" / "val_annotations.txt"
        try:
            rows = [line.split("\t")[:2] for line in table.read_text().splitlines() if line.strip()]
            files = [(folder / "val" / "images" / Path(name).name, labels[wnid]) for name, wnid in rows if wnid in labels]
        except (OSError, ValueError) as error:
            raise DataError(f"{table} is missing or unreadable; unpack tiny-imagenet-200.zip again.") from error
    return _read_files(_spread(files, limit), lambda file: decode(file, 3))


def download(form: TorchvisionFormat, root: Path) -> Iterator[tuple[int, int]]:
    """Let torchvision fetch a dataset into `root`, yielding (bytes on disk, bytes expected) a few times a second."""
    failure: list[Exception] = []

    def fetch() -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            _fetch(form, root)
        except Exception as error:
            failure.append(error)

    start = _bytes_below(root)
    worker = threading.Thread(target=fetch, daemon=True)
    worker.start()
    while worker.is_alive():
        worker.join(0.25)
        yield min(_bytes_below(root) - start, _DOWNLOAD_BYTES[form]), _DOWNLOAD_BYTES[form]
    if failure:
        raise DataError(
            f"{form} could not be fetched ({_first_line(failure[0])}); check the network, or copy the files to {root}."
        ) from failure[0]


def _fetch(form: TorchvisionFormat, root: Path) -> None:
    from torchvision import datasets

    if form == "TinyImageNet":
        datasets.utils.download_and_extract_archive(_TINY_URL, str(root), md5=_TINY_MD5)
        return
    for train in (True, False):
        getattr(datasets, form)(root, train=train, download=True)


def _bytes_below(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue  # a temporary file that was renamed meanwhile
    return total


# --- image folders -----------------------------------------------------------------------------------------------------


def folder_split(folder: Path, split: str) -> Path | None:
    """The folder of a split that has class folders with images in them (or that may not be looked into), or None."""
    for name in _SPLIT_FOLDERS[split]:
        place = folder / name
        with contextlib.suppress(OSError):
            if not place.is_dir() or not any(_class_folders(place)):
                continue
        return place
    return None


def _class_folders(place: Path) -> Iterator[Path]:
    """The folders with images in them, by name."""
    for folder in sorted(place.iterdir()):
        if folder.is_dir() and any(_pictures_in(folder)):
            yield folder


def _pictures_in(folder: Path) -> Iterator[Path]:
    return (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)


def _labelled(place: Path, labels: Mapping[str, int]) -> list[tuple[Path, int]]:
    """Every picture of a split with the label of its folder."""
    return [(file, labels[folder.name]) for folder in _class_folders(place) for file in sorted(_pictures_in(folder))]


def read_folder(
    place: Path, channels: int, size: int, known: Sequence[str], wordnet: Sequence[str], limit: int | None
) -> RawImages:
    """CLASS/*.png below `place`, for a dataset whose shape is known.

    With `known` classes, the folders bear their names, their numbers or their `wordnet` ids, and pictures are read at their
    own size, so that a wrong one is noticed. Without (ImageNet), classes are in alphabetical order, which for WordNet ids is
    ImageNet's own, and pictures are scaled and cropped to size×size.
    """
    names = [folder.name for folder in _class_folders(place)]
    labels = _labels_of_known(place, names, known, wordnet) if known else {name: label for label, name in enumerate(names)}
    files = _spread(_labelled(place, labels), limit)
    raw = _read_files(files, lambda file: decode(file, channels) if known else _fit(file, channels, size))
    return RawImages(raw.images, raw.labels, tuple(known or names))


def _labels_of_known(place: Path, names: Sequence[str], known: Sequence[str], wordnet: Sequence[str]) -> dict[str, int]:
    """Folder name → label, whichever way the folders are named."""
    as_file_names = [re.sub(r"[/\\]", "_", name) for name in known]
    for spelling in (known, as_file_names, wordnet, [str(number) for number in range(len(known))]):
        if set(names) <= set(spelling):
            return {name: spelling.index(name) for name in names}
    odd = next(name for name in names if name not in as_file_names)
    raise DataError(
        f"{place / odd} bears the name of no class; name the folders '{as_file_names[0]}', '{as_file_names[1]}', … or "
        f"0 to {len(known) - 1}."
    )


def read_own_folder(folder: Path, split: str, size: int, limit: int | None) -> RawImages:
    """A folder of the user's own: SPLIT/CLASS/*.png, scaled and cropped to size×size unless all share a smaller size.

    Pictures are turned upright as their EXIF data say: phones store them as the sensor lay. Classes (alphabetical), channels
    and size are those of both splits together, and not of the `limit` images read: a model trained on one split fits the
    other.
    """
    places = {name: place for name in _SPLIT_FOLDERS if (place := folder_split(folder, name))}
    names = sorted({inner.name for place in places.values() for inner in _class_folders(place)})
    labels = {name: label for label, name in enumerate(names)}
    files = {name: _labelled(place, labels) for name, place in places.items()}
    sizes, modes = _sizes_and_modes(file for listed in files.values() for file, _ in listed)
    channels = 1 if modes <= _GREY_MODES else 3
    keep = len(sizes) == 1 and max(next(iter(sizes))) <= size
    wanted = _spread(files[split], limit)
    raw = _read_files(wanted, lambda file: _own_picture(file, channels, None if keep else size))
    return RawImages(raw.images, raw.labels, tuple(names))


def _own_picture(file: Path, channels: int, size: int | None) -> np.ndarray:
    """The picture upright, cut to size×size if one is given."""
    with Image.open(file, formats=PICTURE_FORMATS) as opened:
        turn = turn_upright(opened)
        picture = _converted(opened, channels)
    picture = picture if turn is None else picture.transpose(turn)
    return np.asarray(picture if size is None else _cut(picture, size))


def _sizes_and_modes(files: Iterable[Path]) -> tuple[set[tuple[int, int]], set[str]]:
    """The sizes of the upright pictures and the colour modes that occur, read from the headers."""
    sizes, modes = set(), set()
    for file in files:
        try:
            with Image.open(file, formats=PICTURE_FORMATS) as picture:
                turned = turn_upright(picture) in _QUARTER_TURNS
                sizes.add(picture.size[::-1] if turned else picture.size)
                modes.add(picture.mode)
        except _DECODE_ERRORS as error:
            raise DataError(f"{file} is not a readable image; replace or delete it.") from error
    return sizes, modes


def _fit(file: Path, channels: int, size: int) -> np.ndarray:
    """The picture as it lies in the file (ImageNet's figures are made so, whatever EXIF says), cut to size×size."""
    with Image.open(file, formats=PICTURE_FORMATS) as opened:
        return np.asarray(_cut(_converted(opened, channels), size))


def _cut(picture: Image.Image, size: int) -> Image.Image:
    """The picture with its shorter side scaled to `size` (8/7 of it for ImageNet's 224) and the centre cut out."""
    if picture.size == (size, size):
        return picture
    side = 256 if size == 224 else size
    scale = side / min(picture.size)
    width, height = (max(size, round(edge * scale)) for edge in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return picture.crop((left, top, left + size, top + size))


def _read_files(files: Sequence[tuple[Path, int]], read: Callable[[Path], np.ndarray]) -> RawImages:
    pictures = []
    for file, _ in files:
        try:
            pictures.append(read(file))
        except _DECODE_ERRORS as error:
            raise DataError(f"{file} is not a readable image; replace or delete it.") from error
        if pictures[-1].shape != pictures[0].shape:
            raise DataError(f"{file} has another size than the first image of its split; make them equal.")
    return _stack(pictures, (label for _, label in files))


def _spread(files: list[tuple[Path, int]], limit: int | None) -> list[tuple[Path, int]]:
    """At most `limit` files, evenly spaced, so that every class keeps its share."""
    if limit is None or limit >= len(files):
        return files
    return [files[index * len(files) // limit] for index in range(limit)]


# --- what packages bring -----------------------------------------------------------------------------------------------


def read_digits(split: str, limit: int | None) -> RawImages:
    """scikit-learn's 1,797 digits, 8×8 with 17 grey levels; the last 360 are the test split."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("The digits come with scikit-learn, which is not installed; run `pip install scikit-learn`.") from error
    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    part = slice(None, 1437) if split == "train" else slice(1437, None)
    return _stack(list(pixels[part][:limit]), (int(label) for label in bunch.target[part][:limit]))


def foolbox_folder() -> Path | None:
    """Where foolbox keeps its sample images, found without importing it."""
    spec = importlib.util.find_spec("foolbox")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else None
    return folder if folder and folder.is_dir() else None


def read_foolbox(folder: Path, name: str, channels: int, size: int, limit: int | None) -> RawImages:
    """foolbox's twenty samples of a dataset, `NAME_INDEX_LABEL.png` or `.jpg`, brought to size×size where they differ."""
    files = sorted(file for file in folder.iterdir() if file.stem.startswith(f"{name}_") and file.suffix in {".png", ".jpg"})
    labelled = [(file, int(file.stem.rsplit("_", 1)[1])) for file in files[:limit]]
    return _read_files(labelled, lambda file: _fit(file, channels, size))


def imagenet_class_names() -> tuple[str, ...]:
    """ImageNet's thousand class names in label order, as torchvision lists them, or plain numbers without torchvision."""
    try:
        from torchvision.models import ResNet18_Weights
    except ImportError:
        return tuple(f"class {index}" for index in range(1000))
    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def names_of_wordnet_ids(names: Sequence[str]) -> tuple[str, ...]:
    """The folder names themselves, or ImageNet's class names when they are exactly its thousand WordNet ids."""
    complete = len(names) == 1000 and all(name.startswith("n") and name[1:].isdigit() for name in names)
    return imagenet_class_names() if complete else tuple(names)
