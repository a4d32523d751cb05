"""A dataset, an architecture or an attack is one entry: added to its table, it is in pickers, commands and snippets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import streamlit as st
import torch
from torch import Tensor, nn

from advcore import attacks, data
from advcore.attacks import ATTACKS, Attack, AttackSpec, Batch
from advcore.cli.main import main
from advcore.data import BUILT_IN, Dataset, DigitForm
from advcore.images.decode import decode
from advcore.models import architectures, checkpoints
from advcore.models.architectures import ARCHITECTURES, Architecture
from advcore.photos import digits, examples
from advcore.photos.framing import frame
from advcore.recipe import Recipe
from advcore.training import presets
from tests.hands import Hand, picture_of, png_of
from tests.makers import pictures, save_checkpoint, write_folder
from tests.pages.conftest import open_page, opened

NAMES = ("even", "odd")


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data", "runs", "checkpoints"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"ADVCORE_{name.upper()}", str(tmp_path / name))
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def parity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A new dataset of handwritten digits, even and odd, with files and a model."""
    info = Dataset(
        "parity",
        "Parity of digits",
        "handwritten digits, even or odd",
        shape=(1, 28, 28),
        class_names=NAMES,
        mean=(0.2,),
        std=(0.4,),
        epsilon=0.1,
        epsilon_max=0.4,
        sizes={"train": 6, "test": 6},
        digit_form=DigitForm(20),
        architecture="lee_cnn",
        quick={"epochs": 1},
    )
    monkeypatch.setitem(BUILT_IN, "parity", info)
    for split in data.SPLITS:
        write_folder(tmp_path / "data" / "parity" / split, {name: pictures(3, 28) for name in NAMES})
    recipe = Recipe(dataset="parity", architecture="lee_cnn", defense="standard")
    model = checkpoints.build(recipe, (1, 28, 28), 2)
    path = tmp_path / "checkpoints" / f"{recipe.checkpoint_id}.safetensors"
    checkpoints.save(path, model, recipe, shape=(1, 28, 28), class_names=NAMES, metrics={}, provenance={})
    return info


def test_a_dataset_is_one_entry_in_the_engine(parity: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    images = data.load("parity")
    assert (len(images), images.shape, images.class_names) == (6, (1, 28, 28), NAMES)
    assert (parity.grey, parity.epsilons[-1]) == (True, 0.4)
    assert main(["data"]) == 0
    assert "parity" in capsys.readouterr().out
    assert main(["curve", "--checkpoint", "parity/lee_cnn-standard", "--attack", "fgsm", "--json"]) == 0
    assert '"parity/lee_cnn-standard"' in capsys.readouterr().out
    assert presets.architectures("parity")[0] == "lee_cnn"
    assert [item.name for item in presets.presets("parity")] == ["quick", "papers", "robust"]
    model = checkpoints.find("parity/lee_cnn-standard").model()
    assert model[0].mean.item() == pytest.approx(0.2)
    photo = decode(png_of(picture_of(3, Hand(photo=0.6))))
    assert digits.form_of("parity") is parity.digit_form
    assert frame(photo, (1, 28, 28), "parity").ink is not None
    assert [item.id for item in examples.examples("parity")] == [item.id for item in examples.examples("mnist")]


@pytest.mark.parametrize("name", ["attack", "accuracy", "your_image", "retrain"])
def test_a_dataset_is_one_entry_on_the_pages(name: str, parity: Dataset) -> None:
    page = open_page(name, dataset="parity")
    assert not page.exception
    chosen = [box for box in page.selectbox if box.value == "parity"]
    assert [parity.title in box.options for box in chosen] == [True]


def bare(shape: architectures.Shape, classes: int) -> list[nn.Module]:
    """A linear classifier."""
    return [nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes)]


def test_an_architecture_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = Architecture("bare", "Bare linear", "One linear layer.", bare, 4, study_recipe={"epochs": 2})
    monkeypatch.setitem(ARCHITECTURES, "bare", spec)
    assert architectures.build("bare", (1, 8, 8), 10)(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    assert "bare" in presets.architectures("digits")
    assert presets.as_in_the_papers("digits", "bare").recipe.epochs == 2
    recipe = Recipe(dataset="digits", architecture="bare", defense="standard")
    kept = save_checkpoint(tmp_path / "checkpoints", recipe)
    assert kept.id in checkpoints.catalog()
    assert "Bare linear" in checkpoints.find(kept.id).title
    assert kept.model()(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    trained = ["train", "--dataset", "digits", "--architecture", "bare", "--defense", "standard", "--epochs", "1"]
    assert main([*trained, "--images", "100", "--held-out", "0"]) == 0
    page = open_page("retrain", dataset="digits", architecture="bare")
    assert not page.exception
    assert [box.value for box in page.selectbox if "Bare linear" in box.options] == ["bare"]


@dataclass(frozen=True, kw_only=True)
class Darken(Attack):
    """Every value darker."""

    depth: float = attacks.option(1.0, "how much of ε is used, 1.0 being 100 %", low=0, high=1)

    def _attack(self, model: nn.Module, batch: Batch) -> Tensor:
        return attacks.Budget(batch.images, batch.epsilon).project(batch.images - self.depth * batch.epsilon)


def test_an_attack_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = AttackSpec("darken", Darken, "darkening", "Every value ε darker.", role="control")
    monkeypatch.setitem(ATTACKS, "darken", spec)
    for command in ("curve", "evaluate", "attack"):
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        assert "100 %" in " ".join(capsys.readouterr().out.split())
    save_checkpoint(tmp_path / "checkpoints", Recipe(dataset="digits", architecture="digits_cnn", defense="standard"))
    page = open_page("attack", dataset="digits", attack="darken", epsilon="0.2")
    assert not page.exception
    snippet = opened(page, "take away")
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    assert (tmp_path / "attacked.png").is_file()
