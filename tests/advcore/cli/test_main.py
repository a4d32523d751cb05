"""The command line: true figures and pictures, one object of JSON, and one line for every bad input."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from advcore import attacks, data
from advcore.attacks import FGSM, PGD, UniformNoise
from advcore.cli import main
from advcore.data import readers
from advcore.errors import AdvcoreError
from advcore.evaluation.curves import robustness_curve, wilson_interval
from advcore.models import checkpoints
from tests.makers import RECIPE, REPOSITORY, pictures, save_checkpoint, write_folder, write_parquet, write_picture

STANDARD = "digits/digits_cnn-standard"


def run(*words: str, expect: int = 0) -> None:
    assert main.main(list(words)) == expect


def result_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The one JSON object a command prints, and nothing beside it."""
    run(*words)
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    run(*words, expect=2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("advcore: ")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith(".\n")
    assert "Traceback" not in captured.err
    return captured.err


# --- ε ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("0,0.1,0.3", [0, 0.1, 0.3]),
        ("8/255", [8 / 255]),
        ("0, 2/255 ,1", [0, 2 / 255, 1]),
        ("0:0.5:0.125", [0, 0.125, 0.25, 0.375, 0.5]),
        ("0:0.5:0.1", [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # the stop belongs to it, whatever 5 · 0.1 rounds to
        ("0.1:0.1:0.1", [0.1]),
        ("0:1:0.3", [0, 0.3, 0.6, 0.9]),
        ("0:8/255:4/255", [0, 4 / 255, 8 / 255]),
    ],
)
def test_both_ways_to_write_epsilons(text: str, grid: list[float]) -> None:
    assert main.epsilon_grid(text) == pytest.approx(grid, abs=1e-9)


def test_a_range_counts_its_steps() -> None:
    grid = main.epsilon_grid("0:0.5:0.025")
    assert len(grid) == 21
    assert (grid[0], grid[12], grid[-1]) == (0, 0.3, 0.5)
    assert len(main.epsilon_grid("0:0.999:0.001")) == main.MAX_EPSILONS


NO_NUMBER = ["", ",", "0.1,", "a", "-0.1", "1.1", "nan", "inf", "1/0", "0;1", "0.1 0.2", "8/255/2", "0x1"]
NO_RANGE = ["::", "0:1", "0:1:0.1:2", "0:1:0", "0.5:0:0.1", "0:1:-0.1", "0:2:0.1", "0:1:0.0005", "0:1:1e-320", "0:1:5e-324"]


@pytest.mark.parametrize("text", NO_NUMBER + NO_RANGE)
def test_what_is_no_epsilon(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AdvcoreError):
        main.epsilon_grid(text)
    assert "ε" in refused(capsys, "curve", "--checkpoint", STANDARD, "--epsilons", text)


# --- curve -----------------------------------------------------------------------------------------------------------


def test_a_curve_as_json_has_the_documented_form(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--epsilons", "0,0.1,0.3", "--limit", "120", "--json", "--precision", "fp32"]
    printed = result_of(capsys, "curve", "--checkpoint", STANDARD, "digits/digits_cnn-fgsm-0.2", *words)
    assert list(printed) == ["results"]
    assert [result["checkpoint"] for result in printed["results"]] == [STANDARD, "digits/digits_cnn-fgsm-0.2"]
    for result in printed["results"]:
        documented = {"checkpoint", "dataset", "attack", "images", "device", "precision", "seconds", "points"}
        assert set(result) == documented | {"source", "samples"}
        assert (result["dataset"], result["attack"], result["images"], result["precision"]) == ("digits", "FGSM", 120, "fp32")
        assert "fp32" in result["device"]
        assert result["seconds"] > 0
        assert not result["samples"]
        *_, curve = robustness_curve(
            checkpoints.find(result["checkpoint"]).model(),
            data.load("digits", limit=120),
            FGSM(),
            (0.0, 0.1, 0.3),
            precision="fp32",
        )
        assert result["points"] == curve.points()
        for point in result["points"]:
            assert list(point) == ["epsilon", "correct", "accuracy", "low", "high"]
            assert point["accuracy"] == point["correct"] / 120
            assert (point["low"], point["high"]) == wilson_interval(point["correct"], 120)


@pytest.mark.parametrize(
    ("words", "attack", "title"),
    [
        (["--attack", "pgd", "--steps", "3"], PGD(steps=3), "PGD-3"),
        (["--attack", "pgd", "--steps", "2", "--restarts", "2", "--seed", "5"], PGD(steps=2, restarts=2, seed=5), "PGD-2-2"),
        (["--attack", "noise", "--seed", "4"], UniformNoise(seed=4), "random noise"),
    ],
)
def test_a_curve_of_another_attack(
    words: list[str], attack: attacks.Attack, title: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--epsilons", "0.1:0.3:0.2", "--limit", "60", "--json", "--precision", "fp32"]
    (result,) = result_of(capsys, "curve", "--checkpoint", STANDARD, *words, *common)["results"]
    assert result["attack"] == title
    few = data.load("digits", limit=60)
    *_, curve = robustness_curve(checkpoints.find(STANDARD).model(), few, attack, (0.1, 0.3), precision="fp32")
    assert result["points"] == curve.points()


def test_a_curve_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    run("curve", "--checkpoint", STANDARD, "--epsilons", "0,0.1", "--limit", "50", "--precision", "fp32")
    printed = capsys.readouterr().out.splitlines()
    *_, curve = robustness_curve(
        checkpoints.find(STANDARD).model(), data.load("digits", limit=50), FGSM(), (0, 0.1), precision="fp32"
    )
    assert printed[0].startswith(f"{STANDARD} under FGSM: 50 images, ")
    assert "samples" not in printed[0]
    right = curve.correct[1]
    low, high = (100 * end for end in curve.interval[1])
    assert printed[3].split() == (f"0.1000 (25.5/255) {right} {100 * right / 50:.2f} % {low:.1f} … {high:.1f} %".split())


def test_the_progress_bar_is_for_people_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["curve", "--checkpoint", STANDARD, "--epsilons", "0", "--limit", "150", "--precision", "fp32"]
    run(*words)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(*words)
    bar = capsys.readouterr().err
    assert bar.count("\r") == 2  # two batches
    assert "100%" in bar
    run(*words, "--json")
    assert capsys.readouterr().err == ""


def test_figures_from_samples_say_so(own_checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = dataclasses.replace(RECIPE, dataset="mnist", architecture="srivathsav_cnn")
    checkpoint = save_checkpoint(own_checkpoints, recipe, (1, 28, 28))
    (result,) = result_of(capsys, "curve", "--checkpoint", checkpoint.id, "--epsilons", "0", "--json")["results"]
    assert result["samples"]
    assert result["images"] == 20
    run("curve", "--checkpoint", checkpoint.id, "--epsilons", "0")
    assert "20 images (samples only)" in capsys.readouterr().out


# --- attack ----------------------------------------------------------------------------------------------------------


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
    assert (printed["source"], printed["samples"]) == ("scikit-learn's own copy", False)
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


def test_an_attacked_picture_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_picture(tmp_path / "mine.png", pictures(1, 8)[0])
    out = tmp_path / "out"
    common = ["attack", "--checkpoint", STANDARD, "--image", str(file), "--epsilon", "8/255", "--out", str(out)]
    printed = result_of(capsys, *common)
    assert (printed["label"], printed["source"], printed["samples"]) == (None, str(file), False)
    assert printed["epsilon"] == 8 / 255
    clean, attacked = pixels_of(out / "clean.png"), pixels_of(out / "attacked.png")
    assert tuple(clean.shape) == (1, 1, 8, 8)
    assert (attacked - clean).abs().max() <= 8 / 255 + 1 / 255 + 1e-6  # both were rounded
    model = checkpoints.find(STANDARD).model()
    assert printed["before"]["class"] == str(int(attacks.predict(model, clean)))
    again = result_of(capsys, *common, "--target", "2")
    assert again["target"] == "2"


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


# --- data, checkpoints -----------------------------------------------------------------------------------------------


def test_data_says_what_is_here_and_from_where(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_parquet(data_folder / "mnist" / "train.parquet", list(pictures(2, 28)), [0, 1])
    write_folder(data_folder / "shapes" / "test", {"a": pictures(1, 8)})
    run("data")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"Data folder: {data_folder}"
    rows = {tuple(row.split()[:2]): " ".join(row.split()[2:]) for row in printed[1:]}
    assert rows["mnist", "train"] == f"60000 Parquet in {data_folder / 'mnist'}"
    assert rows["mnist", "test"].startswith("20 the 20 sample images")
    assert rows["cifar10", "train"] == "50000 not here"
    assert rows["digits", "test"] == "360 scikit-learn's own copy"
    assert rows["shapes", "test"] == f"image folder {data_folder / 'shapes' / 'test'}"
    assert rows["shapes", "train"] == "not here"


def test_data_fetches(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(form: str, root: Path) -> None:
        write_parquet(root / "mnist" / "test.parquet", list(pictures(1, 28)), [0])

    monkeypatch.setattr(readers, "_fetch", fetch)
    run("data", "--download", "mnist")
    assert "Parquet in" in capsys.readouterr().out


def test_checkpoints_are_listed_with_their_figures(own_checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(own_checkpoints)
    save_checkpoint(checkpoints.own_root(), name="digits/mine")
    bad = own_checkpoints / "digits" / "bad.safetensors"
    bad.write_bytes(b"nothing")
    run("checkpoints")
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[1].split() == [STANDARD, "90.00", "%", "FGSM", "0.1:", "50.00", "%"]
    assert lines[2].startswith("digits/mine ")
    assert lines[2].endswith("(your own)")
    assert captured.err == f"advcore: {bad} is left out: {checkpoints.problems()[bad]}\n"


def test_checkpoints_as_json(own_checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = save_checkpoint(own_checkpoints)
    (row,) = result_of(capsys, "checkpoints", "--json")["checkpoints"]
    assert row == {
        "id": saved.id,
        "own": False,
        "recipe": saved.recipe.to_dict(),
        "metrics": saved.metrics,
        "provenance": saved.provenance,
    }


# --- bad input -------------------------------------------------------------------------------------------------------

CURVE = ("curve", "--checkpoint", STANDARD, "--limit", "10")
ATTACK = ("attack", "--checkpoint", STANDARD, "--epsilon", "0.1", "--out", "out")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "COMMAND"),
        (("fly",), "'fly'"),
        (("curve",), "--checkpoint"),
        (("curve", "--checkpoint"), "--checkpoint"),
        (("curve", "--checkpoint", "digits/nothing"), "There is no checkpoint 'digits/nothing'"),
        (("curve", "--checkpoint", STANDARD, "../../etc/passwd"), "There is no checkpoint '../../etc/passwd'"),
        (("curve", "--checkpoint", "two\nlines"), "There is no checkpoint 'two lines'"),
        ((*CURVE, "--attack", "cw"), "'cw'"),
        ((*CURVE, "--attack", "pgd", "--steps", "0"), "at least 1 step"),
        ((*CURVE, "--attack", "pgd", "--steps", "many"), "'many'"),
        ((*CURVE, "--attack", "pgd", "--restarts", "-1"), "1 restart"),
        ((*CURVE, "--limit", "0"), "at least 1, not 0"),
        ((*CURVE, "--limit", "-3"), "at least 1, not -3"),
        ((*CURVE, "--limit", "ten"), "'ten'"),
        ((*CURVE, "--device", "tpu"), "no device 'tpu'"),
        ((*CURVE, "--device", "meta"), "no device 'meta'"),
        ((*CURVE, "--precision", "fp8"), "'fp8'"),
        ((*CURVE, "--colour"), "--colour"),
        (("attack",), "required"),
        (ATTACK, "--index --image"),
        ((*ATTACK, "--index", "1", "--image", "a.png"), "not allowed with"),
        ((*ATTACK, "--index", "360"), "There is no test image 360; digits has 0 to 359"),
        ((*ATTACK, "--index", "-1"), "There is no test image -1"),
        ((*ATTACK, "--index", "1", "--epsilon", "2"), "'2' is no ε"),
        ((*ATTACK, "--index", "1", "--epsilon", "much"), "'much' is no ε"),
        ((*ATTACK, "--index", "1", "--target", "ten"), "There is no class 'ten'"),
        ((*ATTACK, "--index", "1", "--target", "-1"), "There is no class '-1'"),
        ((*ATTACK, "--index", "1", "--target", "3", "--attack", "noise"), "cannot be targeted"),
        ((*ATTACK, "--image", "nothing.png"), "nothing.png"),
        ((*ATTACK, "--image", "."), "."),
        (("data", "--download", "nothing"), "There is no dataset 'nothing'"),
        (("data", "--download", "digits"), "cannot be fetched"),
        (("checkpoints", "--rebuild", "nothing/*"), "No shipped checkpoint matches"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"%!PS-Adobe-3.0 EPSF-3.0\n"], ids=["empty", "text", "EPS"])
def test_a_picture_that_is_none(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.png"
    file.write_bytes(content)
    common = ["attack", "--checkpoint", STANDARD, "--epsilon", "0.1", "--out", str(tmp_path / "out")]
    assert "mine.png" in refused(capsys, *common, "--image", str(file))
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = checkpoints.find(STANDARD).path
    assert "not valid JSON" in refused(capsys, "train", "--recipe", str(weights))
    assert "cannot be used" in refused(capsys, "train", "--recipe", str(tmp_path))


def test_a_training_takes_epsilon_in_levels_too(own_checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--dataset", "digits", "--architecture", "digits_cnn", "--defense", "pgd", "--attack-steps", "2"]
    few = ["--images", "300", "--epochs", "1", "--pgd", "1-1"]
    run(*words, *few, "--epsilon", "8/255", "--step-size", "2/255")
    made = next(item for item in checkpoints.catalog("digits").values() if item.recipe.defense == "pgd")
    assert (made.recipe.epsilon, made.recipe.step_size) == (8 / 255, 2 / 255)
    capsys.readouterr()
    assert "'8/0' is no ε" in refused(capsys, *words, "--epsilon", "8/0")


def test_a_place_for_the_model_is_tried_before_the_training(
    own_checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    words = ["train", "--dataset", "digits", "--architecture", "digits_cnn", "--images", "300", "--epochs", "1"]
    folder = tmp_path / "state"
    assert "cannot be used" in refused(
        capsys, *words, "--folder", str(folder), "--out", str(tmp_path / "file" / "digits" / "mine.safetensors")
    )
    assert not folder.exists()


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("a file")
    common = ["attack", "--checkpoint", STANDARD, "--index", "1", "--epsilon", "0.1"]
    assert "cannot be used" in refused(capsys, *common, "--out", str(tmp_path / "out"))
    assert "cannot be used" in refused(capsys, *common, "--out", str(tmp_path / "out" / "below"))


def test_data_that_went_bad(own_checkpoints: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = dataclasses.replace(RECIPE, dataset="mnist", architecture="srivathsav_cnn")
    checkpoint = save_checkpoint(own_checkpoints, recipe, (1, 28, 28))
    path = data_folder / "mnist" / "test.parquet"
    path.parent.mkdir()
    path.write_bytes(b"PAR1 and no more")
    assert str(path) in refused(capsys, "curve", "--checkpoint", checkpoint.id)


def test_a_checkpoint_that_does_not_fit_its_images(
    own_checkpoints: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(data_folder / "shapes" / "test", {name: pictures(1, 12) for name in "abcdefghij"})
    checkpoint = save_checkpoint(own_checkpoints, dataclasses.replace(RECIPE, dataset="shapes"))
    assert "8×8 grey" in refused(capsys, "curve", "--checkpoint", checkpoint.id)
    words = ["attack", "--checkpoint", checkpoint.id, "--index", "0", "--epsilon", "0.1", "--out", str(tmp_path / "out")]
    assert "8×8 grey" in refused(capsys, *words)


def test_a_hostile_checkpoint_stops_no_command(own_checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = save_checkpoint(own_checkpoints)
    (own_checkpoints / "digits" / "bad.safetensors").write_bytes(bytes(100))
    result_of(capsys, "curve", "--checkpoint", checkpoint.id, "--epsilons", "0", "--limit", "10", "--json")
    assert "There is no checkpoint 'digits/bad'" in refused(capsys, "curve", "--checkpoint", "digits/bad")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 1)])
def test_being_stopped_is_no_bad_input(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(main.data, "load", stopped)
    run(*CURVE, expect=code)
    assert "Traceback" not in capsys.readouterr().err


def test_help_is_there_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("", "curve", "attack", "data", "checkpoints", "train"):
        with pytest.raises(SystemExit) as ended:
            main.main([*command.split(), "--help"])
        assert ended.value.code == 0
        assert "usage: python -m advcore" in capsys.readouterr().out


# --- as a process of its own -----------------------------------------------------------------------------------------


def advcore(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m advcore …`, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "advcore", *words],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_the_module_runs() -> None:
    words = ("curve", "--checkpoint", STANDARD, "--epsilons", "0:0.2:0.1", "--limit", "40", "--json", "--precision", "fp32")
    ended = advcore(*words, PYTHONIOENCODING="utf-8")
    assert (ended.returncode, ended.stderr) == (0, "")
    (result,) = json.loads(ended.stdout)["results"]
    assert [point["epsilon"] for point in result["points"]] == [0, 0.1, 0.2]
    assert result["images"] == 40


def test_the_module_refuses_bad_input_even_where_there_is_no_epsilon_to_print() -> None:
    ended = advcore("curve", "--checkpoint", STANDARD, "--epsilons", "7", PYTHONIOENCODING="ascii")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == "advcore: '7' is no ?: write a number between 0 and 1 such as 0.1 or 8/255.\n"
