"""Small data files in their true formats, small models and checkpoints, and copies of this process, for the tests to use."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from advcore.models import architectures, checkpoints
from advcore.recipe import Recipe

REPOSITORY = Path(__file__).resolve().parents[1]
# Whatever digits models are shipped: every file is one case.
SHIPPED_DIGITS = sorted(
    f"digits/{path.name.removesuffix(checkpoints.SUFFIX)}"
    for path in (REPOSITORY / "checkpoints" / "digits").glob(f"*{checkpoints.SUFFIX}")
)
DIGIT_NAMES = tuple("0123456789")


def pictures(count: int, side: int, *, colour: bool = False, seed: int = 0) -> np.ndarray:
    """Random uint8 pictures, N×H×W or N×H×W×3."""
    shape = (count, side, side, 3) if colour else (count, side, side)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def as_images(arrays: np.ndarray) -> Tensor:
    """What a reader must give for those pictures: uint8 N×C×H×W."""
    return torch.from_numpy(arrays[:, None] if arrays.ndim == 3 else arrays.transpose(0, 3, 1, 2).copy())


def encoded(array: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form)
    return buffer.getvalue()


def write_picture(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


# --- datasets on disk --------------------------------------------------------------------------------------------------


def write_parquet(
    path: Path,
    arrays: Sequence[np.ndarray | bytes | None],
    labels: Sequence[int | None],
    names: Sequence[str] | None = None,
    tracks: Sequence[str] | None = None,
) -> Path:
    """The Hugging Face Hub's layout: `image` (struct of bytes, path), `label`, class names in the schema's metadata.

    With `tracks`, a column of that name.
    """
    rows = [
        {"bytes": array if isinstance(array, bytes | None) else encoded(array), "path": f"{index}.png"}
        for index, array in enumerate(arrays)
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    whole = pa.uint64() if any(label is not None and label >= 2**63 for label in labels) else pa.int64()
    table = pa.table({"image": pa.array(rows, kind), "label": pa.array(labels, whole)})
    if tracks is not None:
        table = table.append_column("track", pa.array(tracks))
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def write_idx(raw: Path, split: str, arrays: np.ndarray, labels: Sequence[int]) -> tuple[Path, Path]:
    """MNIST's own format (LeCun): big-endian header, then the bytes. Returns the image file and the label file."""
    raw.mkdir(parents=True, exist_ok=True)
    stem = "train" if split == "train" else "t10k"
    image_file, label_file = raw / f"{stem}-images-idx3-ubyte", raw / f"{stem}-labels-idx1-ubyte"
    image_file.write_bytes(struct.pack(">4I", 0x803, *arrays.shape) + arrays.tobytes())
    label_file.write_bytes(struct.pack(">2I", 0x801, len(labels)) + bytes(labels))
    return image_file, label_file


def write_mnist(root: Path, form: str = "MNIST", count: int = 6, side: int = 28) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Both splits of MNIST or Fashion-MNIST as torchvision keeps them below `root`."""
    written = {}
    for seed, split in enumerate(("train", "test")):
        arrays, labels = pictures(count, side, seed=seed), [(index + seed) % 10 for index in range(count)]
        write_idx(root / form / "raw", split, arrays, labels)
        written[split] = (arrays, labels)
    return written


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch, per_batch: int = 4) -> dict[str, tuple[np.ndarray, list[int]]]:
    """CIFAR-10's Python batches, and torchvision told the checksums of these small ones."""
    from torchvision.datasets import CIFAR10

    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name: str, content: dict[str, object]) -> list[str]:
        data = pickle.dumps(content, protocol=2)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    lists, written = {}, {}
    for split, batches in (("train", [f"data_batch_{number}" for number in range(1, 6)]), ("test", ["test_batch"])):
        arrays = pictures(per_batch * len(batches), 32, colour=True, seed=len(batches))
        labels = [index % 10 for index in range(len(arrays))]
        flat = arrays.transpose(0, 3, 1, 2).reshape(len(arrays), -1)
        parts = [slice(start, start + per_batch) for start in range(0, len(arrays), per_batch)]
        lists[split] = [
            write(name, {"data": flat[part], "labels": labels[part]}) for name, part in zip(batches, parts, strict=True)
        ]
        written[split] = (arrays, labels)
    _, md5 = write("batches.meta", {"label_names": ["airplane", "automobile"]})
    monkeypatch.setattr(CIFAR10, "train_list", lists["train"])
    monkeypatch.setattr(CIFAR10, "test_list", lists["test"])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5})
    return written


def write_tiny_imagenet(root: Path, wordnet: Sequence[str], per_class: int = 1) -> Path:
    """The public archive's layout with `per_class` images of each class in both splits; returns the table of the val split."""
    folder = root / "tiny-imagenet-200"
    rows = []
    for number, wnid in enumerate(wordnet):
        for index in range(per_class):
            grey = np.full((64, 64), number, dtype=np.uint8)  # a flat image survives JPEG, and tells its class
            write_picture(folder / "train" / wnid / "images" / f"{wnid}_{index}.JPEG", grey)
            name = f"val_{number * per_class + index}.JPEG"
            write_picture(folder / "val" / "images" / name, grey)
            rows.append(f"{name}\t{wnid}\t0\t0\t62\t62\n")
    table = folder / "val" / "val_annotations.txt"
    table.write_text("".join(rows))
    return table


def write_gtsrb(root: Path) -> Path:
    """The benchmark's own files: two classes with two tracks of three frames each, and three test images.

    A sign is flat, five times its label, and lies within a white frame of 4 pixels. Returns the folder `GTSRB`.
    """
    folder = root / "gtsrb" / "GTSRB"
    head = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"

    def write(place: Path, name: str, label: int) -> str:
        picture = np.full((30, 40, 3), 255, dtype=np.uint8)
        picture[4:26, 4:36] = 5 * label
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / name)
        return f"{name};40;30;4;4;36;26;{label}\n"

    for label in (0, 42):
        place = folder / "Training" / f"{label:05}"
        rows = [write(place, f"{track:05}_{frame:05}.ppm", label) for track in range(2) for frame in range(3)]
        (place / f"GT-{label:05}.csv").write_text(head + "".join(rows))
    rows = [write(folder / "Final_Test" / "Images", f"{number:05}.ppm", number) for number in range(3)]
    (folder.parent / "GT-final_test.csv").write_text(head + "".join(rows))
    return folder


def write_folder(place: Path, classes: Mapping[str, Sequence[np.ndarray]]) -> Path:
    """CLASS/*.png below `place`."""
    for name, arrays in classes.items():
        for index, array in enumerate(arrays):
            write_picture(place / name / f"{index:03}.png", array)
    return place


# --- models and checkpoints ----------------------------------------------------------------------------------------------


def fresh(architecture: str, shape: architectures.Shape, classes: int = 10, *, seed: int = 0, **options: object) -> nn.Module:
    """A model with random weights that the seed decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architectures.build(architecture, shape, classes, **options)  # type: ignore[arg-type]


def linear(weights: Tensor, bias: Sequence[float] | None = None) -> nn.Module:
    """logits = weights · pixels + bias, for results one can work out by hand; weights K×P over P = C·H·W pixels."""
    layer = nn.Linear(weights.shape[1], weights.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.copy_(torch.tensor(bias) if bias is not None else torch.zeros(len(weights)))
    return nn.Sequential(nn.Flatten(), layer).eval()


RECIPE = Recipe(dataset="digits", architecture="digits_cnn", epochs=1)


def save_checkpoint(
    root: Path, recipe: Recipe = RECIPE, shape: architectures.Shape = (1, 8, 8), name: str | None = None, seed: int = 0
) -> checkpoints.Checkpoint:
    """A checkpoint of random weights below `root`, under the recipe's id or the dataset's folder and `name`."""
    path = root / f"{name or recipe.checkpoint_id}{checkpoints.SUFFIX}"
    checkpoints.save(
        path,
        fresh(recipe.architecture, shape, seed=seed),
        recipe,
        shape=shape,
        class_names=DIGIT_NAMES,
        metrics={"clean": 0.9, "images": 10, "attacks": [{"attack": "FGSM", "epsilon": 0.1, "images": 10, "accuracy": 0.5}]},
        provenance={"command": "python -m advcore train", "seconds": 1.0},
    )
    return checkpoints.read(path)


def copy_of_this_process(work: Callable[[], object]) -> tuple[int, TextIO]:
    """The pid of a copy that does the work in a session of its own, and what it and its children print; exit code 0 or 1.

    It has imported what this process has, so that it starts at once.
    """
    reading, writing = os.pipe()
    if pid := os.fork():
        os.close(writing)
        return pid, os.fdopen(reading)
    code = 1
    try:
        os.setsid()
        os.dup2(writing, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w")
        work()
        code = 0
    finally:  # whatever happens, the copy does not go on with the tests
        os._exit(code)
