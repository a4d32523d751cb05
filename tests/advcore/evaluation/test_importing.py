"""Imported models: tried and measured first; nothing that a user uploads becomes a path or code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from advcore import data
from advcore.errors import CheckpointError, RecipeError
from advcore.evaluation import importing
from advcore.models import architectures, checkpoints, pickles, storage
from advcore.recipe import Recipe
from tests.advcore.models.test_pretrained import Exploit
from tests.own_models import RECIPE, files, own

SHIPPED = "digits/digits_cnn-standard"


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is imported is measured on a few images: how it is measured is tested once, and in test_figures."""
    monkeypatch.setattr(importing, "TRIAL_IMAGES", 16)


# --- import a checkpoint ---------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_imported_with_all_it_says(tmp_path: Path) -> None:
    upload = tmp_path / "upload.safetensors"
    upload.write_bytes(own().path.read_bytes())
    checkpoints.delete("digits/mine")
    found = importing.import_checkpoint(upload)
    assert found.id == "digits/digits_cnn-standard-2", "a free name: the shipped one has its own"
    assert (found.own, found.recipe, found.metrics) == (True, RECIPE, {"clean": 0.5})
    assert found.provenance["date"] == "today"
    assert found.provenance["imported"]
    named = importing.import_checkpoint(upload, name="from-a-friend")
    assert named.id == "digits/from-a-friend"
    one, other = (item.model().state_dict() for item in (found, named))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    with pytest.raises(CheckpointError):
        importing.import_checkpoint(upload, name="../../x")


def broken(kind: str) -> bytes:
    """A checkpoint that is none."""
    path = own("broken").path
    whole = path.read_bytes()
    tensors, metadata = storage.read_safetensors(path)
    path.unlink()
    match kind:
        case "truncated":
            return whole[: len(whole) // 2]
        case "pickle":
            return pickle.dumps(tensors)
        case "no recipe":
            save_file(tensors, path)
        case "not finite":
            save_file(tensors | {"1.weight": torch.full_like(tensors["1.weight"], float("nan"))}, path, metadata)
        case "weights missing":
            save_file({name: value for name, value in tensors.items() if name != "1.weight"}, path, metadata)
        case "other dataset":
            text = metadata["advcore"].replace('"dataset": "digits"', '"dataset": "../../digits"')
            save_file(tensors, path, {"advcore": text})
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["truncated", "pickle", "no recipe", "not finite", "weights missing", "other dataset"])
def test_a_broken_or_hostile_upload_is_refused_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    upload = tmp_path / "upload.safetensors"
    upload.write_bytes(broken(kind))
    (checkpoints.own_root() / "digits" / "broken.safetensors").unlink(missing_ok=True)
    with pytest.raises((CheckpointError, RecipeError)) as refused:
        importing.import_checkpoint(upload)
    assert "\n" not in str(refused.value)
    assert files() == []


def test_a_model_that_answers_with_no_number_is_refused(tmp_path: Path) -> None:
    model = architectures.build("digits_cnn", (1, 8, 8), 10)
    upload = tmp_path / "upload.safetensors"
    names = data.dataset("digits").class_names
    checkpoints.save(upload, model, RECIPE, shape=(1, 8, 8), class_names=names, metrics={}, provenance={})
    huge = {name: torch.full_like(value, 6e34) if "weight" in name else value for name, value in model.state_dict().items()}
    storage.write_safetensors(upload, huge, storage.read_metadata(upload))
    with pytest.raises(CheckpointError, match="not a finite number"):
        importing.import_checkpoint(upload)
    assert files() == []


# --- import plain weights --------------------------------------------------------------------------------------------------


def test_a_weight_named_with_more_digits_than_a_number_may_have(
    tmp_path: Path, shipped_weights: dict[str, torch.Tensor]
) -> None:
    named = {f"{name}{'1' * 5000}": value for name, value in shipped_weights.items()}
    with pytest.raises(CheckpointError):
        importing.import_weights(put(tmp_path, named | {"2" * 5000: torch.ones(3)}), RECIPE)


def test_other_types_of_numbers_are_read_or_refused(tmp_path: Path, shipped_weights: dict[str, torch.Tensor]) -> None:
    eighths = {name: value.to(torch.float8_e5m2) for name, value in shipped_weights.items()}
    assert importing.import_weights(put(tmp_path, eighths), RECIPE).metrics["clean"] > 0.5
    with pytest.raises(CheckpointError, match="complex"):
        importing.import_weights(put(tmp_path, {name: value.to(torch.complex64) for name, value in eighths.items()}), RECIPE)


class Plain(nn.Module):
    """The digits network as somebody else might write it down."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(1024, 64), nn.Linear(64, 10)


@pytest.fixture
def shipped_weights() -> dict[str, torch.Tensor]:
    """The shipped network's weights under somebody else's names, without a normalization."""
    found = checkpoints.find(SHIPPED).model().state_dict()
    kept = [value for name, value in found.items() if not name.startswith("0.")]
    return dict(zip(Plain().state_dict(), kept, strict=True))


def put(tmp_path: Path, tensors: dict[str, Any]) -> Path:
    path = tmp_path / "upload.safetensors"
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return path


def test_plain_weights_are_matched_by_shape_and_measured(
    tmp_path: Path, shipped_weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "TRIAL_IMAGES", 1000)
    shuffled = dict(sorted(shipped_weights.items(), reverse=True))
    found = importing.import_weights(put(tmp_path, shuffled), RECIPE, name="a-friends")
    assert found.id == "digits/a-friends"
    one, other = (item.model().state_dict() for item in (found, checkpoints.find(SHIPPED)))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    shipped = checkpoints.find(SHIPPED).metrics
    assert found.metrics["clean"] == pytest.approx(shipped["clean"], abs=0.01)
    assert {row["attack"] for row in found.metrics["attacks"]} >= {"FGSM", "PGD-20"}


def test_weights_under_this_apps_names_bring_their_normalization(tmp_path: Path) -> None:
    state = checkpoints.find(SHIPPED).model().state_dict()
    state["0.mean"] = torch.full_like(state["0.mean"], 0.25)
    found = importing.import_weights(put(tmp_path, state), RECIPE)
    assert float(found.model().state_dict()["0.mean"]) == 0.25


def test_a_normalization_that_cannot_be_is_refused(tmp_path: Path) -> None:
    state = checkpoints.find(SHIPPED).model().state_dict()
    state["0.std"] = -state["0.std"]
    with pytest.raises(CheckpointError, match="divides by zero or less"):
        importing.import_weights(put(tmp_path, state), RECIPE)
    assert files() == []


@pytest.mark.parametrize(
    ("normalization", "mean", "std"), [("dataset", 0.3053, 0.3760), ("none", 0.0, 1.0), ("half", 0.5, 0.5)]
)
def test_the_normalization_is_named(
    normalization: Any, mean: float, std: float, tmp_path: Path, shipped_weights: dict[str, torch.Tensor]
) -> None:
    found = importing.import_weights(put(tmp_path, shipped_weights), RECIPE, normalization=normalization)
    layer = found.model()[0]
    assert (float(layer.mean), float(layer.std)) == pytest.approx((mean, std))
    assert importing.NORMALIZATIONS[normalization] == found.provenance["normalization"]


def test_batch_norm_is_told_apart_by_its_names(tmp_path: Path) -> None:
    recipe = Recipe(dataset="digits", architecture="preact_resnet18", width=4)
    torch.manual_seed(1)
    model = checkpoints.build(recipe, (1, 8, 8), 10)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias)
            layer.running_mean.uniform_(0, 0.1)
            layer.running_var.uniform_(0.9, 1.1)
    renamed = {f"net.layer{name}": value for name, value in model.state_dict().items() if not name.startswith("0.")}
    found = importing.import_weights(put(tmp_path, renamed), recipe).model()
    image = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(found(image), model(image), rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conv1.weight": None}, "has no weight of 32×1×3×3"),
        ({"conv1.weight": torch.zeros(8, 1, 3, 3)}, "has no weight of 32×1×3×3"),
        ({"more": torch.zeros(3)}, "more weights than the architecture"),
        ({"fc2.bias": torch.full((10,), float("inf"))}, "not finite"),
    ],
    ids=["missing", "other shape", "too many", "infinite"],
)
def test_weights_that_do_not_fit_are_refused(
    changes: dict[str, Any], words: str, tmp_path: Path, shipped_weights: dict[str, torch.Tensor]
) -> None:
    tensors = {name: value for name, value in (shipped_weights | changes).items() if value is not None}
    with pytest.raises(CheckpointError, match=words):
        importing.import_weights(put(tmp_path, tensors), RECIPE)
    assert files() == []


def test_weights_of_this_apps_names_but_another_shape_are_refused(tmp_path: Path) -> None:
    state = checkpoints.find(SHIPPED).model().state_dict() | {"1.weight": torch.zeros(32, 1, 5, 5)}
    with pytest.raises(CheckpointError, match=r"'1.weight' is 32×1×5×5, not 32×1×3×3"):
        importing.import_weights(put(tmp_path, state), RECIPE)
    state = checkpoints.find(SHIPPED).model().state_dict() | {"0.mean": torch.zeros(1, 3, 1, 1)}
    with pytest.raises(CheckpointError, match="normalization for other images"):
        importing.import_weights(put(tmp_path, state), RECIPE)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    marker = tmp_path / "opened"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    upload = tmp_path / "upload.safetensors"
    upload.write_bytes(pickle.dumps(Hostile()))
    for take in (lambda: importing.import_checkpoint(upload), lambda: importing.import_weights(upload, RECIPE)):
        with pytest.raises(CheckpointError):
            take()
    assert not marker.exists()


def test_an_unknown_normalization_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no normalization 'other'"):
        importing.import_weights(tmp_path / "x", RECIPE, normalization="other")


# --- pickles -----------------------------------------------------------------------------------------------------------------


def robustbench(model: nn.Module) -> dict[str, torch.Tensor]:
    """The model's weights under the names that RobustBench's PreAct ResNets have, with its normalization."""
    found = {}
    for name, value in model.state_dict().items():
        layer, rest = name.split(".", 1)
        number = int(layer)
        if number == 0:
            name = {"mean": "mu", "std": "sigma"}[rest]
        elif number == 1:
            name = f"conv1.{rest}"
        elif number < 10:
            rest = rest.replace("norm", "bn").replace("shortcut.", "shortcut.0.")
            name = f"layer{(number - 2) // 2 + 1}.{(number - 2) % 2}.{rest}"
        else:
            name = f"linear.{rest}" if value.dim() == 2 or value.shape == (10,) else f"bn.{rest}"
        found[name] = value
    return found


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open pickles here: starting a process that imports torch takes seconds."""

    def opened(pickle: Path, target: Path, network: str = pickles.ANY) -> None:
        if reason := pickles.convert(str(pickle), str(target), network):
            raise RuntimeError(reason)

    monkeypatch.setattr(pickles, "as_safetensors", opened)


@pytest.mark.parametrize(
    ("architecture", "wrapped"), [("wong_preact_resnet18", True), ("wong_preact_resnet18", False), ("preact_resnet18", False)]
)
def test_a_pickle_of_robustbench_is_the_network_it_was(
    tmp_path: Path, architecture: str, wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(dataset="digits", architecture=architecture, width=4, defense="fgsm_rs", epsilon=0.1)
    torch.manual_seed(0)
    model = checkpoints.build(recipe, (1, 8, 8), 10)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.weight.data.uniform_(0.5, 2)
    model[0].mean.fill_(0.4)
    model[0].std.fill_(0.3)
    held = robustbench(model)
    held = {"state_dict": {f"module.{name}": value for name, value in held.items()}, "epoch": 30} if wrapped else held
    torch.save(held, tmp_path / "theirs.pt")
    in_this_process(monkeypatch)
    found = importing.import_weights(tmp_path / "theirs.pt", recipe)
    images = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(found.model()(images), storage.as_stored(model)(images), atol=1e-5)
    assert found.provenance["normalization"] == "as the file says"


@pytest.mark.parametrize("held", [Exploit(), {"state_dict": {"weight": Exploit()}}, {"epoch": 3}, [torch.zeros(1)]])
def test_other_pickles_are_refused_in_one_sentence(tmp_path: Path, held: object, monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    torch.save(held, tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match=r"^theirs\.pth is not opened: the file cannot be read"):
        importing.import_weights(tmp_path / "theirs.pth", RECIPE)
