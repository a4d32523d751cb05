"""Every form images lie on disk in: read as they stand, and one sentence that names the file when they cannot be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcore import data
from advcore.data import class_names, readers
from advcore.errors import DataError
from advcore.images.levels import FORMATS, PhotoError
from tests.makers import (
    as_images,
    encoded,
    pictures,
    write_cifar10,
    write_folder,
    write_gtsrb,
    write_idx,
    write_mnist,
    write_parquet,
    write_picture,
    write_tiny_imagenet,
)

LABELS = [3, 1, 4, 1, 5, 9]


def cut(path: Path, share: float = 0.5) -> None:
    """Leave the first part of a file, as an interrupted copy does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def refused(name: str, *words: str, split: data.Split = "test") -> None:
    """Loading must fail with one sentence that has those words in it, and leave the other datasets alone."""
    with pytest.raises(DataError) as caught:
        data.load(name, split)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    for word in words:
        assert word in message
    assert len(data.load("digits")) == 360


# --- Parquet -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["test.parquet", "data/test-00000-of-00001.parquet", "validation.parquet", "data/valid.parquet"]
)
def test_parquet_in_the_hub_layout(name: str, data_folder: Path) -> None:
    arrays = pictures(6, 28)
    write_parquet(data_folder / "mnist" / name, list(arrays), LABELS, names=range(10))
    read = data.load("mnist")
    assert torch.equal(read.images, as_images(arrays))
    assert read.labels.tolist() == LABELS
    assert read.images.dtype == torch.uint8
    assert read.labels.dtype == torch.int64
    assert read.class_names == class_names.DIGITS
    assert (read.dataset, read.samples) == ("mnist", False)
    assert str(data_folder) not in read.source


def test_parquet_shards_are_one_split_in_order(data_folder: Path) -> None:
    arrays = pictures(7, 32, colour=True)
    for shard, part in enumerate((slice(0, 3), slice(3, 4), slice(4, 7))):
        write_parquet(data_folder / "cifar10" / f"train-{shard:05}-of-00003.parquet", list(arrays[part]), list(range(7))[part])
    read = data.load("cifar10", "train")
    assert torch.equal(read.images, as_images(arrays))
    assert read.labels.tolist() == list(range(7))
    few = data.load("cifar10", "train", limit=4)
    assert torch.equal(few.images, read.images[:4])
    assert few.labels.tolist() == [0, 1, 2, 3]


def test_a_missing_shard_is_named(data_folder: Path) -> None:
    for shard in (0, 2):
        write_parquet(data_folder / "mnist" / f"test-{shard:05}-of-00003.parquet", list(pictures(2, 28)), [0, 1])
    refused("mnist", "test-00001-of-00003.parquet", "missing")


def test_grey_and_colour_files_come_as_the_dataset_is(data_folder: Path) -> None:
    grey = pictures(1, 64)[0]
    write_parquet(data_folder / "tiny-imagenet" / "test.parquet", [grey, encoded(grey, "TIFF")], [0, 49])
    assert torch.equal(data.load("tiny-imagenet").images, as_images(grey[None]).expand(2, 3, 64, 64))
    colour = np.full((1, 28, 28, 3), 90, np.uint8)
    write_parquet(data_folder / "mnist" / "test.parquet", [encoded(colour[0], "JPEG")], [7])
    assert torch.equal(data.load("mnist").images, torch.full((1, 1, 28, 28), 90, dtype=torch.uint8))


def test_sixteen_bit_grey_is_scaled_and_not_cut() -> None:
    wide = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    assert np.array_equal(readers.decode(encoded(wide), 1), np.arange(256).reshape(16, 16))
    assert np.array_equal(readers.decode(encoded(wide), 3)[..., 2], np.arange(256).reshape(16, 16))


def png(side: int = 28) -> bytes:
    return encoded(pictures(1, side)[0])


@pytest.mark.parametrize(
    ("arrays", "labels", "words"),
    [
        ([png(), png(27)], [0, 1], ["row 1", "size"]),
        ([png(27), png(27)], [0, 1], ["27×27 grey", "28×28 grey"]),
        ([png(), png()], [0, 10], ["label 10", "0 to 9"]),
        ([png(), png()], [-1, 0], ["label -1"]),
        ([png(), None], [0, 1], ["row 1", "missing"]),
        ([png(), png()], [0, None], ["row 1", "missing"]),
        ([png(), png()], [0, 2**64 - 1], ["row 1", "out of range"]),
        ([png(), png()[:60]], [0, 1], ["row 1", "cannot be read"]),
        ([b"not a picture"], [0], ["row 0", "cannot be read"]),
        ([b""], [0], ["row 0", "cannot be read"]),
        ([], [], ["no images"]),
    ],
    ids=lambda value: " ".join(value) if value and isinstance(value[0], str) else "",
)
def test_bad_rows_of_a_parquet_file(arrays: list[bytes | None], labels: list[int], words: list[str], data_folder: Path) -> None:
    write_parquet(data_folder / "mnist" / "test.parquet", arrays, labels)
    refused("mnist", str(data_folder / "mnist" / "test.parquet"), *words)


def test_a_picture_in_a_format_that_pillow_hands_to_other_programs_is_not_opened() -> None:
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n%%EndComments\nshowpage\n"
    with pytest.raises(PhotoError):
        readers.decode(drawing, 1)


def columns(**kinds: object) -> Callable[[Path], None]:
    """A writer of a Parquet file with those columns, each one value."""

    def write(path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({name: [value] for name, value in kinds.items()}), path)

    return write


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"PAR1" + bytes(1000)),
        lambda path: path.write_bytes(b""),
        lambda path: cut(write_parquet(path, list(pictures(20, 28)), [0] * 20), 0.6),
        lambda path: cut(write_parquet(path, list(pictures(20, 28)), [0] * 20), 0.99),
        columns(label=3),
        columns(image={"bytes": png(), "path": "a"}),
        columns(image=png(), label=3),
        columns(image={"path": "a"}, label=3),
        columns(image={"bytes": png(), "path": "a"}, label="three"),
        columns(image={"bytes": "text", "path": "a"}, label=3),
    ],
    ids=["noise", "empty", "cut", "cut at end", "no image", "no label", "no struct", "no bytes", "label text", "bytes text"],
)
def test_a_parquet_file_that_is_none(write: Callable[[Path], None], data_folder: Path) -> None:
    path = data_folder / "mnist" / "test.parquet"
    path.parent.mkdir()
    write(path)
    refused("mnist", str(path), "copy")


def test_hostile_class_names_in_a_parquet_file_are_left_aside(data_folder: Path) -> None:
    import pyarrow.parquet as pq

    path = write_parquet(data_folder / "mnist" / "test.parquet", [png()], [0])
    table = pq.read_table(path)
    for metadata in (b"[" * 100_000, b"{}", b"\xff\xfe", b'{"info": {"features": {"label": {"names": 7}}}}'):
        pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), path)
        assert data.load("mnist").class_names == class_names.DIGITS


# --- torchvision's own files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "form"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
@pytest.mark.parametrize("below", ["", "own"], ids=["in the data folder", "in the dataset's own"])
def test_idx_files(name: str, form: str, below: str, data_folder: Path) -> None:
    for split, (arrays, labels) in write_mnist(data_folder / name if below else data_folder, form).items():
        read = data.load(name, split)
        assert torch.equal(read.images, as_images(arrays))
        assert read.labels.tolist() == labels
        assert read.class_names == data.BUILT_IN[name].class_names
        assert str(data_folder) not in read.source
        assert data.load(name, split, limit=2).labels.tolist() == labels[:2]


def test_idx_files_that_are_incomplete(data_folder: Path) -> None:
    raw = data_folder / "MNIST" / "raw"
    write_mnist(data_folder)
    image_file, label_file = raw / "t10k-images-idx3-ubyte", raw / "t10k-labels-idx1-ubyte"

    cut(image_file)
    refused("mnist", str(image_file), "truncated", "fetch")
    assert len(data.load("mnist", "train")) == 6  # the other split is whole

    image_file.write_bytes(b"\x00\x00\x0a\x03" + bytes(12))  # a type the format does not have
    refused("mnist", str(image_file), "fetch")
    image_file.write_bytes(b"")
    refused("mnist", str(image_file), "fetch")

    write_idx(raw, "test", pictures(6, 28), [0, 1, 2])
    refused("mnist", str(raw), "6 images but 3 labels")
    write_idx(raw, "test", pictures(3, 28), [0, 1, 200])
    refused("mnist", "label 200", "0 to 9")
    write_idx(raw, "test", pictures(3, 32), [0, 1, 2])
    refused("mnist", "32×32 grey", "28×28 grey")
    write_idx(raw, "test", pictures(0, 28), [])
    refused("mnist", str(data_folder), "no images")

    label_file.unlink()
    refused("mnist", str(label_file), "missing")


def test_a_folder_with_one_split_of_mnist_has_that_split(data_folder: Path) -> None:
    raw = data_folder / "MNIST" / "raw"
    write_idx(raw, "test", pictures(3, 28), [0, 1, 2])
    assert len(data.load("mnist")) == 3
    refused("mnist", str(raw / "train-images-idx3-ubyte"), "missing", split="train")


def test_torchvisions_old_pickles_are_never_opened(data_folder: Path) -> None:
    arrays, _ = write_mnist(data_folder)["test"]
    processed = data_folder / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(1, 28, 28, dtype=torch.uint8), torch.zeros(1)), processed / name)
    assert torch.equal(data.load("mnist").images, as_images(arrays))


def test_cifar10_batches(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split, (arrays, labels) in write_cifar10(data_folder, monkeypatch).items():
        read = data.load("cifar10", split)
        assert torch.equal(read.images, as_images(arrays))
        assert read.labels.tolist() == labels
        assert read.class_names == class_names.CIFAR10
        assert data.load("cifar10", split, limit=3).labels.tolist() == labels[:3]


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("harm", [cut, Path.unlink], ids=["cut", "missing"])
def test_a_damaged_cifar10_batch_is_named_and_not_unpickled(
    name: str, harm: Callable[[Path], None], data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(data_folder, monkeypatch)
    harm(data_folder / "cifar-10-batches-py" / name)
    refused("cifar10", str(data_folder / "cifar-10-batches-py" / name), "fetch")


def test_tiny_imagenet_archive(data_folder: Path) -> None:
    # Two of the archive's two hundred that are not among the fifty must be passed over.
    write_tiny_imagenet(data_folder, ["n01443537", "n00000001", *class_names.TINY_IMAGENET, "n99999999"])
    for split in data.SPLITS:
        read = data.load("tiny-imagenet", split)
        assert read.class_names == tuple(class_names.TINY_IMAGENET.values())
        assert sorted(set(read.labels.tolist())) == list(range(50))
        position = {wnid: index + 2 for index, wnid in enumerate(class_names.TINY_IMAGENET)}
        grey = {label: position[wnid] for label, wnid in enumerate(class_names.TINY_IMAGENET)}
        # Goldfish comes twice in the table: once at its own place, once first.
        pairs = zip(read.images[:, 0, 0, 0].tolist(), read.labels.tolist(), strict=True)
        assert all(value == grey[label] or value == 0 for value, label in pairs)
    assert len(data.load("tiny-imagenet", limit=10)) == 10


def test_gtsrb_is_cut_to_its_signs_and_knows_its_tracks(data_folder: Path) -> None:
    write_gtsrb(data_folder)
    train, test = data.load("gtsrb", "train"), data.load("gtsrb")
    assert train.shape == test.shape == (3, 32, 32)
    for split in (train, test):  # nothing of the white frame is left
        assert torch.equal(split.images.flatten(1).amin(1), (5 * split.labels).to(torch.uint8))
        assert torch.equal(split.images.flatten(1).amax(1), split.images.flatten(1).amin(1))
    assert (sorted(train.labels.tolist()), sorted(test.labels.tolist())) == ([0] * 6 + [42] * 6, [0, 1, 2])
    assert train.groups is not None
    assert sorted(train.groups.bincount().tolist()) == [3, 3, 3, 3], "two tracks of three frames in each class"
    assert test.groups is None


def test_a_track_column_names_the_groups(data_folder: Path) -> None:
    folder = data_folder / "gtsrb"
    write_parquet(folder / "train.parquet", list(pictures(4, 32, colour=True)), [14, 14, 3, 3], tracks=["a", "b", "a", "c"])
    groups = data.load("gtsrb", "train").groups
    assert groups is not None
    assert groups.tolist() == [0, 1, 0, 2]
    few = data.load("gtsrb", "train")[1:3].groups
    assert few is not None
    assert few.tolist() == [1, 0]


def test_damaged_gtsrb_files(data_folder: Path) -> None:
    folder = write_gtsrb(data_folder)
    table = folder.parent / "GT-final_test.csv"
    whole = table.read_text()
    for text in (whole.replace(";4;4;36;26;", ";36;4;4;26;"), whole.replace("Roi.X1", "x"), whole.replace(";2\n", ";two\n")):
        table.write_text(text)
        refused("gtsrb", str(table), "fetch")
    table.write_text(whole.replace("00002.ppm", "../../../../etc/passwd"))
    refused("gtsrb", str(folder / "Final_Test" / "Images" / "passwd"))
    table.write_text(whole)
    (folder / "Final_Test" / "Images" / "00001.ppm").write_bytes(b"P6\n99999 99999\n255\n")
    refused("gtsrb", "00001.ppm")


def test_a_damaged_tiny_imagenet_archive(data_folder: Path) -> None:
    table = write_tiny_imagenet(data_folder, list(class_names.TINY_IMAGENET))
    folder = table.parent.parent
    (folder / "val" / "images" / "val_7.JPEG").unlink()
    refused("tiny-imagenet", "val_7.JPEG")
    table.write_text("val_1.JPEG without a tab\n")
    refused("tiny-imagenet", str(table), "unpack")
    table.write_text("../../../../etc/passwd\tn01443537\n")
    refused("tiny-imagenet", str(folder / "val" / "images" / "passwd"))  # a table's path never leaves the folder
    table.write_text("")
    refused("tiny-imagenet", "no images")
    table.unlink()
    refused("tiny-imagenet", str(table), "unpack")

    first = next(iter(class_names.TINY_IMAGENET))
    (folder / "train" / first / "images" / f"{first}_0.JPEG").write_bytes(b"")
    refused("tiny-imagenet", f"{first}_0.JPEG", split="train")
    (folder / "train" / first / "images" / f"{first}_0.JPEG").unlink()
    refused("tiny-imagenet", first, "unpack", split="train")


def test_without_torchvision_only_cifar10s_pickles_are_refused(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(data_folder)
    write_cifar10(data_folder, monkeypatch)
    for name in ("torchvision", "torchvision.datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    refused("cifar10", "pip install torchvision")
    assert len(data.load("mnist")) == 6


# --- image folders ------------------------------------------------------------------------------------------------------


def flat(value: int, side: int = 28, *, colour: bool = False) -> np.ndarray:
    return np.full((side, side, 3) if colour else (side, side), value, np.uint8)


def test_an_image_folder_of_a_known_dataset(data_folder: Path) -> None:
    write_folder(
        data_folder / "cifar10" / "test", {name: [flat(value, 32, colour=True)] for value, name in enumerate(("truck", "cat"))}
    )
    read = data.load("cifar10")
    assert read.labels.tolist() == [3, 9]
    assert read.images[:, 0, 0, 0].tolist() == [1, 0]
    assert read.class_names == class_names.CIFAR10


@pytest.mark.parametrize("spelling", ["ids", "names", "numbers"])
def test_known_classes_keep_their_labels_however_the_folders_are_named(spelling: str, data_folder: Path) -> None:
    wanted = list(class_names.TINY_IMAGENET)
    names = {"ids": wanted, "names": list(class_names.TINY_IMAGENET.values()), "numbers": [str(n) for n in range(50)]}[spelling]
    write_folder(data_folder / "tiny-imagenet" / "val", {name: [flat(label, 64)] for label, name in enumerate(names)})
    read = data.load("tiny-imagenet")
    assert len(read) == 50
    assert read.images[:, 0, 0, 0].tolist() == read.labels.tolist()


def test_a_class_name_with_a_slash_is_a_folder_with_an_underscore(data_folder: Path) -> None:
    names = [name.replace("/", "_") for name in class_names.FASHION]
    write_folder(data_folder / "fashion-mnist" / "test", {name: [flat(label)] for label, name in enumerate(names)})
    read = data.load("fashion-mnist")
    assert read.images[:, 0, 0, 0].tolist() == read.labels.tolist()


def test_folders_that_are_no_classes_of_a_known_dataset(data_folder: Path) -> None:
    write_folder(data_folder / "fashion-mnist" / "test", {f"kind {index}": [flat(0)] for index in range(10)})
    refused("fashion-mnist", "kind 0", "'T-shirt_top', 'Trouser'", "0 to 9")


def test_a_known_dataset_in_the_wrong_size_is_noticed(data_folder: Path) -> None:
    write_folder(data_folder / "mnist" / "test", {"0": [flat(0, 30)], "1": [flat(0, 30)]})
    refused("mnist", "30×30 grey", "28×28 grey")
    write_folder(data_folder / "mnist" / "test", {"0": [flat(0, 28)]})
    refused("mnist", "another size")


def test_imagenet_is_any_image_folder_scaled_and_cropped(data_folder: Path) -> None:
    place = data_folder / "imagenet" / "val"
    write_folder(place, {"n01440764": [pictures(1, 160, colour=True)[0]], "n01443537": [pictures(1, 300)[0]]})
    read = data.load("imagenet")
    assert tuple(read.images.shape) == (2, 3, 224, 224)
    assert read.class_names == ("n01440764", "n01443537")
    assert read.labels.tolist() == [0, 1]


def test_a_complete_imagenet_folder_bears_imagenets_names(data_folder: Path) -> None:
    place = data_folder / "imagenet" / "val"
    tiny = encoded(flat(0, 8))
    for index in range(1000):
        (place / f"n{index:08}").mkdir(parents=True)
        (place / f"n{index:08}" / "a.png").write_bytes(tiny)
    read = data.load("imagenet", limit=4)
    assert len(set(read.labels.tolist())) == 4
    assert read.class_names == readers.imagenet_class_names()
    assert read.class_names[0] == "tench"


def test_the_centre_of_a_picture_is_kept(data_folder: Path) -> None:
    wide = np.zeros((224, 672, 3), np.uint8)
    wide[:, 224:448] = 200
    write_folder(data_folder / "imagenet" / "val", {"a": [wide], "b": [wide.transpose(1, 0, 2)]})
    # The shorter side becomes 256, of which the middle 224 are cut out: all of it lies within the bright third.
    assert (data.load("imagenet").images == 200).all()


def test_a_folder_of_ones_own_keeps_a_size_all_share(data_folder: Path) -> None:
    arrays = pictures(3, 20)
    write_folder(data_folder / "shapes" / "test", {"b": arrays[:1], "a": arrays[1:]})
    read = data.load("shapes")
    files = {tuple(image.flatten().tolist()): label for image, label in zip(read.images, read.labels.tolist(), strict=True)}
    assert files == {tuple(array.ravel().tolist()): label for array, label in zip(arrays, (1, 0, 0), strict=True)}
    assert read.class_names == ("a", "b")
    assert str(data_folder) not in read.source


def test_a_folder_of_ones_own_with_mixed_sizes_and_modes(data_folder: Path) -> None:
    place = data_folder / "shapes" / "test"
    write_folder(place, {"a": [pictures(1, 70)[0]], "b": [pictures(1, 30, colour=True)[0], pictures(1, 64)[0]]})
    Image.new("RGBA", (90, 40), (1, 2, 3, 255)).save(place / "a" / "999.png")
    Image.new("P", (12, 80)).save(place / "b" / "999.gif")
    Image.new("LA", (64, 64)).save(place / "b" / "998.PNG")
    (place / "b" / "notes.txt").write_text("no picture")
    read = data.load("shapes")
    assert tuple(read.images.shape) == (6, 3, 64, 64)
    assert sorted(read.labels.tolist()) == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("size", [(90, 60), (30, 20)], ids=["cut", "kept"])
def test_a_phones_pictures_stand_upright_in_a_folder_of_ones_own(size: tuple[int, int], data_folder: Path) -> None:
    lying = Image.new("L", size)
    lying.paste(255, (0, 0, size[0] // 3, size[1]))  # the left of the sensor is the top of the picture
    exif = Image.Exif()
    exif[0x0112] = 6
    (place := data_folder / "phone" / "test" / "a").mkdir(parents=True)
    lying.save(place / "0.png", exif=exif)
    Image.new("L", size[::-1]).save(place / "1.png")  # upright as it lies
    write_folder(place.parent, {"b": [np.zeros(size, np.uint8)]})  # a dataset has two classes
    image = max(data.load("phone").images[:, 0].float(), key=torch.mean)
    assert image.shape == ((64, 64) if max(size) > 64 else size)
    assert image[:4].mean() > 200
    assert image[len(image) // 2 :].mean() < 50
    assert image.mean(0).std() < 1  # nothing from left to right


def test_the_splits_of_a_folder_of_ones_own_fit_each_other(data_folder: Path) -> None:
    folder = data_folder / "shapes"
    write_folder(folder / "train", {"a": [flat(0, 20)], "b": [flat(1, 30, colour=True)], "c": [flat(2, 20)]})
    write_folder(folder / "test", {"a": [flat(0, 20)], "c": [flat(2, 20)]})
    train, test = data.load("shapes", "train"), data.load("shapes", "test")
    assert train.class_names == test.class_names == ("a", "b", "c")
    assert train.shape == test.shape == (3, 64, 64)
    assert test.labels.tolist() == [0, 2]  # and not 0, 1, as the test split alone would have it
    assert data.load("shapes", "train", limit=1).shape == (3, 64, 64)


@pytest.mark.parametrize("split", data.SPLITS)
def test_the_first_images_of_a_folder_are_of_all_classes_and_those_of_a_limit(split: data.Split, data_folder: Path) -> None:
    kinds = {name: [flat(40 * number + value, 8) for value in range(40)] for number, name in enumerate("abc")}
    for part in data.SPLITS:
        write_folder(data_folder / "shapes" / part, kinds)
    whole, few = data.load("shapes", split), data.load("shapes", split, limit=30)
    assert torch.equal(few.images, whole.images[:30])
    assert torch.equal(few.labels, whole.labels[:30])
    assert min(few.labels.bincount(minlength=3)) >= 5
    assert whole.labels.bincount().tolist() == [40, 40, 40]
    assert torch.equal(whole.images[:, 0, 0, 0] // 40, whole.labels)  # each image kept its label
    assert torch.equal(data.load("shapes", split).images, whole.images)
    assert len(data.load("shapes", split, limit=1000)) == 120


@pytest.mark.parametrize("content", [b"", b"text", encoded(flat(0))[:50]], ids=["empty", "text", "cut"])
def test_an_unreadable_picture_is_named(content: bytes, data_folder: Path) -> None:
    place = write_folder(data_folder / "shapes" / "test", {"a": [flat(0), flat(1)], "b": [flat(2)]})
    (place / "a" / "000.png").write_bytes(content)
    refused("shapes", str(place / "a" / "000.png"), "replace or delete")


def test_a_folder_that_may_not_be_looked_into(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_folder(data_folder / "shapes" / "test", {"a": [flat(0)]})
    write_folder(data_folder / "other" / "test", {"a": [flat(0)], "b": [flat(1)]})
    looked = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path == place:
            raise PermissionError(13, "Permission denied", str(path))
        return looked(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    refused("shapes", str(place), "Permission denied")
    assert len(data.load("other")) == 2


# --- what packages bring ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "imagenet"])
def test_foolboxs_samples_are_marked_as_samples(name: str) -> None:
    read = data.load(name)
    assert read.samples
    assert "foolbox" in read.source
    assert tuple(read.images.shape) == (20, *data.BUILT_IN[name].shape)
    assert read.images.float().std() > 20
    assert len(data.load(name, limit=3)) == 3


def test_foolboxs_labels_are_those_in_the_file_names() -> None:
    folder = readers.foolbox_folder()
    names = sorted(file.stem for file in folder.glob("cifar10_*"))
    assert data.load("cifar10").labels.tolist() == [int(name.split("_")[2]) for name in names]


def test_the_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    train, test = data.load("digits", "train"), data.load("digits")
    assert (len(train), len(test)) == (1437, 360)
    both = torch.cat([train.images, test.images])[:, 0]
    assert torch.equal(both, torch.from_numpy(np.rint(bunch.images * 255 / 16)).to(torch.uint8))
    assert torch.cat([train.labels, test.labels]).tolist() == bunch.target.tolist()
    assert torch.equal(data.load("digits", limit=5).images, test.images[:5])


def test_without_scikit_learn_the_digits_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert "digits" not in data.available()
    with pytest.raises(DataError, match="pip install scikit-learn"):
        data.load("digits")


def test_without_foolbox_there_are_no_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "foolbox", None)
    assert set(data.available()) == {"digits"}
    refused("mnist", "ADVCORE_DATA", "--download mnist")


def test_without_torchvision_imagenets_classes_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    assert readers.imagenet_class_names()[999] == "class 999"
    assert data.load("imagenet", limit=1).class_names[0] == "class 0"


@pytest.mark.filterwarnings("ignore")  # Pillow's, about what it finds
def test_pictures_of_a_broken_dataset_never_escape_as_a_traceback(tmp_path: Path) -> None:
    """Bytes flipped at random in every format: a picture, or one of the errors the readers turn into a sentence."""
    rng = np.random.default_rng(0)
    path = write_picture(tmp_path / "a.png", pictures(1, 16, colour=True)[0])
    with Image.open(path) as picture:
        for form in FORMATS:
            picture.save(tmp_path / "again", form)
            good = (tmp_path / "again").read_bytes()
            for _ in range(60):
                bad = bytearray(good)
                for position in rng.integers(0, min(len(bad), 200), 4):
                    bad[position] = rng.integers(256)
                try:
                    decoded = readers.decode(bytes(bad[: rng.integers(1, len(bad) + 1)]), 3)
                except PhotoError:
                    continue
                assert decoded.dtype == np.uint8
