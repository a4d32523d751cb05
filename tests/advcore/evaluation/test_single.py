"""One image under attack: the saved image stays within ε, and a scrub gives the outcome without a second attack."""

from __future__ import annotations

import math

import pytest
import torch

from advcore import attacks, data
from advcore.attacks import FGSM, PGD, UniformNoise
from advcore.evaluation.scrub import scrub
from advcore.evaluation.single import attack_picture, outcome_of, within_8_bits
from advcore.images.encode import to_bytes
from advcore.models import checkpoints
from tests.makers import linear

GRID = data.BUILT_IN["digits"].epsilons
TWO = torch.tensor([[4.0, 0.0], [0.0, 4.0]])


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return checkpoints.find("digits/digits_cnn-standard").model()


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=5), FGSM(norm="l2")], ids=["FGSM", "PGD", "FGSM L2"])
@pytest.mark.parametrize("epsilon", [0.1, 10.4 / 255, 10.6 / 255])
def test_the_saved_image_stays_within_epsilon(model: torch.nn.Module, attack: attacks.Attack, epsilon: float) -> None:
    one = data.load("digits")[4:5]
    epsilon = epsilon * 8 if attack.norm == "l2" else epsilon
    outcome = attack_picture(model, one.pixels(), attack, epsilon, label=int(one.labels))
    change = (outcome.saved.int() - one.images.int()).abs().double()
    distance = change.max() if attack.norm == "linf" else change.norm()
    assert 0 < float(distance) <= epsilon * 255 + 1e-9


def test_an_attack_that_rounding_loses_is_continued_on_the_8_bit_levels() -> None:
    # Wrong where the second value is above the first: at ε = 1 level, 100 and 101 become equal or cross by two levels.
    net, clean = linear(TWO), torch.tensor([101.0, 100.0]).div(255).view(1, 1, 1, 2)
    attacked = clean + torch.tensor([-0.45, 0.6]).div(255).view(1, 1, 1, 2)
    assert int(net(attacked).argmax()) == 1
    assert int(net((attacked * 255).round() / 255).argmax()) == 0, "plain rounding loses it"
    saved = within_8_bits(net, clean, attacked, torch.tensor([0]), FGSM(), 1 / 255)
    assert saved.flatten().tolist() == [100, 101]


def test_without_success_the_image_is_rounded_within_epsilon() -> None:
    net, clean = linear(TWO), torch.tensor([200.0, 20.0]).div(255).view(1, 1, 1, 2)
    saved = within_8_bits(net, clean, clean + 0.6 / 255, torch.tensor([0]), FGSM(), 0.7 / 255)
    assert saved.flatten().tolist() == [200, 20], "one level more would be farther than ε"


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=5), UniformNoise()], ids=["FGSM", "PGD", "noise"])
def test_a_scrub_gives_the_outcome_of_the_attack(model: torch.nn.Module, attack: attacks.Attack) -> None:
    one = data.load("digits")[4:5]
    seen = scrub(model, one.pixels(), attack, GRID, label=int(one.labels), index=4)
    place = len(seen.epsilons) // 2
    again = attack_picture(model, one.pixels(), attack, seen.epsilons[place], label=int(one.labels), index=4)
    outcome = outcome_of(model, seen, attack, place)
    assert torch.allclose(outcome.after, again.after, atol=1e-4)
    assert torch.allclose(outcome.before, again.before, atol=1e-4)
    assert (outcome.label, outcome.target, outcome.wrong_before) == (again.label, again.target, again.wrong_before)
    assert (outcome.attacked - again.attacked).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(to_bytes(outcome.attacked), to_bytes(seen.attacked(place)))


def test_a_scrub_that_is_opened_does_not_attack_again(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    one = data.load("digits")[4:5]
    seen = scrub(model, one.pixels(), PGD(steps=5), GRID, label=int(one.labels))
    monkeypatch.setattr(PGD, "perturb", lambda *_, **__: pytest.fail("the image was attacked again"))
    monkeypatch.setattr(PGD, "sweep", lambda *_, **__: pytest.fail("the image was attacked again"))
    assert math.isfinite(float(outcome_of(model, seen, PGD(steps=5), 3).after.sum()))
