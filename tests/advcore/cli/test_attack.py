"""`attack`: the pictures it writes and the record it prints."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcore import attacks, data
from advcore.models import checkpoints
from tests.advcore.cli.commands import STANDARD, refused, result_of
from tests.makers import RECIPE, pictures, save_checkpoint, write_folder


def pixels_of(path: Path) -> torch.Tensor:
    """A grey PNG as a model takes it: 1×1×H×W in [0, 1]."""
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return torch.from_numpy(np.asarray(picture).copy()).float().div(255)[None, None]


@pytest.mark.parametrize(
    ("words", "title", "target"),
    [
        ([], "FGSM", None),
        (["--attack", "pgd", "--steps", "5"], "PGD-5", None),
        (["--attack", "noise"], "random noise", None),
        (["--target", "3"], "FGSM", 3),
        (["--target", "8", "--attack", "pgd"], "PGD-20", 8),
    ],
)
def test_an_attacked_image_and_a_true_account_of_it(
    words: list[str],
    title: str,
    target: int | None,
    tmp_path: Path,
    digits: data.LabeledImages,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new" / "out"
    printed = result_of(
        capsys, "attack", "--checkpoint", STANDARD, "--index", "5", "--epsilon", "0.15", "--out", str(out), *words
    )
    assert json.loads((out / "attack.json").read_text(encoding="utf-8")) == printed
    assert {file.name for file in out.iterdir()} == {"clean.png", "perturbation.png", "attacked.png", "attack.json"}
    clean, attacked, perturbation = (pixels_of(out / f"{name}.png") for name in ("clean", "attacked", "perturbation"))
    label = int(digits.labels[5])
    assert torch.equal(clean, digits[5:6].pixels())
    assert (attacked - clean).abs().max() <= 0.15 + 0.5 / 255 + 1e-6
    shown = (0.5 + printed["amplification"] * (attacked - clean)).clamp(0, 1)
    assert (perturbation - shown).abs().max() <= (printed["amplification"] + 1) * 0.5 / 255 + 1e-6

    assert (printed["checkpoint"], printed["attack"], printed["epsilon"]) == (STANDARD, title, 0.15)
    assert (printed["label"], printed["target"]) == (str(label), None if target is None else str(target))
    assert (printed["source"], printed["samples"]) == (digits.source, False)
    assert printed["largest_change"] <= 0.15
    model = checkpoints.find(STANDARD).model()
    for when, picture in (("before", clean), ("after_8bit", attacked)):
        shares = attacks.probabilities(model, picture)[0]
        assert printed[when]["class"] == str(int(shares.argmax()))
        assert printed[when]["confidence"] == pytest.approx(shares.max().item(), abs=1e-5)
    answer = int(attacks.predict(model, attacked))
    assert printed["fooled_8bit"] == (answer != label)
    assert printed["reached_8bit"] == (None if target is None else answer == target)


def test_a_test_image_that_is_wrong_without_an_attack_is_not_fooled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["attack", "--checkpoint", STANDARD, "--index", "58", "--epsilon", "0.1", "--out", str(tmp_path / "out")]
    printed = result_of(capsys, *common)
    assert printed["after_8bit"]["class"] != printed["label"]
    assert (printed["wrong_without_attack"], printed["fooled"], printed["fooled_8bit"]) == (True, False, False)


def test_the_images_own_class_is_no_target(
    tmp_path: Path, digits: data.LabeledImages, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["attack", "--checkpoint", STANDARD, "--index", "5", "--epsilon", "0.1", "--out", str(tmp_path / "out")]
    assert "choose another target" in refused(capsys, *common, "--target", str(int(digits.labels[5])))


def test_fgsm_fools_the_standard_model_and_noise_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["attack", "--checkpoint", STANDARD, "--index", "5", "--epsilon", "0.25", "--out", str(tmp_path / "out")]
    assert result_of(capsys, *common)["fooled"]
    assert not result_of(capsys, *common, "--attack", "noise")["fooled"]
    assert not result_of(capsys, *common[:6], "0", *common[7:])["fooled"]


def test_a_class_may_be_named_or_numbered(own_checkpoints: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"kind {number}" for number in range(10)]
    write_folder(data_folder / "shapes" / "test", {name: pictures(1, 8, seed=index) for index, name in enumerate(names)})
    recipe = dataclasses.replace(RECIPE, dataset="shapes")
    path = own_checkpoints / "shapes" / "a.safetensors"
    model = save_checkpoint(own_checkpoints, recipe).model()
    checkpoints.save(path, model, recipe, shape=(1, 8, 8), class_names=tuple(names), metrics={}, provenance={})
    common = ["attack", "--checkpoint", "shapes/a", "--index", "2", "--epsilon", "0.1", "--out", str(data_folder / "out")]
    by_name = result_of(capsys, *common, "--target", "kind 7")
    assert by_name["target"] == "kind 7"
    assert by_name == result_of(capsys, *common, "--target", "7")
    assert "kind 7" in refused(capsys, *common, "--target", "10")
