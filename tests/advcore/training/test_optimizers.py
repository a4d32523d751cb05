"""Schedules, Muon, and the running average of the weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from advcore.recipe import SCHEDULES, Recipe
from advcore.training.optimizers import Muon, factor, optimizer, orthogonalized, running_average, set_learning_rate

FACTORS = {
    "constant": [1, 1, 1, 1, 1],
    "cosine": [1, (1 + math.cos(0.3 * math.pi)) / 2, 0.5, (1 + math.cos(0.65 * math.pi)) / 2, 0],
    "linear": [1, 0.7, 0.5, 0.35, 0],
    "cyclic": [0, 1, 5 / 7, 0.5, 0],
}


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_schedules(schedule: str) -> None:
    found = [factor(schedule, done) for done in (0, 0.3, 0.5, 0.65, 1)]
    assert found == pytest.approx(FACTORS[schedule], abs=1e-12)


def test_a_schedule_scales_the_first_rate_of_each_group() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(4, 2))
    muon = optimizer(Recipe(dataset="digits", architecture="digits_cnn", optimizer="muon", learning_rate=0.2), model)
    first = [group["lr"] for group in muon.param_groups]
    for done in (0.5, 0.75):  # from the first rates each time, not from the last ones
        set_learning_rate(muon, "linear", done)
        assert [group["lr"] for group in muon.param_groups] == pytest.approx([rate * (1 - done) for rate in first])


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_muon_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalized(matrix, steps=6)
    assert ((torch.linalg.svdvals(found) > 0.6) & (torch.linalg.svdvals(found) < 1.3)).all()
    assert (found - left @ right).norm() < 0.5 * (left @ right).norm()


def test_muon_keeps_the_norm_of_filters_before_its_step() -> None:
    layer = nn.Conv2d(3, 8, 3, bias=False)
    muon = Muon(layer.parameters(), lr=0.0)
    layer(torch.rand(2, 3, 8, 8)).sum().backward()
    muon.step()
    assert float(layer.weight.detach().norm()) == pytest.approx(8**0.5, rel=1e-5)


def test_frozen_parameters_are_not_trained() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    made = optimizer(Recipe(dataset="digits", architecture="digits_cnn"), model)
    assert [len(group["params"]) for group in made.param_groups] == [2]


def test_the_running_average_warms_up() -> None:
    """A short run at a slow decay does not keep its random start; the fault: 98.7 % of it after 135 steps at 0.9999."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(100.0)  # the start
    average = running_average(model, 0.9999)
    model.weight.data.fill_(1.0)
    for _ in range(135):
        average.update_parameters(model)
    assert float(average.module.weight.detach()) == pytest.approx(1.0, abs=1e-6)


def test_the_decay_grows_to_the_recipes() -> None:
    model = nn.Linear(1, 1, bias=False)
    average, wanted = running_average(model, 0.4), 0.0
    for update, value in enumerate((3.0, 5.0, 2.0, 8.0, 1.0, 4.0)):
        model.weight.data.fill_(value)
        average.update_parameters(model)
        decay = min(0.4, (1 + update) / (10 + update)) if update else 0.0
        wanted = decay * wanted + (1 - decay) * value
        assert float(average.module.weight.detach()) == pytest.approx(wanted)


def test_batch_statistics_are_averaged_and_counters_copied() -> None:
    model = nn.BatchNorm1d(1)
    average = running_average(model, 0.5)
    for value in (1.0, 2.0):
        model.running_mean.fill_(value)
        model.num_batches_tracked += 1
        average.update_parameters(model)
    assert float(average.module.running_mean) == pytest.approx(2.0 - 2 / 11)
    assert int(average.module.num_batches_tracked) == 2
