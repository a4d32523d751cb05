"""Figures of a finished model: measured, named, and honest about masking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from advcore import data
from advcore.attacks import FGSM, PGD
from advcore.evaluation.curves import accuracy
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training import measure
from advcore.training.loop import Evaluation


def test_measure_says_what_the_engine_says() -> None:
    model, test = checkpoints.find("digits/digits_cnn-standard").model(), data.load("digits")
    metrics = measure.measure(model, test, [0.1], strong={0.1: PGD(steps=5, restarts=2)})
    assert metrics["clean"] == accuracy(model, test, FGSM(), 0.0, precision="fp32")
    assert measure.figure(metrics, "FGSM", 0.1) == accuracy(model, test, FGSM(), 0.1, precision="fp32")
    (pgd,) = [row for row in metrics["attacks"] if row["attack"] == "PGD-5-2"]
    assert (pgd["steps"], pgd["restarts"], pgd["images"]) == (5, 2, 360)
    assert json.loads(json.dumps(metrics)) == metrics


def test_what_is_measured_is_what_the_file_gives_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = checkpoints.find("digits/digits_cnn-standard")
    trained = known.model()
    with torch.no_grad():
        for weights in trained.parameters():
            weights.mul_(1.0001)  # no longer what half precision can hold
    measured: list[nn.Module] = []
    original = measure.measure
    monkeypatch.setattr(
        measure, "measure", lambda model, *rest, **more: measured.append(model) or original(model, *rest, **more)
    )
    made = measure.finish(known.recipe, trained, tmp_path / "own.safetensors", seconds=1)
    kept = made.model().state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in measured[0].state_dict().items())
    assert any(not torch.equal(value, kept[name]) for name, value in trained.state_dict().items())


def test_the_command_of_a_recipe_carries_it_out() -> None:
    from advcore.cli.main import _parser, _recipe

    recipe = Recipe(
        dataset="mnist", architecture="lee_cnn", defense="fgsm", epsilon=0.3, augment=("rotate", "crop"), keep_best=True
    )
    words = measure.command(recipe).split()
    assert words[:4] == ["python", "-m", "advcore", "train"]
    assert _recipe(vars(_parser().parse_args(words[3:]))) == recipe


def test_masking_is_named_only_where_it_is() -> None:
    def metrics(fgsm: float, pgd: float) -> dict[str, object]:
        rows = (("FGSM", fgsm), ("PGD-20", pgd))
        return {"attacks": [{"attack": name, "epsilon": 0.3, "images": 10, "accuracy": share} for name, share in rows]}

    assert "masked" in str(measure.masking(metrics(0.97, 0.0)))
    assert measure.masking(metrics(0.6, 0.5)) is None
    assert measure.masking({}) is None


def test_a_run_that_was_watched_keeps_what_was_seen(tmp_path: Path) -> None:
    watched = checkpoints.find("digits/digits_cnn-standard")
    history = [Evaluation(step, 0.9, 0.5, 0.4, 0.1, 32) for step in (10, 20)]
    made = measure.finish(watched.recipe, watched.model(), tmp_path / "own.safetensors", seconds=1, history=history)
    assert [Evaluation(**row) for row in made.metrics["history"]] == history
    assert "history" not in measure.finish(watched.recipe, watched.model(), made.path, seconds=1).metrics
