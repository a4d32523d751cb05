"""The figures of a checkpoint's header: measured with the weights of the file, and found by attack and ε."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from advcore import data
from advcore.attacks import FGSM, PGD
from advcore.evaluation import figures
from advcore.evaluation.curves import accuracy
from advcore.models import checkpoints


def test_the_figures_are_those_of_the_engine() -> None:
    known, test = checkpoints.find("digits/digits_cnn-standard"), data.load("digits")
    model = known.model()
    metrics = figures.measure(known.recipe, model, test, pgd=PGD(steps=5, restarts=2))
    usual = data.dataset("digits").epsilon
    assert metrics["clean"] == accuracy(model, test, FGSM(), 0.0, precision="fp32")
    assert figures.accuracy_under(metrics, "FGSM", usual) == accuracy(model, test, FGSM(), usual, precision="fp32")
    row = figures.under(metrics, "PGD-5-2")
    assert row is not None
    assert (row["steps"], row["restarts"], row["images"], row["epsilon"]) == (5, 2, 360, usual)
    assert json.loads(json.dumps(metrics)) == metrics


def test_the_given_pgd_is_used_at_the_recipes_epsilon_only() -> None:
    known = checkpoints.find("digits/digits_cnn-fgsm-0.2")
    metrics = figures.measure(known.recipe, known.model(), data.load("digits")[:20], pgd=PGD(steps=2, restarts=2))
    assert {row["attack"]: row["epsilon"] for row in metrics["attacks"] if row["attack"].startswith("PGD")} == {
        "PGD-2-2": 0.2,
        "PGD-20": 0.1,
    }
    assert figures.claimed_epsilon(known) == 0.2


def test_the_measured_weights_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = checkpoints.find("digits/digits_cnn-standard")
    trained, test = known.model(), data.load("digits")[:10]
    with torch.no_grad():
        for weights in trained.parameters():
            weights.mul_(1.0001)  # half precision cannot hold the result
    measured, original = [], figures.robustness_curve
    monkeypatch.setattr(
        figures, "robustness_curve", lambda model, *rest, **more: measured.append(model) or original(model, *rest, **more)
    )
    metrics = figures.measure(known.recipe, trained, test)
    path = tmp_path / "own.safetensors"
    names = known.class_names
    checkpoints.save(path, trained, known.recipe, shape=test.shape, class_names=names, metrics=metrics, provenance={})
    kept = checkpoints.read(path).model().state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in measured[0].state_dict().items())
    assert any(not torch.equal(value, kept[name]) for name, value in trained.state_dict().items())


def test_figures_are_found_at_an_epsilon_that_was_rounded_otherwise() -> None:
    metrics = {"attacks": [{"attack": "FGSM", "epsilon": 0.031372549, "images": 10, "accuracy": 0.25}]}
    assert figures.accuracy_under(metrics, "FGSM", 8 / 255) == 0.25
    assert figures.accuracy_under(metrics, "FGSM", 7 / 255) is None
    assert figures.under({}, "FGSM") is None


def test_l2_rows_are_not_taken_for_l_infinity_rows() -> None:
    row = {"attack": "PGD-20 L2", "norm": "l2", "epsilon": 0.5, "images": 10, "accuracy": 0.9}
    known = replace(checkpoints.find("digits/digits_cnn-standard"), metrics={"attacks": [row]})
    assert figures.accuracy_under(known.metrics, "PGD", 0.5) is None
    assert figures.claimed_epsilon(known) is None
    also = replace(known, metrics={"attacks": [row, row | {"attack": "PGD-20", "norm": "linf", "accuracy": 0.2}]})
    assert figures.accuracy_under(also.metrics, "PGD", 0.5) == 0.2
    assert figures.claimed_epsilon(also) == 0.5
