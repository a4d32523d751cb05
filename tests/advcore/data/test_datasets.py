"""The datasets: what there is, where each is looked for and in which order, and how one is fetched."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
import torch

from advcore import data
from advcore.data import class_names, readers
from advcore.errors import DataError
from tests.makers import pictures, write_cifar10, write_folder, write_mnist, write_parquet, write_picture


def write_every_form(root: Path) -> None:
    """MNIST's test split as Parquet, as torchvision's files and as an image folder."""
    write_parquet(root / "mnist" / "test.parquet", list(pictures(2, 28)), [0, 1])
    write_mnist(root)
    write_folder(root / "mnist" / "test", {"3": pictures(1, 28)})


def test_forms_are_looked_for_in_the_documented_order(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_every_form(data_folder)
    seen = []
    for gone in ("mnist/test.parquet", "MNIST", "mnist/test", None):
        source, read = data.find("mnist"), data.load("mnist")
        seen.append((source.kind, len(read), source.samples, read.samples))
        assert read.source == source.words
        if gone:
            path = data_folder / gone
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert seen == [
        ("parquet", 2, False, False),
        ("torchvision", 6, False, False),
        ("folder", 1, False, False),
        ("samples", 20, True, True),
    ]
    monkeypatch.setattr(readers, "foolbox_folder", lambda: None)
    with pytest.raises(DataError, match="not on this machine"):
        data.find("mnist")


def test_the_training_split_has_no_samples(data_folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        data.load("mnist", "train")
    for words in ("MNIST (train split)", str(data_folder / "mnist"), "train/CLASS/*.png", "ADVCORE_DATA", "--download mnist"):
        assert words in str(caught.value)


def test_the_data_folder_is_the_environments_or_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ADVCORE_DATA", str(tmp_path / "elsewhere"))
    write_every_form(tmp_path / "elsewhere")
    assert data.find("mnist").kind == "parquet"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADVCORE_DATA", "")
    assert data.data_root() == Path("data")
    monkeypatch.delenv("ADVCORE_DATA")
    assert data.data_root() == Path("data")
    assert data.find("mnist").kind == "samples"
    (tmp_path / "elsewhere").rename(tmp_path / "data")
    assert data.find("mnist").kind == "parquet"


def test_with_no_data_folder_there_are_digits_and_samples() -> None:
    assert not data.data_root().exists()
    kinds = {name: source.kind for name, source in data.available().items()}
    assert kinds == dict.fromkeys(("mnist", "fashion-mnist", "cifar10", "imagenet"), "samples") | {"digits": "package"}
    assert set(data.available("train")) == {"digits"}
    assert set(data.datasets()) == set(data.BUILT_IN)


def test_a_data_folder_that_is_a_file_holds_no_datasets(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    assert set(data.datasets()) == set(data.BUILT_IN)
    assert len(data.load("digits", limit=3)) == 3


def test_every_built_in_dataset_is_described() -> None:
    assert list(data.BUILT_IN) == ["mnist", "fashion-mnist", "cifar10", "gtsrb", "tiny-imagenet", "imagenet", "digits"]
    for info in data.BUILT_IN.values():
        assert len(info.mean) == len(info.std) == info.shape[0]
        assert 0 < info.epsilon < info.epsilon_max <= 1
        assert len(set(info.class_names)) == len(info.class_names)
        assert info.title
        assert info.note
    classes = {name: len(info.class_names) for name, info in data.BUILT_IN.items()}
    assert (classes["tiny-imagenet"], classes["gtsrb"]) == (50, 43)
    assert [data.BUILT_IN[name].epsilon for name in ("mnist", "fashion-mnist", "cifar10", "imagenet")] == [0.1, 0.1, 0.03, 0.03]


def test_the_digits_are_normalized_by_their_own_training_split() -> None:
    pixels = data.load("digits", "train").pixels()
    assert data.BUILT_IN["digits"].mean[0] == pytest.approx(pixels.mean().item(), abs=0.002)
    assert data.BUILT_IN["digits"].std[0] == pytest.approx(pixels.std().item(), abs=0.002)


# --- labeled images -----------------------------------------------------------------------------------------------------


def test_labeled_images_are_pixel_space_on_demand(digits: data.LabeledImages) -> None:
    pixels = digits.pixels()
    assert pixels.dtype == torch.float32
    assert (pixels.min(), pixels.max()) == (0, 1)
    assert torch.equal(pixels.mul(255).round().to(torch.uint8), digits.images)
    assert digits.shape == (1, 8, 8)
    assert len(digits) == 360


def test_a_part_of_labeled_images_keeps_what_they_are(digits: data.LabeledImages) -> None:
    for index in (slice(3, 6), torch.tensor([3, 4, 5])):
        part = digits[index]
        assert len(part) == 3
        assert torch.equal(part.images, digits.images[3:6])
        assert (part.class_names, part.dataset, part.source) == (digits.class_names, "digits", digits.source)


# --- names that are none --------------------------------------------------------------------------------------------------


def test_an_unknown_dataset_split_or_limit_is_refused() -> None:
    for name in ("nothing", "", "../mnist", "/etc", "MNIST", "mnist/"):
        with pytest.raises(DataError, match=r"There is no dataset .*choose one of mnist, fashion-mnist"):
            data.load(name)
    with pytest.raises(DataError, match="There is no split 'valid'"):
        data.load("digits", "valid")  # type: ignore[arg-type]
    for limit in (0, -1):
        with pytest.raises(DataError, match=f"at least 1, not {limit}"):
            data.load("digits", limit=limit)


def test_a_folder_of_ones_own_is_a_dataset(data_folder: Path) -> None:
    names = ["Blumen", "my.pets-2", "shapes", "Ünïcode"]
    for name in names:
        write_folder(data_folder / name / "test", {"cat": pictures(2, 16), "dog": pictures(1, 16)})
    assert list(data.datasets()) == [*data.BUILT_IN, *names]
    for name in names:
        assert data.dataset(name).shape is None
        assert data.load(name).class_names == ("cat", "dog")
        assert data.available()[name].kind == "folder"


@pytest.mark.parametrize("name", ["<script>alert(1)<∕script>", "a b", ".hidden", "-rf", "two\nlines", "x" * 65, "a'b", "a%2F"])
def test_hostile_folder_names_are_no_datasets(name: str, data_folder: Path) -> None:
    write_picture(data_folder / name / "test" / "cat" / "a.png", pictures(1, 16)[0])
    assert set(data.datasets()) == set(data.BUILT_IN)
    with pytest.raises(DataError, match="There is no dataset"):
        data.load(name)


def test_folders_without_a_test_split_are_no_datasets(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(data_folder / "only-train" / "train", {"cat": pictures(1, 16)})
    (data_folder / "no-classes" / "test").mkdir(parents=True)
    write_picture(data_folder / "flat" / "test" / "a.png", pictures(1, 16)[0])
    (data_folder / "no-pictures" / "test" / "cat").mkdir(parents=True)
    (data_folder / "no-pictures" / "test" / "cat" / "notes.txt").write_text("nothing to see")
    (data_folder / "a-file").write_text("no folder")
    write_mnist(data_folder)
    write_cifar10(data_folder, monkeypatch)
    assert set(data.datasets()) == set(data.BUILT_IN)


@pytest.mark.parametrize(
    "name", ["soft\u00adhyphen", "no\u200bspace", "two\nlines", "no\u00a0break", "👩\u200d🔬", None], ids=ascii
)
def test_class_names_that_no_checkpoint_can_hold_are_refused_before_training(name: str | None, data_folder: Path) -> None:
    classes = {"a": pictures(2, 8), **({name: pictures(2, 8)} if name else {})}
    for split in ("train", "test"):
        write_folder(data_folder / "shapes" / split, classes)
    with pytest.raises(DataError, match="correct the names of its classes"):
        data.load("shapes", "train")


def test_what_class_names_must_be_like() -> None:
    for names in (["a"], ["a", "x" * 201], ["a", ""], ["a", 1], ["a", "\ud800"], ["x" * 100] * 1000, ["x"] * 10_001):
        assert class_names.problem(names)
    for names in (["a", "b"], ["ä b", "<b>"], ["x" * 200, "y"], [str(number) for number in range(10_000)]):
        assert class_names.problem(names) is None


def test_hostile_class_names_stay_names(data_folder: Path) -> None:
    name = "<img src=x onerror=alert(1)>"
    write_folder(data_folder / "shapes" / "test", {name: pictures(1, 16), "b": pictures(1, 16)})
    assert data.load("shapes").class_names == (name, "b")


# --- download -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "imagenet"])
def test_what_torchvision_does_not_bring_cannot_be_fetched(name: str, data_folder: Path) -> None:
    with pytest.raises(DataError, match="cannot be fetched from here"):
        list(data.download(name))
    assert list(data_folder.iterdir()) == []


class Refused(OSError):
    """As an SSLError that gives no reason."""

    reason = None


@pytest.mark.parametrize("kind", [OSError, Refused])
def test_a_failed_download_says_why(kind: type[OSError], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(stored: readers.TorchvisionFiles, root: Path) -> None:
        raise kind("no route to host\nand a second line")

    monkeypatch.setattr(readers, "_fetch", fail)
    with pytest.raises(DataError) as caught:
        list(data.download("mnist"))
    assert "MNIST could not be fetched (no route to host); check the network" in str(caught.value)
    assert str(data.data_root()) in str(caught.value)


def test_a_download_into_no_folder_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="could not be fetched"):
        list(data.download("mnist"))


def test_a_download_shows_its_progress_and_is_found_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    written, watched = [], threading.Event()

    def fetch(stored: readers.TorchvisionFiles, root: Path) -> None:
        (root / "part").write_bytes(bytes(1_000_000))
        assert watched.wait(60)
        written.append(stored.name)
        (root / "part").write_bytes(bytes(20_000_000))  # more than expected: the archive and what it unpacks to
        write_mnist(root, stored.name)

    monkeypatch.setattr(readers, "_fetch", fetch)
    steps = []
    for step in data.download("mnist"):
        steps.append(step)
        watched.set()
    assert written == ["MNIST"]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[0] == (1_000_000, 11_594_722)
    assert steps[-1] == (11_594_722, 11_594_722)
    assert data.find("mnist", "train").kind == "torchvision"
    assert len(data.load("mnist", "train")) == 6


def test_a_download_is_torchvisions(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    asked = []
    monkeypatch.setattr(datasets, "CIFAR10", lambda root, train, download: asked.append((Path(root).parent, train, download)))
    monkeypatch.setattr(
        datasets.utils, "download_and_extract_archive", lambda url, root, md5: asked.append((url, Path(root).parent))
    )
    list(data.download("cifar10"))
    list(data.download("tiny-imagenet"))
    monkeypatch.setattr(datasets, "GTSRB", lambda root, split, download: asked.append((Path(root).parent, split, download)))
    list(data.download("gtsrb"))
    assert asked == [
        (data_folder, True, True),
        (data_folder, False, True),
        ("http://cs231n.stanford.edu/tiny-imagenet-200.zip", data_folder),
        (data_folder, "train", True),
        (data_folder, "test", True),
    ]


def test_a_download_that_breaks_off_leaves_nothing(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    def half(root: Path, train: bool, download: bool) -> None:
        (Path(root) / "MNIST" / "raw").mkdir(parents=True)
        (Path(root) / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(b"half")
        raise ConnectionError("the network went away")

    monkeypatch.setattr(datasets, "MNIST", half)
    with pytest.raises(DataError, match="network went away"):
        list(data.download("mnist"))
    assert list(data_folder.rglob("*")) == []


def test_the_contrast_of_an_image_is_that_of_its_middle() -> None:
    blank, drawn = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    blank[:, :2], drawn[:, 3:5] = 255, 255  # the same number of values, at the edge and in the middle
    images = data.LabeledImages(torch.stack([blank, drawn]), torch.zeros(2, dtype=torch.int64), ("one",))
    assert images.contrast[0] == 0
    assert images.contrast[1] > 0.4


# --- the real sets --------------------------------------------------------------------------------------------------------


def test_the_real_mnist(mnist: data.LabeledImages) -> None:
    assert not mnist.samples
    assert mnist.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert mnist.pixels().mean().item() == pytest.approx(0.13, abs=0.02)
