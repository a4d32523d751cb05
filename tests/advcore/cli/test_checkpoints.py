"""`checkpoints`: the list of models and their figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from advcore.models import checkpoints
from tests.advcore.cli.commands import STANDARD, result_of, run
from tests.makers import save_checkpoint


def test_checkpoints_are_listed_with_their_figures(own_checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(own_checkpoints)
    save_checkpoint(checkpoints.own_root(), name="digits/mine")
    bad = own_checkpoints / "digits" / "bad.safetensors"
    bad.write_bytes(b"nothing")
    run("checkpoints")
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[1].split() == [STANDARD, "90.00", "%", "FGSM", "0.1:", "50.00", "%", "(10)"]
    assert lines[2].startswith("digits/mine ")
    assert lines[2].endswith("(your own)")
    assert captured.err == f"advcore: {bad} is left out: {checkpoints.problems()[bad]}\n"


def test_the_figure_that_a_model_is_called_by_is_among_them(capsys: pytest.CaptureFixture[str]) -> None:
    run("checkpoints")
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    held = checkpoints.find("mnist/srivathsav_cnn-trades-0.3").metrics["autoattack"]["accuracy"]
    assert lines["mnist/srivathsav_cnn-trades-0.3"].endswith(f"AutoAttack 0.3: {100 * held:.2f} % (1,000)")


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
