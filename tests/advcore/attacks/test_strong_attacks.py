"""APGD, FAB-T, Square and AutoAttack: beside torchattacks, within their budgets, and image by image."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torchattacks
from torch import Tensor, nn
from torchattacks.attack import Attack as TheirAttack

from advcore import attacks
from advcore.attacks import APGD, FAB, Attack, AutoAttack, Batch, Budget, Norm, Square, TargetedAPGD, apgd, losses, predict
from advcore.attacks.fab import to_plane
from advcore.attacks.square import _pattern, _peak
from advcore.data import LabeledImages
from advcore.errors import AttackError
from advcore.models import checkpoints
from tests.advcore.attacks.test_attacks import Counting, batch, smooth
from tests.makers import linear

DEFENDED = "digits/digits_cnn-fgsm-0.2"
# Budgets at which the model loses about a third of the images.
EPSILON: dict[Norm, float] = {"linf": 0.15, "l2": 0.8}
THEIR_NORM = {"linf": "Linf", "l2": "L2"}
FEW = 30


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return checkpoints.find(DEFENDED).model().requires_grad_(False)


def peers(model: nn.Module, norm: Norm) -> dict[str, tuple[attacks.Attack, TheirAttack]]:
    """Each attack of ours and torchattacks' at the same settings, fewer steps than usual."""
    theirs = {"norm": THEIR_NORM[norm], "eps": EPSILON[norm]}
    return {
        "apgd": (APGD(norm=norm, steps=15), torchattacks.APGD(model, steps=15, **theirs)),
        "dlr": (APGD(norm=norm, steps=15, loss="dlr"), torchattacks.APGD(model, steps=15, loss="dlr", **theirs)),
        "apgd_t": (TargetedAPGD(norm=norm, steps=10, targets=3), torchattacks.APGDT(model, steps=10, n_classes=4, **theirs)),
        "fab": (
            FAB(norm=norm, steps=8, targets=3),
            torchattacks.FAB(model, steps=8, multi_targeted=True, n_classes=4, **theirs),
        ),
        "square": (Square(norm=norm, queries=100), torchattacks.Square(model, n_queries=100, **theirs)),
    }


@pytest.mark.parametrize("norm", EPSILON)
@pytest.mark.parametrize("name", ["apgd", "dlr", "apgd_t", "fab", "square"])
def test_as_strong_as_torchattacks(name: str, norm: Norm, model: nn.Module, digits: LabeledImages) -> None:
    images, labels = digits[:FEW].pixels(), digits[:FEW].labels
    ours, theirs = peers(model, norm)[name]
    attacked = ours.perturb(model, images, labels, EPSILON[norm])
    right = int((predict(model, attacked) == labels).sum())
    peer = int((predict(model, theirs(images, labels)) == labels).sum())
    clean = int((predict(model, images) == labels).sum())
    assert right < clean
    assert right <= peer + 1
    assert right >= peer - 4  # Square and the starts are random


@pytest.mark.parametrize("norm", EPSILON)
def test_the_budget_holds_exactly(norm: Norm, digits: LabeledImages) -> None:
    images, labels = digits[:8].pixels(), digits[:8].labels
    strong = [APGD(norm=norm, steps=5), TargetedAPGD(norm=norm, steps=3, targets=2), FAB(norm=norm, steps=5, targets=2)]
    strong += [Square(norm=norm, queries=20), attacks.PGD(norm=norm, steps=5), attacks.FGSM(norm=norm)]
    strong += [attacks.UniformNoise(norm=norm), attacks.PGD(norm=norm, steps=3, random_start=False)]
    for seed in range(2):
        model = smooth(seed)
        for epsilon in (1e-7, 1 / 3, 0.1, 0.999):
            for attack in strong:
                attacked = attack.perturb(model, images, labels, epsilon)
                change = (attacked.double() - images.double()).flatten(1)
                size = change.norm(dim=1) if norm == "l2" else change.abs().amax(1)
                assert size.max().item() <= epsilon, attack
                assert attacked.min().item() >= 0
                assert attacked.max().item() <= 1


def test_l2_steps_use_the_budget() -> None:
    images, labels = batch(6)
    images = 0.4 + 0.2 * images  # nothing is cut at 0 or 1
    for attack in (attacks.FGSM(norm="l2"), attacks.UniformNoise(norm="l2")):
        change = (attack.perturb(smooth(), images, labels, 0.3) - images).flatten(1).norm(dim=1)
        assert change.tolist() == pytest.approx([0.3] * 6, abs=1e-4)


def test_an_l2_budget_may_exceed_one_and_is_never_negative() -> None:
    images, labels = batch(2)
    assert attacks.FGSM(norm="l2").perturb(smooth(), images, labels, 2.5).shape == images.shape
    for epsilon in (-0.1, math.nan, math.inf):
        with pytest.raises(AttackError, match="L2 budget"):
            attacks.FGSM(norm="l2").perturb(smooth(), images, labels, epsilon)


@pytest.mark.parametrize("attack", [APGD(steps=8), FAB(steps=5, targets=3), Square(queries=60)], ids=attacks.title)
def test_an_images_result_does_not_depend_on_its_batch(attack: attacks.Attack, model: nn.Module, digits: LabeledImages) -> None:
    few = digits[50:80]

    def answers(part: LabeledImages) -> Tensor:
        return predict(model, attack.perturb(model, part.pixels(), part.labels, 0.15, indices=part.indices))

    whole = answers(few)
    parts = torch.cat([answers(few[start : start + 7]) for start in range(0, 30, 7)])
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    assert torch.equal(parts, whole)
    assert torch.equal(answers(few[order]), whole[order])


@pytest.mark.parametrize("attack", [APGD(), TargetedAPGD(), FAB(), Square()], ids=attacks.title)
def test_images_that_are_wrong_already_cost_one_question(attack: attacks.Attack) -> None:
    model, (images, _) = Counting(smooth()).eval(), batch(4)
    wrong = (predict(model, images) + 1) % 10
    model.forwards = 0
    assert torch.equal(attack.perturb(model, images, wrong, 0.1), images)
    assert (model.forwards, model.backwards) == (1, 0)


def test_a_fooled_image_takes_no_further_steps() -> None:
    model, (images, _) = Counting(smooth()).eval(), batch(4)
    labels = predict(model, images)
    APGD(steps=50).perturb(model, images, labels, 0.5)
    assert model.backwards < 10


def test_apgd_reviews_its_step_at_the_papers_points() -> None:
    assert sorted(apgd._checkpoints(100))[:5] == [22, 41, 57, 70, 80]


def test_apgd_begins_where_it_is_told() -> None:
    """From the corner that fools, nothing is left to do; from the clean image one step is not enough."""
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    images, labels = torch.tensor([[0.9, 0.1]]).view(1, 1, 1, 2), torch.tensor([0])
    corner = torch.tensor([[0.45, 0.55]]).view(1, 1, 1, 2)
    for attack in (APGD(steps=1), attacks.PGD(steps=1, stop_early=True)):
        found = attack.perturb(linear(weights), images, labels, 0.46, start=corner)
        assert torch.allclose(found, corner, atol=1e-6)
        far = attack.perturb(linear(weights), images, labels, 0.1, start=corner)
        assert (far - images).abs().max() <= 0.1  # the start is brought into the budget


def test_apgds_further_starts_move_only_what_they_fool(model: nn.Module, digits: LabeledImages) -> None:
    images, labels = digits[:60].pixels(), digits[:60].labels
    one, five = (APGD(steps=10, restarts=starts).perturb(model, images, labels, 0.1) for starts in (1, 5))
    holds = predict(model, five) == labels
    assert holds.any()
    assert torch.equal(one[holds], five[holds])


def test_pgd_that_stops_early_fools_no_fewer(model: nn.Module, digits: LabeledImages) -> None:
    images, labels = digits[:FEW].pixels(), digits[:FEW].labels
    fooled = [
        predict(model, attacks.PGD(stop_early=early).perturb(model, images, labels, 0.15)) != labels for early in (False, True)
    ]
    assert (fooled[1] >= fooled[0]).all()


# --- losses ------------------------------------------------------------------------------------------------------------------


def test_losses_by_hand() -> None:
    logits, labels = torch.tensor([[3.0, 1.0, 2.0, -1.0]]), torch.tensor([0])
    assert losses.margin(logits, labels).item() == pytest.approx(-1)
    assert losses.dlr(logits, labels).item() == pytest.approx(-1 / (3 - 1))
    assert losses.targeted_dlr(logits, labels, torch.tensor([1])).item() == pytest.approx(-2 / (3 - (1 - 1) / 2))
    assert losses.margin(logits, torch.tensor([1])).item() == pytest.approx(2)


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("attack", [APGD(steps=5, loss="dlr"), TargetedAPGD(steps=5), FAB(steps=5), Square(queries=50)])
def test_few_classes_are_enough(attack: attacks.Attack, classes: int) -> None:
    images = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    model = smooth(2, (1, 4, 4), classes)
    labels = predict(model, images)
    attacked = attack.perturb(model, images, labels, 0.6)
    assert attacked.isfinite().all()
    assert (predict(model, attacked) != labels).any()


# --- FAB's projection --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", EPSILON)
def test_the_projection_reaches_the_plane_by_the_smallest_change(norm: Norm) -> None:
    generator = torch.Generator().manual_seed(0)
    points, gradient = torch.rand(50, 1, 4, 4, generator=generator), torch.randn(50, 1, 4, 4, generator=generator)
    rise = torch.linspace(-3, 3, 50)
    change = to_plane(points, gradient, rise, norm)
    moved = points + change
    assert moved.min() >= -1e-6
    assert moved.max() <= 1 + 1e-6
    gained = (gradient * change).flatten(1).sum(1)
    most = torch.where(gradient * rise.sign().view(-1, 1, 1, 1) > 0, 1 - points, points) * gradient.abs()
    wanted = torch.minimum(rise.abs(), most.flatten(1).sum(1)) * rise.sign()
    assert torch.allclose(gained, wanted, atol=1e-4)
    # No change with the same rise is smaller: any other mix of directions is longer.
    inside = (moved > 1e-3).logical_and(moved < 1 - 1e-3).flatten(1)
    flat = change.flatten(1)
    if norm == "linf":  # every value with room to go moves by the same amount
        for row, free in zip(flat.abs(), inside, strict=True):
            assert row.max() - row[free].min() < 1e-4
    else:  # every value with room to go moves in proportion to its gradient
        ratio = flat / gradient.flatten(1)
        for row, free in zip(ratio, inside, strict=True):
            assert row[free].max() - row[free].min() < 1e-3


# --- Square's patterns -------------------------------------------------------------------------------------------------------


def test_squares_patterns() -> None:
    peak = _peak(5, 5)
    assert peak.norm().item() == pytest.approx(1)
    assert peak.argmax().item() == 12  # the middle
    assert peak[0, 0] < peak[1, 1] < peak[2, 2]
    # The paper's weights, before they are scaled: Σ 1/(k+1)² for k from the distance to the middle on.
    assert (peak[2, 2] / peak[0, 0]).item() == pytest.approx((1 + 1 / 4 + 1 / 9) * 9)
    pattern = _pattern(7)
    assert pattern.norm().item() == pytest.approx(1)
    assert (pattern[:3] > 0).all()
    assert (pattern[3:] < 0).all()


def test_square_asks_for_no_gradient_and_squares_shrink() -> None:
    model, (images, _) = Counting(smooth()).eval(), batch(4)
    Square(queries=30).perturb(model, images, predict(model, images), 0.01)
    assert model.backwards == 0
    sides = [Square(queries=5000)._side(torch.empty(1, 3, 32, 32), query) for query in (1, 200, 4999)]
    assert sides == sorted(sides, reverse=True)
    assert (sides[0], sides[-1]) == (29, 1)


# --- AutoAttack --------------------------------------------------------------------------------------------------------------

QUICK = AutoAttack(steps=8, targets=2, queries=60)


def counts(fooled_by: Tensor) -> list[int]:
    """The images that hold: clean, then after each component."""
    return [int((fooled_by > place).sum()) for place in range(len(QUICK.components) + 1)]


def test_autoattack_is_its_components_in_turn(model: nn.Module, digits: LabeledImages, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = digits[:FEW].pixels(), digits[:FEW].labels
    seen: list[int] = []
    for kind in (APGD, TargetedAPGD, FAB, Square):

        def attack(self: Attack, net: nn.Module, part: Batch, of: Callable[..., Tensor] = kind._attack) -> Tensor:
            seen.append(len(part))
            return of(self, net, part)

        monkeypatch.setattr(kind, "_attack", attack)
    attacked, fooled_by = QUICK.run(model, images, labels, 0.15)
    holds = fooled_by == 5
    left = counts(fooled_by)
    assert left == sorted(left, reverse=True)
    assert seen == left[:-1]  # each attacks what the ones before left
    assert torch.equal(predict(model, attacked) == labels, holds)
    assert left[0] == int((predict(model, images) == labels).sum())
    assert torch.equal(attacked[holds], images[holds])
    first = APGD(steps=8).perturb(model, images, labels, 0.15)
    assert left[1] == int((predict(model, first) == labels).sum())
    assert torch.equal(QUICK.perturb(model, images, labels, 0.15), attacked)


def test_autoattack_is_no_weaker_than_torchattacks(model: nn.Module, digits: LabeledImages) -> None:
    images, labels = digits[:FEW].pixels(), digits[:FEW].labels
    left = counts(QUICK.run(model, images, labels, 0.15)[1])[-1]
    theirs = torchattacks.AutoAttack(model, eps=0.15, seed=0)
    for attack in theirs._autoattack.attacks:
        attack.steps, attack.n_queries, attack.n_target_classes = 8, 60, 2
    assert left <= int((predict(model, theirs(images, labels)) == labels).sum()) + 1


def test_budgets_can_be_projected_onto() -> None:
    images = torch.full((1, 1, 1, 2), 0.5)
    far = torch.tensor([[0.9, 0.8]]).view(1, 1, 1, 2)
    assert Budget(images, 0.25, "l2").project(far).flatten().tolist() == pytest.approx([0.7, 0.65], abs=1e-5)
    assert Budget(images, 0.35).project(far).flatten().tolist() == pytest.approx([0.85, 0.8])


class Overconfident(nn.Module):
    """Takes every image for fooled: its answer is one class further."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).roll(1, 1)


def test_a_fast_search_only_counts_what_the_exact_model_confirms(model: nn.Module, digits: LabeledImages) -> None:
    images, labels = digits[:12].pixels(), digits[:12].labels
    plain = QUICK.run(model, images, labels, 0.3)[1]
    assert torch.equal(QUICK.run(attacks.FastSearch(model, model), images, labels, 0.3)[1], plain)
    search = attacks.FastSearch(Overconfident(model), model)
    attacked, misled = QUICK.run(search, images, labels, 0.3)
    assert torch.equal(predict(model, attacked) == labels, misled == 5)
    assert counts(misled)[0] == counts(plain)[0] > counts(misled)[-1]
    assert torch.equal(QUICK.perturb(search, images, labels, 0.3), attacked)
    for attack in (APGD(steps=3), FAB(steps=3, targets=1), Square(queries=5)):
        attacked = attack.perturb(search, images, predict(model, images), 1e-6)
        assert torch.equal(predict(model, attacked), predict(model, images))


def test_pgd_goes_on_until_the_exact_model_is_fooled(model: nn.Module, digits: LabeledImages) -> None:
    images, labels = digits[:12].pixels(), digits[:12].labels
    attack = attacks.PGD(steps=3, restarts=2, stop_early=True, random_start=False)
    plain = attack.perturb(model, images, labels, 0.3)
    assert torch.equal(attack.perturb(attacks.FastSearch(model, model), images, labels, 0.3), plain)
    search = attacks.FastSearch(Overconfident(model), model)  # takes every image for fooled before the first step
    assert not torch.equal(attack.perturb(search, images, labels, 0.3), images)
