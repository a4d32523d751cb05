"""`curve`: its JSON, its table and its progress bar."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import pytest

from advcore import attacks, data, distributed
from advcore.attacks import FGSM, PGD, UniformNoise
from advcore.cli import curve as curve_command
from advcore.evaluation.curves import robustness_curve
from advcore.evaluation.interval import wilson_interval
from advcore.models import checkpoints
from tests.advcore.cli.commands import STANDARD, result_of, run
from tests.makers import RECIPE, save_checkpoint


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
            assert list(point) == ["epsilon", "norm", "reading", "correct", "accuracy", "low", "high"]
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


@pytest.mark.parametrize(("norm", "grey_levels"), [("linf", True), ("l2", False)])
def test_only_l_infinity_budgets_are_shown_in_grey_levels(
    norm: str, grey_levels: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    run("curve", "--checkpoint", STANDARD, "--norm", norm, "--epsilons", "0.5", "--limit", "8")
    assert ("/255" in capsys.readouterr().out) == grey_levels


def test_a_process_without_images_gives_an_empty_curve_in_the_attacks_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve_command.distributed, "world", lambda: distributed.World(rank=3, size=4))
    monkeypatch.setattr(curve_command.distributed, "gather", lambda value: [value])
    options = argparse.Namespace(epsilons=[0.5], limit=2, device="cpu", precision="fp32", worst_case=False)
    found = curve_command._curve(checkpoints.find(STANDARD), FGSM(norm="l2"), options, show=False)
    assert (found["images"], found["points"][0]["norm"]) == (0, "l2")


@pytest.mark.parametrize("words", [["--attack", "pgd", "--steps", "3"], ["--attack", "fgsm", "--norm", "l2"]])
def test_a_worst_case_curve_says_so_and_never_rises(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["curve", "--checkpoint", STANDARD, "--epsilons", "0,0.05,0.1", "--limit", "20", "--json", "--precision", "fp32"]
    (result,) = result_of(capsys, *command, "--worst-case", *words)["results"]
    assert {point["reading"] for point in result["points"]} == {"worst"}
    assert {point["norm"] for point in result["points"]} == {"l2" if "l2" in words else "linf"}
    counts = [point["correct"] for point in result["points"]]
    assert counts == sorted(counts, reverse=True)
    assert result["images"] == 20
