"""Input gradients worked out by hand, and attacks with large budgets."""

from __future__ import annotations

import math

import pytest
import torch

from advcore import data
from advcore.attacks import predict
from advcore.evaluation.gradients import far_epsilons, film, input_gradient_at
from tests.makers import linear

WEIGHTS = torch.tensor([[1.0, 0.0, -2.0, 0.5], [0.0, 1.0, 0.0, 0.0]])


def test_the_gradient_of_a_linear_model() -> None:
    image = torch.tensor([0.2, 0.4, 0.6, 0.8]).view(1, 1, 2, 2)
    found = input_gradient_at(linear(WEIGHTS), image, 0)
    # Of two classes, ∂ cross-entropy / ∂ x = −(1 − p) · (w_label − w_other).
    wrong = 1 - (image.flatten() @ WEIGHTS.T).softmax(0)[0]
    expected = -wrong * (WEIGHTS[0] - WEIGHTS[1])
    assert torch.allclose(found.values.flatten(), expected, atol=1e-6)
    cosine = float(expected @ image.flatten() / expected.norm() / image.norm())
    assert found.alignment == pytest.approx(abs(cosine), abs=1e-6)
    picture = found.picture(found.largest)
    assert float(picture.max()) == 1.0, "the largest value has the positive sign: −2 pushes away from class 0"
    assert float(picture.flatten()[1] - 0.5) == pytest.approx(float(expected[1]) / found.largest / 2, abs=1e-6)


def test_a_gradient_of_zero_has_no_alignment() -> None:
    found = input_gradient_at(linear(torch.zeros(2, 4)), torch.rand(1, 1, 2, 2), 0)
    assert (found.alignment, found.largest) == (0.0, 0.0)
    assert torch.equal(found.picture(found.largest), torch.full((1, 2, 2), 0.5))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_film_grows_within_its_budgets_and_reaches_the_target(norm: str) -> None:
    image, model = torch.full((1, 1, 2, 2), 0.5), linear(WEIGHTS)
    assert int(predict(model, image)) == 1
    epsilons = (0.0, 0.1, 0.2, 0.4)
    steps = list(film(model, image, 0, epsilons, norm=norm, steps=5))
    assert [len(each.frames) for each in steps] == [1, 2, 3, 4]
    change = (steps[-1].frames.float() / 255 - image).flatten(1)
    size = change.norm(dim=1) if norm == "l2" else change.abs().amax(1)
    assert all(float(size[at]) <= epsilons[at] + 1.1 / 255 for at in range(4))
    assert torch.allclose(steps[-1].shares.sum(1), torch.ones(4))
    # The score of class 0 over class 1 is −0.75 at the image and rises by at most 4.5 ε (L∞) or √6.25 ε (L2).
    first = 0.75 / (4.5 if norm == "linf" else math.sqrt(6.25))
    assert steps[-1].reached_at == next(at for at in epsilons if at > first)
    assert steps[0].reached_at is None


def test_the_budgets_are_large() -> None:
    for name in ("mnist", "cifar10"):
        info = data.dataset(name)
        assert far_epsilons(info, "linf")[-1] >= 64 / 255
        assert far_epsilons(info, "l2")[-1] == 8 * info.l2_budget
