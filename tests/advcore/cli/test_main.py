"""Bad input is one line on stderr and exit code 2; help; the module as a process."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from advcore.cli import curve, main
from advcore.models import checkpoints
from tests.advcore.cli.commands import STANDARD, refused, result_of, run
from tests.makers import RECIPE, REPOSITORY, pictures, save_checkpoint, write_folder

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
        ((*CURVE, "--attack", "zoo"), "'zoo'"),
        ((*CURVE, "--attack", "pgd", "--steps", "0"), "steps"),
        ((*CURVE, "--attack", "pgd", "--steps", "many"), "'many'"),
        ((*CURVE, "--attack", "pgd", "--restarts", "-1"), "restarts"),
        ((*CURVE, "--limit", "0"), "at least 1, not 0"),
        ((*CURVE, "--limit", "-3"), "at least 1, not -3"),
        ((*CURVE, "--limit", "ten"), "'ten'"),
        ((*CURVE, "--device", "tpu"), "no device 'tpu'"),
        ((*CURVE, "--device", "meta"), "no device 'meta'"),
        ((*CURVE, "--device", "hpu"), "no device 'hpu'"),
        ((*CURVE, "--epsilons=--"), "--epsilons has no value"),
        ((*CURVE, "--epsilons", "1.1"), "ε"),
        ((*CURVE, "--epsilons", "0:2:0.1"), "ε"),
        ((*CURVE, "--precision", "fp8"), "'fp8'"),
        ((*CURVE, "--colour"), "--colour"),
        (("attack",), "required"),
        (ATTACK, "--index --image"),
        ((*ATTACK, "--index", "1", "--image", "a.png"), "not allowed with"),
        ((*ATTACK, "--index", "360"), "There is no test image 360; digits has 0 to 359"),
        ((*ATTACK, "--index", "-1"), "There is no test image -1"),
        ((*ATTACK, "--index", "1", "--epsilon", "2"), "ε is an L∞ budget"),
        ((*ATTACK, "--index", "1", "--out="), "--out has no value"),
        (("train", "--dataset", "digits", "--architecture", "digits_cnn", "--out", "/"), "is a folder"),
        (("train", "--dataset", "digits", "--architecture", "digits_cnn", "--pgd", "999999999999-1"), "--pgd"),
        (("train", "--dataset", "digits", "--architecture", "digits_cnn", "--pgd", "many"), "--pgd"),
        ((*ATTACK, "--index", "1", "--epsilon", "much"), "'much' is not an ε"),
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


def test_a_recipe_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = checkpoints.find(STANDARD).path
    assert "not valid JSON" in refused(capsys, "train", "--recipe", str(weights))
    assert "cannot be used" in refused(capsys, "train", "--recipe", str(tmp_path))


def test_a_training_takes_epsilon_in_levels_too(
    own_checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--dataset", "digits", "--architecture", "digits_cnn", "--defense", "pgd", "--attack-steps", "2"]
    few = ["--images", "128", "--held-out", "0", "--evaluations", "0", "--epochs", "1", "--pgd", "1-1"]
    folder = tmp_path / "states"
    folder.mkdir()
    (folder / "thesis.txt").write_text("not ours")
    run(*words, *few, "--epsilon", "8/255", "--step-size", "2/255", "--folder", str(folder))
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"], "the state is gone, and nothing else"
    made = next(item for item in checkpoints.catalog("digits").values() if item.recipe.defense == "pgd")
    assert (made.recipe.epsilon, made.recipe.step_size) == (8 / 255, 2 / 255)
    capsys.readouterr()
    assert "'8/0' is not an ε" in refused(capsys, *words, "--epsilon", "8/0")


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

    monkeypatch.setattr(curve.data, "load", stopped)
    run(*CURVE, expect=code)
    assert "Traceback" not in capsys.readouterr().err


def test_help_is_there_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], *([name] for name in main.COMMANDS)):
        with pytest.raises(SystemExit) as ended:
            main.main([*command, "--help"])
        assert ended.value.code == 0
        printed = capsys.readouterr().out
        assert "usage: python -m advcore" in printed
        assert "%%" not in printed, "a percent sign is printed once"


# --- in a process -----------------------------------------------------------------------------------------------------


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


def test_the_module_refuses_bad_input_where_the_terminal_has_no_epsilon() -> None:
    ended = advcore("papers", "show", "ε", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "'?'" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_what_only_prints_figures_does_not_import_torch() -> None:
    commands = [["papers", "list"], ["papers", "show", "P1"], ["papers", "show", "Q1"], ["checkpoints"], ["data"]]
    script = f"import sys; from advcore.cli.main import main, parser; parser().format_help(); [main(of) for of in {commands}]"
    words = [sys.executable, "-c", f"{script}; sys.exit('torch' in sys.modules)"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mnist/lee_cnn-standard" in done.stdout
