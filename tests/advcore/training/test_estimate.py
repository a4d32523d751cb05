"""Estimates of how long a recipe takes, on a clock that counts the images that networks compute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from advcore import data
from advcore.errors import AdvcoreError
from advcore.evaluation import figures
from advcore.models import architectures, checkpoints
from advcore.recipe import Recipe
from advcore.training import estimate, loop
from tests.makers import write_parquet

CPU = torch.device("cpu")
TINY = Recipe(dataset="digits", architecture="digits_cnn", images=300, held_out=44, batch_size=64, epochs=2, evaluations=2)
PER_IMAGE = 0.001
SMALL = replace(architectures.ARCHITECTURES["preact_resnet18"], default_width=4)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], float]]:
    """A clock that advances by a millisecond for each image a network computes, by a third of it without a gradient."""
    now = 0.0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], _: object) -> None:
        nonlocal now
        if isinstance(module, nn.Sequential) and inputs[0].dim() == 4:  # the whole network
            now += PER_IMAGE * len(inputs[0]) * (1 if torch.is_grad_enabled() else 1 / 3)

    handle = nn.modules.module.register_module_forward_hook(count)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    yield lambda: now
    handle.remove()


@pytest.mark.parametrize(("defense", "standard_epochs"), [("standard", 0), ("fgsm", 0), ("fgsm", 1), ("trades", 0)])
def test_an_estimate_is_near_the_time_it_takes(defense: str, standard_epochs: int, clock: Callable[[], float]) -> None:
    epsilon = 0.0 if defense == "standard" else 0.1
    recipe = replace(TINY, evaluations=0, defense=defense, epsilon=epsilon, standard_epochs=standard_epochs)
    told = estimate.estimate(recipe, device=CPU, precision="fp32")
    began = clock()
    *_, last = loop.train(recipe, device=CPU, precision="fp32")
    assert told.steps == last.steps
    assert told.training == pytest.approx(clock() - began, rel=0.05)


def test_the_evaluations_and_the_figures_are_estimated(clock: Callable[[], float], digits: data.LabeledImages) -> None:
    recipe = replace(TINY, defense="fgsm", epsilon=0.1)
    told = estimate.estimate(recipe, device=CPU, precision="fp32")
    began = clock()
    *_, last = loop.train(recipe, device=CPU, precision="fp32")
    watching = clock() - began - PER_IMAGE * told.steps * 2 * 64
    assert told.watching == pytest.approx(watching, rel=0.1)
    began = clock()
    figures.measure(recipe, last.model, digits, device=CPU)
    assert told.figures == pytest.approx(clock() - began, rel=0.1)


def test_an_estimate_is_quick_and_grows_with_the_work(clock: Callable[[], float]) -> None:
    short = estimate.estimate(TINY, device=CPU, precision="fp32")
    assert clock() < 3
    long = estimate.estimate(replace(TINY, epochs=200, defense="pgd", epsilon=0.1), device=CPU, precision="fp32")
    assert long.training > 20 * short.training
    assert short.steps == 4 * 2
    assert long.seconds == long.start + long.training + long.watching + long.figures
    assert "800 training steps" in long.sentence


def test_an_estimate_of_a_slow_network_takes_no_longer(clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PER_IMAGE", 0.5)
    told = estimate.estimate(replace(TINY, batch_size=256), device=CPU, precision="fp32")
    assert clock() < 5
    assert told.training == pytest.approx(2 * 256 * 0.5)


@pytest.mark.parametrize("attack_steps", [40, 1000])
def test_of_an_attack_of_many_steps_a_few_are_timed(attack_steps: int, clock: Callable[[], float]) -> None:
    recipe = replace(TINY, defense="pgd", epsilon=0.1, attack_steps=attack_steps)
    told = estimate.estimate(recipe, device=CPU, precision="fp32")
    assert clock() < 5
    assert told.training == pytest.approx(told.steps * 64 * (attack_steps + 1) * PER_IMAGE, rel=0.05)


def test_a_very_large_network_is_not_built(clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    built = checkpoints.build

    def watched(*arguments: object, **options: object) -> nn.Module:
        model = built(*arguments, **options)
        sizes.append(sum(value.nbytes for value in model.parameters() if not value.is_meta))
        return model

    monkeypatch.setattr(checkpoints, "build", watched)
    monkeypatch.setitem(architectures.ARCHITECTURES, "preact_resnet18", SMALL)
    large = estimate.estimate(replace(TINY, architecture="preact_resnet18", width=256), device=CPU, precision="fp32")
    assert 0 < max(sizes) < 1_000_000
    assert large.training > 100 * large.steps * 64 * PER_IMAGE


def test_an_estimate_leaves_nothing_behind(clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PER_IMAGE", 0.5)
    estimate.estimate(TINY, device=CPU)
    assert not checkpoints.runs_root().exists()


def test_the_images_are_counted_where_they_lie(
    data_folder: Path, clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.PER_IMAGE", 0.5)
    pictures = np.zeros((30, 28, 28), dtype=np.uint8)
    write_parquet(data_folder / "mnist" / "train.parquet", list(pictures), [number % 10 for number in range(30)])
    write_parquet(data_folder / "mnist" / "test.parquet", list(pictures[:7]), [number % 10 for number in range(7)])
    recipe = Recipe(dataset="mnist", architecture="srivathsav_cnn", held_out=10, batch_size=5, epochs=1)
    assert estimate.estimate(recipe, device=CPU, precision="fp32").steps == 4
    with pytest.raises(AdvcoreError, match="hold out fewer"):
        estimate.estimate(replace(recipe, held_out=30), device=CPU, precision="fp32")


def test_what_cannot_be_trained_is_not_estimated() -> None:
    for values in ({"dataset": "mnist", "architecture": "lee_cnn"}, {"warm_start": "digits/nobody"}):
        with pytest.raises(AdvcoreError):
            estimate.estimate(replace(TINY, **values), device=CPU)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.1, "1 s"), (59.6, "60 s"), (89, "89 s"), (95, "2 min"), (3600, "60 min"), (8000, "2 h 13 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert estimate.duration(seconds) == words


def test_the_fixed_cost_of_a_call_is_not_taken_for_that_of_an_image(
    digits: data.LabeledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine two images take as long as a hundred."""
    monkeypatch.setattr(estimate, "_mean_seconds", lambda work, limit: 0.005)
    model = checkpoints.find("digits/digits_cnn-standard").model()
    assert estimate._gradient_seconds(model, digits, torch.device("cpu")) < 0.005 / 50
