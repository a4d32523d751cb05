"""Checkpoints: whole through the disk, found by id alone, and a sentence for every file that is none."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from advcore import data
from advcore.errors import CheckpointError
from advcore.models import checkpoints, headers, storage
from advcore.recipe import Recipe
from tests.makers import DIGIT_NAMES, RECIPE, SHIPPED_DIGITS, fresh, save_checkpoint

SHAPE = (1, 8, 8)


def header(**changes: Any) -> dict[str, Any]:
    """A header that this app would write, with some parts other (... leaves one out)."""
    whole = {
        "format": 1,
        "recipe": RECIPE.to_dict(),
        "shape": list(SHAPE),
        "class_names": list(DIGIT_NAMES),
        "metrics": {"clean": 0.9, "attacks": []},
        "provenance": {},
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def write(path: Path, tensors: dict[str, torch.Tensor] | None = None, text: str | None = None, **changes: Any) -> Path:
    """A safetensors file with `text`, or a header with those changes, as this app's part of the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = fresh("digits_cnn", SHAPE).state_dict() if tensors is None else tensors
    save_file(tensors, path, {"advcore": json.dumps(header(**changes)) if text is None else text})
    return path


def sentence(error: pytest.ExceptionInfo[CheckpointError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith((".", ")"))
    assert len(message) < 500
    return message


# --- through the disk and back -------------------------------------------------------------------------------------------


def test_a_checkpoint_survives_the_disk(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, defense="fgsm", epsilon=0.2)
    model, path = fresh("digits_cnn", SHAPE), tmp_path / "digits" / "mine.safetensors"
    metrics = {"clean": 0.5, "attacks": [{"attack": "FGSM", "epsilon": 0.2, "images": 3, "accuracy": 1.0}], "images": 3}
    provenance = {"command": "python -m advcore train …", "seconds": 1.5}
    checkpoints.save(path, model, recipe, shape=SHAPE, class_names=DIGIT_NAMES, metrics=metrics, provenance=provenance)
    read = checkpoints.read(path)
    assert (read.id, read.path, read.own) == ("digits/mine", path, False)
    assert (read.recipe, read.shape, read.class_names) == (recipe, SHAPE, DIGIT_NAMES)
    assert (read.metrics, read.provenance) == (metrics, provenance)
    assert read.defended
    loaded = read.model()
    assert not any(module.training for module in loaded.modules())
    assert not any(value.requires_grad for value in loaded.parameters())
    for (name, value), (again, got) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == again
        assert got.dtype == value.dtype
        halved = value.half().float() if value.dim() > 1 and value.numel() > 1 else value
        assert torch.equal(got, halved), name


def test_large_weights_are_halved_on_disk_and_exact_ones_kept(tmp_path: Path) -> None:
    model = fresh("preact_resnet18", SHAPE, width=4)
    recipe = dataclasses.replace(RECIPE, architecture="preact_resnet18", width=4)
    path = tmp_path / "digits" / "a.safetensors"
    checkpoints.save(path, model, recipe, shape=SHAPE, class_names=DIGIT_NAMES, metrics={}, provenance={})
    for name, stored in load_file(path).items():
        exact = name in {"0.mean", "0.std"} or model.state_dict()[name].dim() < 2
        assert stored.dtype == (model.state_dict()[name].dtype if exact else torch.float16), name


def test_a_very_large_weight_is_stored_as_int8_with_a_scale_for_each_output(tmp_path: Path) -> None:
    model = fresh("lee_cnn", (1, 28, 28))
    with torch.no_grad():
        model[6].weight[5] = 0
    recipe = dataclasses.replace(RECIPE, dataset="mnist", architecture="lee_cnn")
    path, again = tmp_path / "mnist" / "a.safetensors", tmp_path / "mnist" / "b.safetensors"
    whole = {"shape": (1, 28, 28), "class_names": DIGIT_NAMES, "metrics": {}, "provenance": {}}
    checkpoints.save(path, model, recipe, **whole)
    stored = load_file(path)
    assert (stored["6.weight"].dtype, stored["6.weight.scale"].shape) == (torch.int8, (128, 1))
    loaded = checkpoints.read(path).model()
    largest = model[6].weight.abs().amax(1, keepdim=True)
    assert ((loaded[6].weight - model[6].weight).abs() <= 0.51 * largest / 127).all()
    measured = storage.as_stored(model).state_dict()
    assert all(torch.equal(value, measured[name]) for name, value in loaded.state_dict().items())
    checkpoints.save(again, loaded, recipe, **whole)
    assert again.read_bytes() == path.read_bytes()

    for scale in (torch.ones(1, 128), torch.full((128, 1), torch.inf)):
        save_file(stored | {"6.weight.scale": scale}, path, metadata=storage.read_metadata(again))
        with pytest.raises(CheckpointError):
            checkpoints.read(path).model()
    extra = {name: value for name, value in stored.items() if name != "6.weight.scale"} | {"6.bias.scale": torch.ones(128, 1)}
    save_file(extra, path, metadata=storage.read_metadata(again))
    with pytest.raises(CheckpointError, match=r"6\.bias\.scale"):
        checkpoints.read(path).model()


def test_a_very_large_convolution_is_stored_as_int8_too() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(64, 512, 3))
    held = storage.stored(network)
    assert (held["0.weight"].dtype, held["0.weight.scale"].shape) == (torch.int8, (512, 1, 1, 1))
    error = (storage.as_stored(network)[0].weight - network[0].weight).abs()
    assert (error <= 0.51 * network[0].weight.abs().amax((1, 2, 3), keepdim=True) / 127).all()


@pytest.mark.parametrize("checkpoint_id", SHIPPED_DIGITS)
def test_the_shipped_models_are_what_their_headers_say(checkpoint_id: str, digits: data.LabeledImages) -> None:
    checkpoint = checkpoints.find(checkpoint_id)
    assert checkpoint.id == checkpoint.recipe.checkpoint_id
    assert checkpoint.metrics["images"] == 360
    assert "python -m advcore train" in checkpoint.provenance["command"]
    checkpoint.require(digits)
    model = checkpoint.model()
    with torch.no_grad():
        right = (model(digits.pixels()).argmax(1) == digits.labels).sum().item()
    # The file has half the precision of what was measured: one image of 360 may differ.
    assert right == pytest.approx(360 * checkpoint.metrics["clean"], abs=1)
    assert set(checkpoints.find(checkpoint_id).model().state_dict()) == set(model.state_dict())


def test_a_header_is_read_without_the_weights(own_checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(own_checkpoints)

    @contextlib.contextmanager
    def header_only(*arguments: Any, **options: Any) -> Iterator[SimpleNamespace]:
        with safe_open(*arguments, **options) as file:
            yield SimpleNamespace(metadata=file.metadata)

    monkeypatch.setattr(storage, "safe_open", header_only)
    checkpoint = checkpoints.find("digits/digits_cnn-standard")
    assert checkpoint.metrics["clean"] == 0.9
    with pytest.raises(AttributeError):
        checkpoint.model()


def test_channels_last_weights_are_saved_in_order(tmp_path: Path) -> None:
    model = fresh("digits_cnn", SHAPE).to(memory_format=torch.channels_last)
    path = tmp_path / "digits" / "a.safetensors"
    checkpoints.save(path, model, RECIPE, shape=SHAPE, class_names=DIGIT_NAMES, metrics={}, provenance={})
    images = torch.rand(3, *SHAPE)
    assert torch.allclose(checkpoints.read(path).model()(images), storage.as_stored(model)(images), atol=1e-6)


@pytest.mark.parametrize("weight", [torch.nan, torch.inf, 1e6], ids=["nan", "inf", "too large"])
def test_weights_that_are_no_numbers_are_not_saved(weight: float, tmp_path: Path) -> None:
    model, path = fresh("digits_cnn", SHAPE), tmp_path / "digits" / "a.safetensors"
    with torch.no_grad():
        model[1].weight[0, 0, 0, 0] = weight
    with pytest.raises(CheckpointError, match=r"'1\.weight' is not finite"):
        checkpoints.save(path, model, RECIPE, shape=SHAPE, class_names=DIGIT_NAMES, metrics={}, provenance={})
    assert not path.exists()


@pytest.mark.parametrize("before", [True, False], ids=["one was there", "none was there"])
def test_an_interrupted_write_leaves_what_was_there(
    before: bool, own_checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own_checkpoints / "digits" / "digits_cnn-standard.safetensors"
    path.parent.mkdir()
    content = save_checkpoint(own_checkpoints).path.read_bytes() if before else None

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(own_checkpoints, seed=1)
    assert [file.name for file in path.parent.iterdir()] == ([path.name] if before else [])
    assert not before or path.read_bytes() == content
    assert checkpoints.problems() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_checkpoint_is_readable_as_any_file_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    path = save_checkpoint(tmp_path).path
    assert oct(path.stat().st_mode) == oct((tmp_path / "usual").stat().st_mode)


# --- listing ---------------------------------------------------------------------------------------------------------------


def test_the_catalog_holds_shipped_ones_first_and_the_users_own(own_checkpoints: Path) -> None:
    save_checkpoint(own_checkpoints)
    save_checkpoint(checkpoints.own_root(), name="digits/mine")
    hidden = save_checkpoint(checkpoints.own_root(), seed=1)  # the id of a shipped one: that one stays
    save_checkpoint(own_checkpoints, dataclasses.replace(RECIPE, dataset="shapes"))
    listed = checkpoints.catalog()
    assert list(listed) == ["digits/digits_cnn-standard", "shapes/digits_cnn-standard", "digits/mine"]
    assert [item.own for item in listed.values()] == [False, False, True]
    assert listed["digits/digits_cnn-standard"].path != hidden.path
    assert list(checkpoints.catalog("shapes")) == ["shapes/digits_cnn-standard"]
    assert checkpoints.catalog("nothing") == {}


def test_titles_are_what_people_call_it(own_checkpoints: Path) -> None:
    defended = dataclasses.replace(RECIPE, defense="fgsm", epsilon=0.2)
    assert save_checkpoint(own_checkpoints).title == "Digits CNN, standard"
    assert save_checkpoint(own_checkpoints, defended).title == "Digits CNN, FGSM-trained, ε 0.2"
    assert save_checkpoint(own_checkpoints, defended, name="digits/best").title == "best (Digits CNN, FGSM-trained, ε 0.2)"
    assert save_checkpoint(own_checkpoints, name="digits/digits_cnn-standard-2").title == "Digits CNN, standard (2)"


def test_an_empty_place_has_no_checkpoints(own_checkpoints: Path) -> None:
    own_checkpoints.rmdir()
    assert checkpoints.catalog() == {}
    assert checkpoints.problems() == {}
    with pytest.raises(CheckpointError, match="none yet"):
        checkpoints.find("digits/digits_cnn-standard")


def test_an_id_is_looked_up_and_never_a_path() -> None:
    name = "digits/digits_cnn-standard"
    near = [f"{name}.safetensors", f"../checkpoints/{name}", f"digits/../{name}", f"./{name}", f"{name}\x00", name.upper()]
    changed = [name.replace("/", "//"), name.replace("/", "\\")]
    for checkpoint_id in ("", "digits", "digits/", "digits/nothing", "/etc/passwd", "x" * 5000, *near, *changed):
        with pytest.raises(CheckpointError) as error:
            checkpoints.find(checkpoint_id)
        assert sentence(error).startswith("There is no checkpoint ")


def test_a_file_beside_the_folders_has_no_id(own_checkpoints: Path) -> None:
    save_checkpoint(own_checkpoints.parent / "outside")
    save_checkpoint(own_checkpoints, name="digits/deeper/one")
    (own_checkpoints / "top.safetensors").write_bytes(b"")
    assert checkpoints.catalog() == {}


def test_a_new_checkpoint_gets_a_free_place(own_checkpoints: Path) -> None:
    name = "digits/digits_cnn-standard"
    assert checkpoints.free_path(name) == checkpoints.own_root() / f"{name}.safetensors"
    save_checkpoint(own_checkpoints)
    assert checkpoints.free_path(name) == checkpoints.own_root() / f"{name}-2.safetensors"
    save_checkpoint(checkpoints.own_root(), name=f"{name}-2")
    (checkpoints.own_root() / f"{name}-3.safetensors").write_bytes(b"unreadable, and still not to be written over")
    assert checkpoints.free_path(name).name == "digits_cnn-standard-4.safetensors"
    assert checkpoints.free_path("digits/a-fgsm-1e-05").name == "a-fgsm-1e-05.safetensors"


def test_two_that_are_added_at_once_get_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second looks for a free name while the first is being written."""
    made, save = [], checkpoints.save
    model = fresh("digits_cnn", (1, 8, 8))
    facts = {"shape": (1, 8, 8), "class_names": DIGIT_NAMES, "metrics": {}, "provenance": {}}

    def add() -> None:
        made.append(checkpoints.add("digits/mine", model, Recipe(dataset="digits", architecture="digits_cnn"), **facts).id)

    second = threading.Thread(target=add)

    def slow(*arguments: Any, **options: Any) -> None:
        if not second.ident:
            second.start()
            second.join(0.3)  # it must wait for the name
        save(*arguments, **options)

    monkeypatch.setattr(checkpoints, "save", slow)
    add()
    second.join()
    assert sorted(made) == ["digits/mine", "digits/mine-2"]


def test_a_name_too_long_for_its_number_is_refused() -> None:
    longest = f"digits/{'a' * 96}"
    save_checkpoint(checkpoints.own_root(), name=longest)
    with pytest.raises(CheckpointError, match="cannot name a checkpoint"):
        checkpoints.free_path(longest)


def test_an_id_that_cannot_name_a_file_is_refused() -> None:
    for name in ("", "digits", "../a/b", "digits/../b", "/digits/a", "digits/a/b", "digits/.a", "a b/c", "<b>/c", "a/b\n"):
        with pytest.raises(CheckpointError, match="cannot name a checkpoint"):
            checkpoints.free_path(name)


def test_a_checkpoint_says_when_images_do_not_fit(own_checkpoints: Path, digits: data.LabeledImages) -> None:
    checkpoint = save_checkpoint(own_checkpoints)
    checkpoint.require(digits)
    larger = dataclasses.replace(digits, images=torch.zeros(360, 1, 9, 8, dtype=torch.uint8))
    with pytest.raises(CheckpointError) as error:
        checkpoint.require(larger)
    assert "8×8 grey" in sentence(error)
    assert "8×9 grey" in sentence(error)
    for names in ((*DIGIT_NAMES, "ten"), DIGIT_NAMES[:9], ("zero", *DIGIT_NAMES[1:]), DIGIT_NAMES[::-1]):
        with pytest.raises(CheckpointError) as error:
            checkpoint.require(dataclasses.replace(digits, class_names=names))
        sentence(error)


# --- files that are none ------------------------------------------------------------------------------------------------------


class Hostile:
    """Whoever unpickles this runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["ADVCORE_RUNS"] + "-unpickled",)


EVALUATED = ("clean", "fgsm", "pgd", "epsilon")


def nested(levels: int) -> Any:
    """A value within that many dictionaries."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def rows(**changes: Any) -> dict[str, Any]:
    """Figures with one row, which those changes break."""
    row = {"attack": "PGD-20", "epsilon": 0.1, "accuracy": 0.1, "images": 10} | changes
    return {"attacks": [{name: value for name, value in row.items() if value is not ...}]}


# By the words that refuse them: whole files, or a header's text, or the parts that differ from a good header.
UNREADABLE: dict[str, Callable[[Path], object]] = {
    "pickle": lambda path: path.write_bytes(pickle.dumps(Hostile())),
    "torch.save": lambda path: torch.save({"weights": Hostile()}, path),
    "random bytes": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "empty": lambda path: path.write_bytes(b""),
    "seven bytes": lambda path: path.write_bytes(b"1234567"),
    "endless header": lambda path: path.write_bytes(struct.pack("<Q", 2**63) + b"{}"),
    "text header": lambda path: path.write_bytes(struct.pack("<Q", 4) + b"text"),
    "cut in the header": lambda path: path.write_bytes(write(path).read_bytes()[:100]),
    "cut in half": lambda path: path.write_bytes((whole := write(path).read_bytes())[: len(whole) // 2]),
    "cut by a byte": lambda path: path.write_bytes(write(path).read_bytes()[:-1]),
    "a folder": lambda path: path.mkdir(),
}
FOREIGN_TEXTS = ["not JSON", "", "[" * 200_000, '{"format": ' * 15_000, "[1]", "1", json.dumps(header(format=...))]
SHAPES = [[1, 10**9, 10**9], [2, 8, 8], [1, 0, 8], [8, 8], [1, float("inf"), 8], [1, float("nan"), 8], [1, 8.5, 8], "188"]
CLASS_NAMES = ["0123456789", ["0"], ["x"] * 20_000, ["0", "x" * 100_000], [0, 1, 2], ["0", "a\nb"], ["0", "\ud800"]]
METRICS: list[Any] = [
    "good",
    *({"clean": share} for share in ("good", 97.5, float("nan"), 10**400)),
    {"images": "many"},
    {"history": "long"},
    {"history": [dict.fromkeys(EVALUATED, 0.5)]},
    {"history": [dict.fromkeys(EVALUATED, 0.5) | {"step": float("inf")}]},
    {"attacks": "none"},
    {"attacks": ["FGSM"]},
    *(rows(**{name: ...}) for name in ("attack", "epsilon", "accuracy")),
    rows(images="many"),
    rows(epsilon=1.5),
    rows(norm="l2", epsilon=1e9),
    rows(norm="l7"),
    rows(norm=["l2"]),
    {"attacks": rows()["attacks"] * 201},
    {"clean": 0.5, "more": nested(500)},
    {"more": "\ud800"},
    {str(number): 0 for number in range(16_000)},
]
NO_CHECKPOINT: dict[str, list[Callable[[Path], object]]] = {
    "not a readable safetensors file": list(UNREADABLE.values()),
    "no recipe": [
        lambda path: save_file({"w": torch.ones(3)}, path),
        lambda path: save_file({"w": torch.ones(3)}, path, {"format": "pt"}),
        *(partial(write, text=text) for text in FOREIGN_TEXTS),
    ],
    "another version": [partial(write, format=form) for form in (2, "x" * 1000, "\ud800")],
    "incomplete": [partial(write, **{name: ...}) for name in ("recipe", "shape", "class_names")],
    "A recipe is a JSON object": [partial(write, recipe="lee_cnn")],
    "A recipe has no field 'evil'": [partial(write, recipe=RECIPE.to_dict() | {"evil": "x"})],
    "epochs cannot be": [partial(write, recipe=RECIPE.to_dict() | {"epochs": "ten"})],
    "learning_rate cannot be": [partial(write, recipe=RECIPE.to_dict() | {"learning_rate": 10**400})],
    "resnet50": [partial(write, recipe=RECIPE.to_dict() | {"architecture": "resnet50"})],
    "trained on mnist": [partial(write, recipe=RECIPE.to_dict() | {"dataset": "mnist"})],
    "which no model here takes": [partial(write, shape=shape) for shape in SHAPES],
    "at least 2 px": [partial(write, shape=[1, 1, 1])],
    "class names": [partial(write, class_names=names) for names in CLASS_NAMES],
    "figures": [partial(write, metrics=metrics) for metrics in METRICS],
    "cannot read": [partial(write, provenance=[1])],
    "more than 256 KiB": [
        partial(write, provenance={"device": "x" * 1_000_000}),
        lambda path: save_file({str(number): torch.ones(0) for number in range(5000)}, path),
    ],
}


def test_only_what_is_known_of_the_provenance_is_kept(own_checkpoints: Path) -> None:
    path = own_checkpoints / "digits" / "a.safetensors"
    hostile = {"evil": "x", "torch": nested(500), "job": ["x"], "device": "x" * 10_000, "command": "\ud800"}
    write(path, provenance={"date": "today", "seconds": 1.5, **hostile})
    assert checkpoints.find("digits/a").provenance == {"date": "today", "seconds": 1.5}


def test_a_file_that_breaks_the_reader_is_named_and_skipped(own_checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = save_checkpoint(own_checkpoints), save_checkpoint(own_checkpoints, name="digits/bad")
    whole = headers.read

    def breaks(path: Path) -> headers.Header:
        if path == bad.path:
            raise RecursionError("too deep")
        return whole(path)

    monkeypatch.setattr(headers, "read", breaks)
    assert list(checkpoints.catalog()) == [good.id]
    assert "bad.safetensors" in checkpoints.problems()[bad.path]


@pytest.mark.parametrize("words", NO_CHECKPOINT)
def test_a_file_that_is_no_checkpoint(words: str, own_checkpoints: Path) -> None:
    good = save_checkpoint(own_checkpoints)
    for number, make in enumerate(NO_CHECKPOINT[words]):
        path = own_checkpoints / "digits" / f"bad{number}.safetensors"
        make(path)
        assert words in checkpoints.problems()[path]
    # The good one goes on being listed, and the bad ones are named.
    assert list(checkpoints.catalog()) == [good.id]
    assert len(checkpoints.problems()) == len(NO_CHECKPOINT[words])
    for path, reason in checkpoints.problems().items():
        assert path.name in reason
        assert "\n" not in reason
        assert len(reason) < 700
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        checkpoints.find("digits/bad0")
    assert not Path(os.environ["ADVCORE_RUNS"] + "-unpickled").exists()


def test_an_l2_budget_in_a_header_may_be_above_1(own_checkpoints: Path) -> None:
    save_checkpoint(own_checkpoints)
    path = own_checkpoints / "digits" / "long.safetensors"
    write(path, metrics=rows(norm="l2", epsilon=1.5))
    assert "digits/long" in checkpoints.catalog()


def test_a_file_too_large_to_be_a_model(own_checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_checkpoint(own_checkpoints).path
    with path.open("r+b") as file:
        file.truncate((1 << 30) + 1)  # sparse: it takes no room on the disk
    assert "larger than 1024 MiB" in checkpoints.problems()[path]


def test_a_file_name_that_is_no_id(own_checkpoints: Path) -> None:
    save_checkpoint(own_checkpoints)
    for name in ("<b>", "a b", "-rf", ".hidden", "x" * 100, "a\nb"):
        path = write(own_checkpoints / "digits" / f"{name}.safetensors")
        assert list(checkpoints.catalog()) == ["digits/digits_cnn-standard"]
        assert "rename" in checkpoints.problems()[path]


def weights(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """A model's weights with some other, more or (None) fewer; underscores stand for dots."""
    whole = fresh("digits_cnn", SHAPE).state_dict()
    named = {name.replace("_", ".", 1).removeprefix("w"): value for name, value in changes.items()}
    return {name: value for name, value in (whole | named).items() if value is not None}


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (weights(w1_weight=None), "'1.weight' is missing or too many"),
        (weights(w99_weight=torch.ones(2)), "'99.weight' is missing or too many"),
        (weights(w1_weight=torch.ones(32, 1, 5, 5)), "'1.weight' is (32, 1, 5, 5), not (32, 1, 3, 3)"),
        (weights(w1_weight=torch.ones(288)), "'1.weight' is (288,)"),
        (weights(w1_bias=torch.full((32,), torch.nan)), "not finite"),
        (weights(w1_bias=torch.full((32,), torch.inf)), "not finite"),
        (weights(w1_bias=torch.full((32,), 1e300, dtype=torch.float64)), "not finite"),
        (weights(w0_std=torch.zeros(1, 1, 1, 1)), "normalization"),
        (weights(w0_std=torch.full((1, 1, 1, 1), -1.0)), "normalization"),
        ({}, "missing or too many"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_weights_that_do_not_fit_their_recipe(tensors: dict[str, torch.Tensor], words: str, own_checkpoints: Path) -> None:
    write(own_checkpoints / "digits" / "a.safetensors", tensors)
    checkpoint = checkpoints.find("digits/a")
    with pytest.raises(CheckpointError) as error:
        checkpoint.model()
    assert words in sentence(error)


@pytest.mark.parametrize("changes", [{"shape": [3, 8, 8]}, {"shape": [1, 224, 224]}, {"class_names": ["x"] * 10_000}])
def test_weights_that_do_not_fit_their_header(changes: dict[str, Any], own_checkpoints: Path) -> None:
    write(own_checkpoints / "digits" / "a.safetensors", **changes)
    checkpoint = checkpoints.find("digits/a")
    with pytest.raises(CheckpointError) as error:
        checkpoint.model()
    sentence(error)


def test_a_model_of_absurd_size_takes_no_memory(own_checkpoints: Path) -> None:
    recipe = Recipe(dataset="digits", architecture="lee_cnn")  # its first dense layer would have 411 million weights
    write(own_checkpoints / "digits" / "a.safetensors", recipe=recipe.to_dict(), shape=[3, 224, 224])
    with pytest.raises(CheckpointError, match="does not fit its own recipe"):
        checkpoints.find("digits/a").model()


def test_a_file_that_vanishes_after_listing(own_checkpoints: Path) -> None:
    checkpoint = save_checkpoint(own_checkpoints)
    checkpoint.path.unlink()
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        checkpoint.model()


def test_any_bytes_are_refused_with_a_sentence(own_checkpoints: Path) -> None:
    """Bytes flipped at random anywhere in the header: a checkpoint still, or CheckpointError."""
    path = write(own_checkpoints / "digits" / "a.safetensors")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    refused = 0
    for _ in range(300):
        broken = bytearray(whole)
        for position in rng.integers(0, end, 3):
            broken[position] = rng.integers(256)
        path.write_bytes(broken)
        try:
            checkpoints.read(path).model()
        except CheckpointError:
            refused += 1
    assert refused > 200


def test_safetensors_of_other_kinds_are_read_and_refused_alike(tmp_path: Path) -> None:
    path = write(tmp_path / "state.safetensors")
    tensors, metadata = storage.read_safetensors(path)
    assert set(tensors) == set(fresh("digits_cnn", SHAPE).state_dict())
    assert storage.read_metadata(path) == metadata
    assert json.loads(metadata["advcore"])["format"] == 1
    path.write_bytes(b"nothing")
    for read in (storage.read_safetensors, storage.read_metadata):
        with pytest.raises(CheckpointError, match="not a readable safetensors file"):
            read(path)


def test_a_file_is_read_once_and_again_after_it_changed(own_checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item, read = save_checkpoint(own_checkpoints), []
    monkeypatch.setattr(
        checkpoints.headers, "read", lambda path, real=checkpoints.headers.read: read.append(path) or real(path)
    )
    assert checkpoints.catalog()[item.id] is checkpoints.catalog()[item.id]
    assert read.count(item.path) == 1
    names = item.class_names
    checkpoints.save(
        item.path, item.model(), item.recipe, shape=item.shape, class_names=names, metrics={"clean": 0.25}, provenance={}
    )
    assert checkpoints.catalog()[item.id].metrics == {"clean": 0.25}
