"""Robust accuracy at one ε: which component fools an image, whatever the batches and the precision of the search."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from advcore.attacks import PGD, AutoAttack, predict
from advcore.data import LabeledImages
from advcore.errors import AdvcoreError, AttackError
from advcore.evaluation import curves
from advcore.evaluation.curves import prepared
from advcore.evaluation.robust_accuracy import RobustAccuracy, robust_accuracy
from advcore.models import checkpoints
from tests.advcore.attacks.test_strong_attacks import Overconfident

LITTLE = AutoAttack(steps=4, targets=2, queries=12)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return checkpoints.find("digits/digits_cnn-fgsm-0.2").model()


def measured(model: nn.Module, images: LabeledImages, attack: PGD | AutoAttack, **options: object) -> RobustAccuracy:
    *_, last = robust_accuracy(model, images, attack, 0.2, **options)
    return last


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_result_does_not_depend_on_batches_or_on_an_interruption(
    precision: str, model: nn.Module, digits: LabeledImages
) -> None:
    few = digits[:24]
    whole = measured(model, few, LITTLE, precision=precision, batch_size=24)
    assert measured(model, few, LITTLE, precision=precision, batch_size=7) == whole
    first = next(robust_accuracy(model, few, LITTLE, 0.2, precision=precision, batch_size=10))
    assert len(first.fooled_by) == 10
    known = json.loads(json.dumps(first.fooled_by))
    assert measured(model, few, LITTLE, precision=precision, batch_size=10, done=known) == whole
    assert measured(model, few, LITTLE, precision=precision, done=whole.fooled_by) == whole


def test_the_survivors_fall_from_component_to_component(model: nn.Module, digits: LabeledImages) -> None:
    found = measured(model, digits[:24], LITTLE, precision="fp32")
    counts = list(found.survivors.values())
    assert list(found.survivors) == ["clean", "APGD-CE", "APGD-T", "FAB-T", "Square"]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == (predict(model, digits[:24].pixels()) == digits[:24].labels).sum()
    header = found.to_dict()
    assert (header["images"], header["accuracy"], header["survivors"]["Square"]) == (24, counts[-1] / 24, counts[-1])
    assert (found.curve.reading, found.curve.correct) == ("worst", (counts[-1],))


def test_another_attack_is_a_single_component(model: nn.Module, digits: LabeledImages) -> None:
    few, attack = digits[:24], PGD(steps=5)
    found = measured(model, few, attack, precision="fp32")
    attacked = attack.perturb(model, few.pixels(), few.labels, 0.2, indices=few.indices)
    right = (predict(model, few.pixels()) == few.labels) & (predict(model, attacked) == few.labels)
    assert abs(found.survivors["PGD-5"] - int(right.sum())) <= 1


@pytest.mark.parametrize("attack", [LITTLE, PGD(steps=2)], ids=["AutoAttack", "PGD"])
def test_what_fools_only_the_search_does_not_count(
    attack: PGD | AutoAttack, model: nn.Module, digits: LabeledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lying(net: nn.Module, device: torch.device, precision: str) -> nn.Module:
        return Overconfident(prepared(net, device, "fp32")) if precision == "bf16" else prepared(net, device, "fp32")

    monkeypatch.setattr(curves, "prepared", lying)
    *_, found = robust_accuracy(model, digits[:12], attack, 1e-4, precision="bf16")
    assert found.curve.correct == (found.survivors["clean"],)
    assert found.survivors["clean"] > 6


def test_what_cannot_be_is_refused(model: nn.Module, digits: LabeledImages) -> None:
    for done in ([0] * 13, [9], ["0"]):
        with pytest.raises(AdvcoreError, match="start it again"):
            measured(model, digits[:12], LITTLE, done=done)
    with pytest.raises(AttackError):
        next(robust_accuracy(model, digits, LITTLE, 1.5))
    one = RobustAccuracy(0.1, "linf", ("PGD-5",), (0, 1))
    with pytest.raises(AdvcoreError, match="add only"):
        one + RobustAccuracy(0.2, "linf", ("PGD-5",), (0, 1))
    assert (one + one).fooled_by == (0, 1, 0, 1)
