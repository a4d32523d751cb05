"""An image's random numbers are its own: neither its batch nor its place in it changes what an attack does to it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from advcore import attacks
from advcore.attacks import PGD, Attack, SignNoise, UniformNoise, draws
from advcore.data import LabeledImages
from advcore.evaluation.curves import predictions
from advcore.evaluation.scrub import scrub
from advcore.models import checkpoints

RANDOM = [PGD(steps=4, restarts=3), PGD(steps=4, norm="l2"), UniformNoise(), SignNoise(), UniformNoise(norm="l2")]
EPSILON = 0.15


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return checkpoints.find("digits/digits_cnn-fgsm-0.2").model()


def attacked(attack: Attack, model: nn.Module, part: LabeledImages) -> Tensor:
    return attack.perturb(model, part.pixels(), part.labels, EPSILON, indices=part.indices)


def in_parts(attack: Attack, model: nn.Module, images: LabeledImages, size: int) -> Tensor:
    return torch.cat([attacked(attack, model, images[start : start + size]) for start in range(0, len(images), size)])


@pytest.mark.parametrize("attack", RANDOM, ids=attacks.title)
def test_batches_and_order_change_nothing(attack: Attack, model: nn.Module, digits: LabeledImages) -> None:
    few = digits[100:148]
    whole = attacked(attack, model, few)
    assert not torch.allclose(whole, attacked(attack, model, LabeledImages(few.images, few.labels, few.class_names)))
    order = torch.randperm(len(few), generator=torch.Generator().manual_seed(0))
    shuffled = attacked(attack, model, few[order])[order.argsort()]
    for other in (in_parts(attack, model, few, 16), in_parts(attack, model, few, 7), shuffled):
        # A batch of another size may round another way inside the network, which can turn single steps.
        assert ((other - whole).abs() > 1e-6).float().mean() < 0.01
        assert torch.equal(attacks.predict(model, other), attacks.predict(model, whole))


@pytest.mark.parametrize("attack", RANDOM[:4], ids=attacks.title)
def test_curves_are_the_same_in_any_batches(attack: Attack, model: nn.Module, digits: LabeledImages) -> None:
    def answers(images: LabeledImages, size: int) -> Tensor:
        parts = list(predictions(model, images, attack, [0.1, 0.2], precision="fp32", batch_size=size))
        return torch.cat([part.predicted for part in parts], 1)

    few = digits[:60]
    whole = answers(few, 60)
    for size in (7, 25):
        assert torch.equal(answers(few, size), whole)
    backward = torch.arange(59, -1, -1)
    assert torch.equal(answers(few[backward], 25)[:, backward], whole)


@pytest.mark.parametrize("attack", RANDOM[:4], ids=attacks.title)
def test_one_image_shown_alone_is_as_in_the_curve(attack: Attack, model: nn.Module, digits: LabeledImages) -> None:
    place, grid = 37, [0.05, 0.1, 0.15, 0.2]
    (curve,) = predictions(model, digits[:40], attack, grid, precision="fp32", batch_size=40)
    one = digits[place : place + 1]
    alone = scrub(model, one.pixels(), attack, grid, label=int(one.labels), index=place)
    assert alone.epsilons == tuple(grid)
    assert torch.equal(alone.answers, curve.predicted[:, place])


def test_draws_are_known_by_seed_index_and_stream() -> None:
    def row(index: int, **options: int) -> Sequence[float]:
        return draws.uniform(torch.tensor([index]), (4,), **{"seed": 0} | options)[0].tolist()

    assert row(5) == draws.uniform(torch.tensor([3, 5]), (4,), seed=0)[1].tolist()
    assert len({tuple(row(5)), tuple(row(6)), tuple(row(5, seed=1)), tuple(row(5, stream=1))}) == 4
    many = draws.uniform(torch.arange(500), (20,), seed=0)
    assert many.mean().item() == pytest.approx(0.5, abs=0.01)
    assert draws.normal(torch.arange(500), (20,), seed=0).std().item() == pytest.approx(1, abs=0.02)


def test_slices_of_a_dataset_keep_their_indices(digits: LabeledImages) -> None:
    assert digits[10:13].indices.tolist() == [10, 11, 12]
    assert digits[10:20][torch.tensor([4, 1])].indices.tolist() == [14, 11]
