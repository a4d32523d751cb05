"""Randomized smoothing: the published algorithm on the same votes, and linear models whose radius has a closed form."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from advcore.errors import AdvcoreError
from advcore.evaluation import smoothing
from advcore.evaluation.smoothing import ALPHA, Votes, bracket, count_votes, lower_bound
from tests.makers import linear

WEIGHTS = torch.tensor([[0.0, 0.0, 0.0, 0.0], [3.0, -1.0, 2.0, 1.0]])
IMAGE = torch.tensor([0.5, 0.4, 0.5, 0.3]).view(1, 1, 2, 2)
MARGIN = float(WEIGHTS[1] @ IMAGE.flatten() - 2.0) / math.sqrt(15)
"""The distance of the image from the boundary of `linear(WEIGHTS, [0, -2])`, on whose class 1 it lies."""


def published(votes: Votes, alpha: float) -> float | None:
    """CERTIFY of Cohen et al. 2019, from the same votes, with scipy's exact interval of a binomial test."""
    chosen = torch.tensor(votes.first).argmax().item()
    interval = stats.binomtest(votes.counts[chosen], sum(votes.counts)).proportion_ci(1 - 2 * alpha, method="exact")
    return votes.sigma * stats.norm.ppf(interval.low) if interval.low > 0.5 else None


@pytest.mark.parametrize("counts", [(0, 1000), (1, 999), (100, 900), (430, 570), (470, 530), (500, 500), (1000, 0)])
def test_the_radius_is_that_of_the_published_algorithm(counts: tuple[int, int]) -> None:
    votes = Votes(0.5, 1000, (20, 80), counts)
    expected = published(votes, ALPHA)
    assert votes.radius == (None if expected is None else pytest.approx(expected, rel=1e-9))


def test_the_bound_is_exact() -> None:
    # With every vote for the class the bound p solves pⁿ = alpha.
    assert lower_bound(1000, 1000) == pytest.approx(ALPHA ** (1 / 1000))
    assert lower_bound(0, 10) == 0.0


def test_a_linear_model_is_certified_up_to_its_distance_from_the_boundary() -> None:
    *_, votes = count_votes(linear(WEIGHTS, [0.0, -2.0]), IMAGE, 0.25, 20_000, 2)
    assert votes.answer == 1
    assert votes.complete
    # The share of votes is Φ(margin / σ), and σ·Φ⁻¹ of it the margin itself.
    assert votes.counts[1] / 20_000 == pytest.approx(stats.norm.cdf(MARGIN / 0.25), abs=0.01)
    assert 0.9 * MARGIN < votes.radius < MARGIN


def test_the_attack_closes_the_bracket_of_a_linear_model(monkeypatch: pytest.MonkeyPatch) -> None:
    # At 1.1 of the margin the other class has 51.6 % of the votes: too few to prove it by 500. At 4 it has 89 %.
    sizes = (0.5 * MARGIN, 0.9 * MARGIN, 1.1 * MARGIN, 4 * MARGIN)
    monkeypatch.setattr(smoothing, "attack_sizes", lambda sigma: sizes)
    *_, found = bracket(linear(WEIGHTS, [0.0, -2.0]), IMAGE, 0.25, 2000, 2)
    assert found.complete
    assert found.fooled_at == pytest.approx(4 * MARGIN)
    assert found.votes.radius < MARGIN < found.fooled_at


def test_an_image_on_the_boundary_is_not_certified_and_draws_come_from_the_seed() -> None:
    model = linear(WEIGHTS, [0.0, -float(WEIGHTS[1] @ IMAGE.flatten())])
    steps = list(count_votes(model, IMAGE, 0.5, 450, 2, seed=3))
    assert [votes.samples for votes in steps] == [100, 200, 300, 400, 450]
    assert steps[-1].radius is None
    assert not steps[-2].complete
    assert steps[-1] == list(count_votes(model, IMAGE, 0.5, 450, 2, seed=3))[-1]
    assert steps[-1] != list(count_votes(model, IMAGE, 0.5, 450, 2, seed=4))[-1]


def test_values_that_mean_nothing_are_refused() -> None:
    for sigma, samples in ((0.0, 10), (math.inf, 10), (0.1, 0)):
        with pytest.raises(AdvcoreError, match="above 0"):
            next(count_votes(linear(WEIGHTS), IMAGE, sigma, samples, 2))
