"""The worst case up to ε: reproducible, never rising, confirmed in fp32, and with little work."""

from __future__ import annotations

import functools
import operator

import pytest
import torch
from torch import Tensor, nn

from advcore.attacks import APGD, FGSM, PGD, Attack, Square, UniformNoise, predict
from advcore.data import LabeledImages
from advcore.errors import AdvcoreError, AttackError
from advcore.evaluation import curves
from advcore.evaluation.curves import Predictions, predictions, prepared
from advcore.evaluation.worst_case import Savings, worst_case
from advcore.models import checkpoints
from tests.advcore.attacks.test_strong_attacks import Overconfident
from tests.makers import linear

GRID = (0.0, 0.1, 0.15, 0.2, 0.3)
ATTACKS = {
    "PGD": PGD(steps=6),
    "PGD margin": PGD(steps=4, restarts=2, loss="margin", momentum=0.5),
    "PGD L2": PGD(norm="l2", steps=4),
    "APGD": APGD(steps=5),
    "Square": Square(queries=8),
    "FGSM": FGSM(),
}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return checkpoints.find("digits/digits_cnn-fgsm-0.2").model()


def measured(model: nn.Module, images: LabeledImages, attack: Attack, **options: object) -> Predictions:
    grid = tuple(5 * epsilon for epsilon in GRID) if attack.norm == "l2" else GRID
    return functools.reduce(operator.add, worst_case(model, images, attack, grid, **options))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ATTACKS)
def test_neither_batch_size_nor_order_changes_a_curve(
    name: str, precision: str, model: nn.Module, digits: LabeledImages
) -> None:
    few, order = digits[100:120], torch.randperm(20)
    usual = measured(model, few, ATTACKS[name], precision=precision, batch_size=20)
    again = measured(model, few, ATTACKS[name], precision=precision, batch_size=3)
    assert torch.equal(again.predicted, usual.predicted)
    shuffled = measured(model, few[order], ATTACKS[name], precision=precision, batch_size=7)
    assert torch.equal(shuffled.predicted, usual.predicted[:, order])


@pytest.mark.parametrize("name", ATTACKS)
def test_the_curve_says_what_it_is_and_never_rises(name: str, model: nn.Module, digits: LabeledImages) -> None:
    found = measured(model, digits[:40], ATTACKS[name])
    assert (found.curve.reading, found.curve.norm) == ("worst", ATTACKS[name].norm)
    assert list(found.curve.correct) == sorted(found.curve.correct, reverse=True)
    assert found.curve.correct[0] == (predict(model, digits[:40].pixels()) == digits[:40].labels).sum()
    assert found.curve.correct[0] > found.curve.correct[-1]


def test_pgd_leaves_no_more_than_its_runs_at_every_epsilon(model: nn.Module, digits: LabeledImages) -> None:
    few, attack = digits[:60], PGD(steps=10)
    each = functools.reduce(operator.add, predictions(model, few, attack, GRID, precision="fp32")).worst_case()
    ours = measured(model, few, attack, precision="fp32")
    assert all(mine <= theirs + 1 for mine, theirs in zip(ours.curve.correct, each.curve.correct, strict=True))


def test_what_is_computed_between_two_batches_has_its_gradients(model: nn.Module, digits: LabeledImages) -> None:
    for _ in worst_case(model, digits[:20], PGD(steps=1), GRID, batch_size=10):
        assert torch.is_grad_enabled()


def test_an_attack_with_one_run_is_read_from_its_predictions(model: nn.Module, digits: LabeledImages) -> None:
    exact = functools.reduce(operator.add, predictions(model, digits, FGSM(), GRID, precision="fp32"))
    assert torch.equal(measured(model, digits, FGSM(), precision="fp32").predicted, exact.worst_case().predicted)


def test_an_image_wrong_without_an_attack_is_fooled_on_any_grid() -> None:
    """A grey value just below the threshold is wrong, and right under about half of the noise."""
    model, images = linear(torch.tensor([[0.0], [1.0]]), [0.5, 0.0]), torch.full((40, 1, 1, 1), 125, dtype=torch.uint8)
    dark = LabeledImages(images, torch.ones(40, dtype=torch.int64), ("below", "above"))
    for grid in ((0.1, 0.2), (0.0, 0.1, 0.2)):
        found = functools.reduce(operator.add, worst_case(model, dark, UniformNoise(), grid, precision="fp32"))
        assert found.epsilons == grid
        assert set(found.curve.correct) == {0}


@pytest.mark.parametrize("attack", [PGD(steps=2, random_start=False), Square(queries=2)], ids=["PGD", "Square"])
def test_what_the_search_takes_for_fooled_is_confirmed_in_fp32(
    attack: Attack, model: nn.Module, digits: LabeledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lying(net: nn.Module, device: torch.device, precision: str) -> nn.Module:
        return Overconfident(prepared(net, device, "fp32")) if precision == "bf16" else prepared(net, device, "fp32")

    monkeypatch.setattr(curves, "prepared", lying)
    found = functools.reduce(operator.add, worst_case(model, digits[:20], attack, (0.0, 0.001), precision="bf16"))
    assert found.curve.correct[0] == found.curve.correct[1] > 0


class Counted(nn.Module):
    """Counts the images it is asked about."""

    def __init__(self, model: nn.Module, seen: list[int]) -> None:
        super().__init__()
        self.model, self.seen = model, seen

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return self.model(images)


def test_every_saving_leaves_out_work(model: nn.Module, digits: LabeledImages, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(curves, "prepared", lambda net, device, precision: Counted(prepared(net, device, "fp32"), seen))

    def work(savings: Savings) -> int:
        seen.clear()
        measured(model, digits[:32], PGD(steps=12), precision="fp32", savings=savings)
        return sum(seen)

    none = work(Savings(up_the_grid=False, early_stop=False, warm_start=False))
    assert none >= 32 * 12 * 4
    assert work(Savings(early_stop=False, warm_start=False)) < none
    assert work(Savings(warm_start=False)) < work(Savings(early_stop=False, warm_start=False))


def test_what_cannot_be_measured_is_refused(model: nn.Module, digits: LabeledImages) -> None:
    for attack, grid in ((PGD(targeted=True), (0.0, 0.1)), (PGD(), (0.1, 0.1)), (PGD(), (0.2, 0.1))):
        with pytest.raises(AdvcoreError, match="ascending"):
            next(worst_case(model, digits, attack, grid))
    with pytest.raises(AttackError):
        next(worst_case(model, digits, PGD(), (0.0, 2.0)))
