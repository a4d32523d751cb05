"""Readers of every form in which images are stored: Parquet, torchvision's files, image folders, samples inside packages.

Each returns uint8 images and labels as they are in the files; `datasets.py` chooses the reader and checks the result.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import math
import random
import re
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from advcore.errors import DataError
from advcore.files import fetched_into, first_line, why_not_fetched
from advcore.images.levels import PhotoError, decode_levels, read_header
from advcore.lazy import torch

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
_MODES = {1: "L", 3: "RGB"}
_GREY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B"}
_SPLIT_FOLDERS = {"train": ("train",), "test": ("test", "val", "validation")}
_ORDER_SEED = 0


@dataclass(frozen=True)
class TorchvisionFiles:
    """How torchvision stores a dataset: its class there, the folder of its files and the size of the download in bytes.

    `url` and `md5` are set for an archive that torchvision only downloads and unpacks (Tiny ImageNet).
    """

    name: str
    folder: str
    download_bytes: int
    url: str = ""
    md5: str = ""


@dataclass(frozen=True, eq=False)
class RawImages:
    """Images uint8 N×C×H×W, labels int64 N, and the class names if the files contain them.

    `groups` (int64 N) gives images of the same object, such as the frames of one film, one number; None if unknown.
    """

    images: torch.Tensor
    labels: torch.Tensor
    class_names: tuple[str, ...] = ()
    groups: torch.Tensor | None = None


def size_text(shape: Sequence[int]) -> str:
    """C×H×W in words: `28×28 grey`, `32×32 colour`."""
    channels, height, width = shape
    return f"{width}×{height} {'grey' if channels == 1 else 'colour'}"


def _stack(
    pixels: Iterable[np.ndarray], labels: Iterable[int], class_names: Sequence[str] = (), tracks: Sequence[object] = ()
) -> RawImages:
    """Equal-sized H×W or H×W×C arrays as RawImages; `tracks` names the group of each image, if there are groups."""
    arrays = list(pixels)
    if not arrays:
        return RawImages(torch.empty(0, 1, 1, 1, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), tuple(class_names))
    stacked = np.stack(arrays)
    stacked = stacked[:, None] if stacked.ndim == 3 else stacked.transpose(0, 3, 1, 2)
    images = torch.from_numpy(np.ascontiguousarray(stacked))
    number = {track: index for index, track in enumerate(dict.fromkeys(tracks))}
    groups = torch.tensor([number[track] for track in tracks], dtype=torch.int64) if number else None
    return RawImages(images, torch.tensor(list(labels), dtype=torch.int64), tuple(class_names), groups)


def decode(data: bytes, channels: int, *, upright: bool = False, size: int | None = None) -> np.ndarray:
    """One image file as a uint8 array: H×W for one channel, H×W×3 for three. Raises PhotoError as `decode_levels` does.

    `upright` applies its EXIF orientation. With `size`, the image is scaled and its centre cut to size×size.
    """
    image = decode_levels(data, upright=upright).image.convert(_MODES[channels])
    if size is not None and image.size != (size, size):
        # ImageNet's evaluation scales the shorter side to 256 and cuts out the middle 224: 1/16 is cut off at each side.
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC, bleed=1 / 16 if size == 224 else 0.0)
    return np.asarray(image)


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
    """Images in the Hugging Face Hub layout: columns `image` (struct of `bytes` and `path`) and `label` (int).

    An optional column `track` names the group of each image.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_shards(files)
    images: list[np.ndarray] = []
    labels: list[int] = []
    tracks: list[object] = []
    names: tuple[str, ...] = ()
    for file in files:
        wanted = None if limit is None else limit - len(labels)
        if wanted == 0:
            break
        try:
            with pq.ParquetFile(file) as parquet:
                schema, rows = parquet.schema_arrow, _parquet_rows(parquet, wanted)
        except (pa.ArrowException, OSError, KeyError, AttributeError) as error:  # AttributeError: `image` is not a struct
            raise DataError(f"{file} is not a readable Parquet file of images ({first_line(error)}); copy it again.") from error
        names = names or _hub_class_names(schema.metadata or {})
        for row, (data, label, *track) in enumerate(rows):
            if not isinstance(data, bytes) or not isinstance(label, int) or abs(label) >= 2**63:
                raise DataError(f"{file}, row {row}: an image or its label is missing or out of range; copy the file again.")
            try:
                images.append(decode(data, channels or 3))
            except PhotoError as error:
                raise DataError(f"{file}, row {row}: the image cannot be read; copy the file again.") from error
            if images[-1].shape != images[0].shape:
                raise DataError(
                    f"{file}, row {row}: the image has another size than the first one; all images of a split must "
                    "have the same size."
                )
            labels.append(label)
            tracks += track
    return _stack(images, labels, names, tracks)


def _check_shards(files: Sequence[Path]) -> None:
    """Raise DataError when one of the files `test-00000-of-00002.parquet` and so on is missing."""
    if not (numbered := re.fullmatch(r"(.+)-\d+-of-(\d+)\.parquet", files[0].name)):
        return
    stem, count = numbered[1], int(numbered[2])
    wanted = (f"{stem}-{index:05}-of-{count:05}.parquet" for index in range(count))
    here = {file.name for file in files}
    if missing := next((name for name in wanted if name not in here), None):
        raise DataError(f"{files[0].parent / missing} is missing: the split has {count} files; copy it as well.")


def _parquet_rows(parquet: Any, limit: int | None) -> list[tuple[Any, ...]]:
    """(encoded image, label) of the first `limit` rows; with a column `track`, (encoded image, label, track)."""
    rows: list[tuple[Any, ...]] = []
    more = ["track"] if "track" in parquet.schema_arrow.names else []
    for batch in parquet.iter_batches(batch_size=min(limit or 4096, 4096), columns=["image", "label", *more]):
        columns = (batch.column("image").field("bytes"), *(batch.column(name) for name in ("label", *more)))
        rows.extend(zip(*(column.to_pylist() for column in columns), strict=True))
        if limit is not None and len(rows) >= limit:
            return rows[:limit]
    return rows


def _hub_class_names(metadata: dict[bytes, bytes]) -> tuple[str, ...]:
    """The class names in a Parquet file's `huggingface` metadata; empty without usable ones."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"]["label"]["names"]
        return tuple(str(name) for name in names)
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


# --- torchvision's own files -------------------------------------------------------------------------------------------


def torchvision_folder(root: Path, name: str, files: TorchvisionFiles) -> Path | None:
    """torchvision's `root`: the data folder or the folder `name` below it, whichever holds files of the dataset; or None.

    A folder that a failed download left empty does not count.
    """
    return next((place for place in (root, root / name) if any((place / files.folder).glob("*"))), None)


def read_torchvision(stored: TorchvisionFiles, root: Path, split: str, wordnet: Sequence[str], limit: int | None) -> RawImages:
    """A split in the files that torchvision downloads; of Tiny ImageNet, only the classes in `wordnet`."""
    place = root / stored.folder
    match stored.name:
        case "TinyImageNet":
            return _read_tiny_imagenet(place, split, wordnet, limit)
        case "GTSRB":
            return _read_gtsrb(place, split, limit)
        case "CIFAR10":
            return _read_cifar10(root, split, limit)
    return _read_idx(place, split, limit)


def _read_idx(folder: Path, split: str, limit: int | None) -> RawImages:
    """MNIST's idx files: a magic number and the length of each dimension (big-endian, 32 bits each), then the bytes."""
    stem, arrays = "train" if split == "train" else "t10k", []
    for name, magic, dimensions in (("images-idx3-ubyte", 0x803, 3), ("labels-idx1-ubyte", 0x801, 1)):
        file, start = folder / f"{stem}-{name}", 4 * (dimensions + 1)
        if not file.is_file():
            raise DataError(f"{file} is missing; fetch the dataset again.")
        content = file.read_bytes()
        if len(content) < start or int.from_bytes(content[:4], "big") != magic:
            raise DataError(f"{file} does not begin like an idx file; delete it and fetch the dataset again.")
        sizes = struct.unpack(f">{dimensions}I", content[4:start])
        if len(content) != start + math.prod(sizes):
            raise DataError(f"{file} is truncated, or longer than its header says; delete it and fetch the dataset again.")
        arrays.append(np.frombuffer(content, np.uint8, offset=start).reshape(sizes))
    images, labels = arrays
    if len(images) != len(labels):
        raise DataError(
            f"{folder} has {len(images)} images but {len(labels)} labels ({split}); delete it and fetch the dataset again."
        )
    return RawImages(torch.from_numpy(images[:limit, None].copy()), torch.from_numpy(labels[:limit].astype(np.int64)))


def _read_cifar10(root: Path, split: str, limit: int | None) -> RawImages:
    """CIFAR-10's pickled batches, which torchvision opens only if their checksums are the published ones."""
    try:
        from torchvision.datasets import CIFAR10
        from torchvision.datasets.utils import check_integrity
    except ImportError as error:
        raise DataError(f"{root} holds CIFAR-10 as torchvision keeps it; run `pip install torchvision` to read it.") from error
    try:
        loaded = CIFAR10(root, train=split == "train")
    except (RuntimeError, ValueError, OSError, AssertionError, TypeError, KeyError) as error:
        folder = root / CIFAR10.base_folder
        listed = [*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])]
        damaged = next((folder / name for name, md5 in listed if not check_integrity(folder / name, md5)), folder)
        raise DataError(f"{damaged} is missing or damaged; delete it and fetch CIFAR-10 again.") from error
    return _stack(list(loaded.data[:limit]), loaded.targets[:limit])


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
    return _read_files(_shuffled(files)[:limit], lambda file: decode(file.read_bytes(), 3))


def _read_gtsrb(folder: Path, split: str, limit: int | None) -> RawImages:
    """The benchmark's own files: each sign is cut out by the box in the tables and scaled to 32×32."""
    train = split == "train"
    tables = sorted((folder / "Training").glob("*/GT-*.csv")) if train else [folder.parent / "GT-final_test.csv"]
    if not tables:
        raise DataError(f"{folder / 'Training'} holds no tables GT-*.csv; fetch GTSRB again.")
    files: list[tuple[Path, int]] = []
    boxes: dict[Path, tuple[int, int, int, int]] = {}
    for table in tables:
        place = table.parent if train else folder / "Final_Test" / "Images"
        try:
            with table.open(newline="", encoding="utf-8") as opened:
                for row in csv.DictReader(opened, delimiter=";"):
                    left, upper, right, lower = (int(row[f"Roi.{side}"]) for side in ("X1", "Y1", "X2", "Y2"))
                    if not (0 <= left < right <= 4096 and 0 <= upper < lower <= 4096):
                        raise ValueError("a box outside the image")
                    files.append((place / Path(row["Filename"]).name, int(row["ClassId"])))
                    boxes[files[-1][0]] = (left, upper, right, lower)
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise DataError(f"{table} is missing or is not GTSRB's; fetch GTSRB again.") from error
    chosen = _shuffled(files)[:limit]
    tracks = [(label, file.name.split("_")[0]) for file, label in chosen] if train else []
    return _read_files(chosen, lambda file: _sign(file, boxes[file]), tracks)


def _sign(file: Path, box: tuple[int, int, int, int]) -> np.ndarray:
    """The part of a PPM file within `box` (left, upper, right, lower), scaled to 32×32. Raises PhotoError for other files."""
    try:
        with Image.open(file, formats=("PPM",)) as image:
            return np.asarray(image.convert("RGB").crop(box).resize((32, 32), Image.Resampling.LANCZOS))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise PhotoError(f"{file.name} is not a PPM image; fetch GTSRB again.") from error


def download(stored: TorchvisionFiles, root: Path) -> Iterator[tuple[int, int]]:
    """Let torchvision download a dataset into `root`, yielding (bytes so far, bytes expected) four times a second.

    It arrives as a whole: what stops before its end leaves nothing that `torchvision_folder` would find.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=root) as folder:
            yield from fetched_into(Path(folder), stored.download_bytes, lambda: _fetch(stored, Path(folder)))
            _move_into(root, Path(folder))
    except Exception as error:  # torchvision raises many kinds
        raise DataError(
            f"{stored.name} could not be fetched ({why_not_fetched(error)}); check the network, or copy the files to {root}."
        ) from error


def _move_into(root: Path, folder: Path) -> None:
    """Move what `folder` holds into `root`; what is there already stays."""
    for source in folder.iterdir():
        target = root / source.name
        if source.is_dir() and target.is_dir():
            _move_into(target, source)
        elif not target.exists():
            source.replace(target)


def _fetch(stored: TorchvisionFiles, root: Path) -> None:
    from torchvision import datasets

    if stored.url:
        datasets.utils.download_and_extract_archive(stored.url, str(root), md5=stored.md5)
        return
    for train in (True, False):
        which = {"split": "train" if train else "test"} if stored.name == "GTSRB" else {"train": train}
        getattr(datasets, stored.name)(root, **which, download=True)


# --- image folders -----------------------------------------------------------------------------------------------------


def folder_split(folder: Path, split: str) -> Path | None:
    """The folder of a split if it has class folders with images in them, or cannot be listed; else None."""
    for name in _SPLIT_FOLDERS[split]:
        place = folder / name
        with contextlib.suppress(OSError):
            if not place.is_dir() or not any(_class_folders(place)):
                continue
        return place
    return None


def _class_folders(place: Path) -> Iterator[Path]:
    """The folders with images in them, sorted by name."""
    for folder in sorted(place.iterdir()):
        if folder.is_dir() and any(_images_in(folder)):
            yield folder


def _images_in(folder: Path) -> Iterator[Path]:
    return (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)


def _labelled(place: Path, labels: Mapping[str, int]) -> list[tuple[Path, int]]:
    """Every image file of a split with the label of its folder, shuffled."""
    return _shuffled([(file, labels[folder.name]) for folder in _class_folders(place) for file in sorted(_images_in(folder))])


def _shuffled(files: list[tuple[Path, int]]) -> list[tuple[Path, int]]:
    """The files in a random order that is always the same: they are sorted by class, and the first N must be a fair sample."""
    order = list(files)
    random.Random(_ORDER_SEED).shuffle(order)
    return order


def read_folder(
    place: Path, channels: int, size: int, known: Sequence[str], wordnet: Sequence[str], limit: int | None
) -> RawImages:
    """CLASS/*.png below `place`, for a dataset whose shape is known.

    With `known` classes, the folders are named by class name, number or `wordnet` id, and images keep their size, so that a
    wrong size is noticed. Without (ImageNet), classes are in alphabetical order, which for WordNet ids is ImageNet's label
    order, and images are scaled and cropped to size×size.
    """
    names = [folder.name for folder in _class_folders(place)]
    labels = _labels_of_known(place, names, known, wordnet) if known else {name: label for label, name in enumerate(names)}
    fit = None if known else size
    raw = _read_files(_labelled(place, labels)[:limit], lambda file: decode(file.read_bytes(), channels, size=fit))
    return RawImages(raw.images, raw.labels, tuple(known or names))


def _labels_of_known(place: Path, names: Sequence[str], known: Sequence[str], wordnet: Sequence[str]) -> dict[str, int]:
    """Folder name to label, for each way in which folders may be named."""
    as_file_names = [re.sub(r"[/\\]", "_", name) for name in known]
    for spelling in (known, as_file_names, wordnet, [str(number) for number in range(len(known))]):
        if set(names) <= set(spelling):
            return {name: spelling.index(name) for name in names}
    odd = next(name for name in names if name not in as_file_names)
    raise DataError(
        f"{place / odd} is not named after a class; name the folders '{as_file_names[0]}', '{as_file_names[1]}', … or "
        f"0 to {len(known) - 1}."
    )


def read_own_folder(folder: Path, split: str, size: int, limit: int | None) -> RawImages:
    """A user's folder: SPLIT/CLASS/*.png, scaled and cropped to size×size unless all images share a smaller size.

    The EXIF orientation is applied, because phones store images unrotated. Classes (alphabetical), channels and size are those
    of both splits together, whatever `limit` is, so that a model trained on one split fits the other.
    """
    places = {name: place for name in _SPLIT_FOLDERS if (place := folder_split(folder, name))}
    names = sorted({inner.name for place in places.values() for inner in _class_folders(place)})
    labels = {name: label for label, name in enumerate(names)}
    files = {name: _labelled(place, labels) for name, place in places.items()}
    sizes, modes = _sizes_and_modes(file for listed in files.values() for file, _ in listed)
    channels = 1 if modes <= _GREY_MODES else 3
    fit = None if len(sizes) == 1 and max(next(iter(sizes))) <= size else size
    raw = _read_files(files[split][:limit], lambda file: decode(file.read_bytes(), channels, upright=True, size=fit))
    return RawImages(raw.images, raw.labels, tuple(names))


def _sizes_and_modes(files: Iterable[Path]) -> tuple[set[tuple[int, int]], set[str]]:
    """The sizes of the upright images and their colour modes, read from the headers."""
    headers = set()
    for file in files:
        try:
            headers.add(read_header(file))
        except PhotoError as error:
            raise DataError(f"{file} is not a readable image; replace or delete it.") from error
    return {size for size, _ in headers}, {mode for _, mode in headers}


def _read_files(
    files: Sequence[tuple[Path, int]], read: Callable[[Path], np.ndarray], tracks: Sequence[object] = ()
) -> RawImages:
    images = []
    for file, _ in files:
        try:
            images.append(read(file))
        except PhotoError as error:
            raise DataError(f"{file} is not a readable image; replace or delete it.") from error
        if images[-1].shape != images[0].shape:
            raise DataError(f"{file} has another size than the first image of its split; make all sizes equal.")
    return _stack(images, (label for _, label in files), (), tracks)


# --- samples in packages -----------------------------------------------------------------------------------------------


def read_digits(split: str, limit: int | None) -> RawImages:
    """scikit-learn's 1,797 digits, 8×8 with 17 grey levels; the last 360 are the test split."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.origin:
        raise DataError("The digits come with scikit-learn, which is not installed; run `pip install scikit-learn`.")
    # Its file is read directly, because importing scikit-learn takes seconds.
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not file.is_file():
        raise DataError(f"This scikit-learn has no {file.name}; install another version with `pip install scikit-learn`.")
    table = np.loadtxt(file, delimiter=",")[slice(None, 1437) if split == "train" else slice(1437, None)][:limit]
    pixels = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return _stack(list(pixels), (int(label) for label in table[:, -1]))


def foolbox_folder() -> Path | None:
    """Where foolbox keeps its sample images, found without importing it."""
    spec = importlib.util.find_spec("foolbox")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else None
    return folder if folder and folder.is_dir() else None


def read_foolbox(folder: Path, name: str, channels: int, size: int, limit: int | None) -> RawImages:
    """foolbox's twenty samples of a dataset, `NAME_INDEX_LABEL.png` or `.jpg`, scaled and cropped to size×size."""
    files = sorted(file for file in folder.iterdir() if file.stem.startswith(f"{name}_") and file.suffix in {".png", ".jpg"})
    labelled = [(file, int(file.stem.rsplit("_", 1)[1])) for file in files[:limit]]
    return _read_files(labelled, lambda file: decode(file.read_bytes(), channels, size=size))


def imagenet_class_names() -> tuple[str, ...]:
    """ImageNet's thousand class names in label order, from torchvision; without it, "class 0", "class 1" and so on."""
    try:
        from torchvision.models import ResNet18_Weights
    except ImportError:
        return tuple(f"class {index}" for index in range(1000))
    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def names_of_wordnet_ids(names: Sequence[str]) -> tuple[str, ...]:
    """The folder names, or ImageNet's class names when there are a thousand folders named by WordNet ids."""
    complete = len(names) == 1000 and all(name.startswith("n") and name[1:].isdigit() for name in names)
    return imagenet_class_names() if complete else tuple(names)
