"""What the scrubber shows is what the engine computes, at every ε."""

from __future__ import annotations

import math

import pytest
import torch

from advcore import data
from advcore.attacks import FGSM, PGD, UniformNoise, predict, probabilities
from advcore.evaluation import scrub
from advcore.evaluation.scrub import coarse, striking
from advcore.models import checkpoints


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return checkpoints.find("digits/digits_cnn-standard").model()


GRID = data.BUILT_IN["digits"].epsilons


def test_the_grid_is_fine_and_ends_at_the_maximum() -> None:
    for info in data.BUILT_IN.values():
        assert len(info.epsilons) >= 65
        assert info.epsilons[0] == 0
        assert math.isclose(info.epsilons[-1], info.epsilon_max, rel_tol=1e-6)
        assert info.epsilon in info.epsilons or info.name in {"cifar10", "gtsrb", "tiny-imagenet", "imagenet"}


@pytest.mark.parametrize("attack", [FGSM(), UniformNoise(seed=3)])
def test_one_direction_gives_the_attacked_image_at_every_epsilon(model: torch.nn.Module, attack: FGSM | UniformNoise) -> None:
    test = data.load("digits")[4:5]
    seen = scrub.scrub(model, test.pixels(), attack, GRID, label=int(test.labels))
    assert seen.epsilons == GRID
    for epsilon, shares in zip(GRID[::10], seen.shares[::10], strict=True):
        by_hand = (test.pixels() + epsilon * seen.direction).clamp(0, 1)
        attacked = attack.perturb(model, test.pixels(), test.labels, epsilon)
        assert (by_hand - attacked).abs().max() < 1e-6
        assert torch.allclose(shares, probabilities(model, attacked)[0], atol=1e-5)


def test_pgd_brings_frames_for_a_coarser_grid(model: torch.nn.Module) -> None:
    test = data.load("digits")[4:5]
    seen = scrub.scrub(model, test.pixels(), PGD(steps=5), GRID, label=int(test.labels))
    assert seen.direction is None
    assert seen.epsilons == coarse(GRID)
    assert {seen.epsilons[0], seen.epsilons[-1]} == {0.0, GRID[-1]}
    clean = (test.pixels() * 255).round()
    for epsilon, frame in zip(seen.epsilons, seen.frames, strict=True):
        assert (frame.float() - clean[0]).abs().max() <= 255 * epsilon + 0.5


def test_parts_of_the_grid_give_the_whole(model: torch.nn.Module) -> None:
    test, attack, grid = data.load("digits")[4:5], PGD(steps=5), coarse(GRID)
    whole, late, early = (
        scrub.scrub(model, test.pixels(), attack, some, label=int(test.labels))
        for some in (GRID, grid[5:], (grid[0], grid[5], *grid[1:5]))
    )
    found = late.with_more(early)
    assert found.epsilons == whole.epsilons
    assert (found.frames.int() - whole.frames.int()).abs().max() <= 1
    assert torch.allclose(found.shares, whole.shares, atol=1e-4)
    assert [found.place(epsilon) for epsilon in grid] == list(range(len(grid)))
    straight = scrub.scrub(model, test.pixels(), FGSM(), GRID)
    with pytest.raises(ValueError, match="runs again at every"):
        straight.with_more(straight)


def test_the_smallest_epsilon_is_the_first_that_fools(model: torch.nn.Module) -> None:
    test = data.load("digits")[:5]
    for index in range(5):
        one = test[index : index + 1]
        seen = scrub.scrub(model, one.pixels(), FGSM(), GRID, label=int(one.labels))
        fooled = [int(predict(model, FGSM().perturb(model, one.pixels(), one.labels, at))) != int(one.labels) for at in GRID]
        assert seen.smallest_epsilon == (GRID[fooled.index(True)] if any(fooled) else math.inf)


def test_a_target_counts_as_fooled_only_when_reached(model: torch.nn.Module) -> None:
    test = data.load("digits")[0:1]
    seen = scrub.scrub(model, test.pixels(), FGSM(targeted=True), GRID, label=int(test.labels), target=8)
    assert torch.equal(seen.fooled, seen.answers == 8)


def test_without_a_label_the_own_answer_is_the_one_to_lose(model: torch.nn.Module) -> None:
    image = data.load("digits")[7:8].pixels()
    assert scrub.scrub(model, image, FGSM(), GRID).label == int(predict(model, image))


def test_striking_shows_a_model_that_falls_beside_one_that_holds(model: torch.nn.Module) -> None:
    defended = checkpoints.find("digits/digits_cnn-fgsm-0.2").model()
    test = data.load("digits")[:48]
    index, epsilon = striking(model, defended, test, 0.1)
    one = test[index : index + 1]
    answers = [predict(net, FGSM().perturb(net, one.pixels(), one.labels, epsilon)) for net in (model, defended)]
    assert answers[0] != one.labels
    assert answers[1] == one.labels
    pixels, labels = test.pixels(), test.labels
    right = [
        [predict(net, FGSM().perturb(net, pixels, labels, at)) == labels for at in (0, epsilon)] for net in (model, defended)
    ]
    such = right[0][0] & ~right[0][1] & right[1][0] & right[1][1]
    assert such.sum() > 1
    assert test.contrast[index] == test.contrast[such].max()


def test_striking_prefers_an_image_of_which_the_model_is_sure(model: torch.nn.Module) -> None:
    dim, clear = data.load("digits")[3:4], data.load("digits")[169:170]
    assert (dim.contrast < clear.contrast).all()
    sure = [float(probabilities(model, one.pixels()).max()) for one in (dim, clear)]
    assert sure[0] > 0.9 > 0.7 > sure[1]
    both = data.load("digits")[torch.tensor([169, 3])]
    defended = checkpoints.find("digits/digits_cnn-fgsm-0.2").model()
    assert striking(model, defended, both, 0.1) == (1, 0.1)


def test_striking_without_any_such_image_is_the_first_one(model: torch.nn.Module) -> None:
    assert striking(model, model, data.load("digits")[:0], 0.1) == (0, 0.1)
