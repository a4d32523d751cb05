"""Recipes to begin with, and how long a recipe is said to take."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from advcore import data
from advcore.errors import AdvcoreError
from advcore.jobs import queue
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES
from advcore.recipe import Recipe
from advcore.training import estimate, loop, presets
from tests.makers import write_parquet

CPU = torch.device("cpu")
TINY = Recipe(dataset="digits", architecture="digits_cnn", images=300, held_out=44, batch_size=64, epochs=2, evaluations=2)


@pytest.mark.parametrize("dataset", list(data.BUILT_IN))
def test_every_preset_can_be_built_and_says_what_it_is(dataset: str) -> None:
    shape = data.dataset(dataset).shape
    for architecture in presets.architectures(dataset):
        found = presets.presets(dataset, architecture)
        assert [item.name for item in found][-2:] == ["papers", "robust"]
        assert len({item.title for item in found}) == len(found)
        for item in found:
            assert item.about.endswith(".")
            assert item.recipe.dataset == dataset
            assert item.recipe.architecture == architecture, "what was chosen is what is trained"
            with torch.device("meta"):
                checkpoints.build(item.recipe, shape, 10)
            assert Recipe.from_json(item.recipe.to_json()) == item.recipe


def test_the_quick_one_is_offered_with_the_network_it_trains() -> None:
    for dataset in ("digits", "mnist", "fashion-mnist"):
        offered = [name for name in presets.architectures(dataset) if presets.presets(dataset, name)[0].name == "quick"]
        assert offered == [presets.quick(dataset).recipe.architecture]
        assert presets.presets(dataset)[0].name == "quick"


def test_only_networks_that_can_take_the_images_are_offered() -> None:
    assert "srivathsav_cnn" not in presets.architectures("digits")
    assert presets.architectures("digits")[0] == "digits_cnn"
    assert presets.architectures("mnist")[0] == "srivathsav_cnn"
    assert set(presets.architectures("cifar10")) == set(ARCHITECTURES)
    with pytest.raises(AdvcoreError):
        presets.architectures("nothing")


def test_the_papers_ways() -> None:
    lee = presets.as_in_the_papers("mnist", "lee_cnn").recipe
    assert (lee.defense, lee.epsilon, lee.optimizer) == ("fgsm", 0.3, "adam")
    deepthi = presets.as_in_the_papers("cifar10", "even_deeper_cnn").recipe
    assert (deepthi.epsilon, deepthi.augment) == (0.5, ("flip", "rotate"))  # its ε = 1.0 lies in [−1, 1]
    chowdhury = presets.as_in_the_papers("cifar10", "general_cnn").recipe
    assert chowdhury.epsilon == 0.03
    assert presets.as_in_the_papers("mnist", "srivathsav_cnn").recipe.batch_size == 128


def test_srivathsav_goes_on_from_the_undefended_network(own_checkpoints: Path) -> None:
    assert presets.as_in_the_papers("mnist", "srivathsav_cnn").recipe.warm_start is None
    recipe = Recipe(dataset="mnist", architecture="srivathsav_cnn")
    model = checkpoints.build(recipe, (1, 28, 28), 10)
    path = own_checkpoints / "mnist" / "srivathsav_cnn-standard.safetensors"
    names = data.dataset("mnist").class_names
    checkpoints.save(path, model, recipe, shape=(1, 28, 28), class_names=names, metrics={}, provenance={})
    assert presets.as_in_the_papers("mnist", "srivathsav_cnn").recipe.warm_start == recipe.checkpoint_id


def test_the_quick_one_is_quick_and_defends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue.os, "setpriority", lambda *_: None)
    recipe = presets.quick("digits").recipe
    folder = queue.root() / "20260102-030405-000000"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(recipe.to_json())
    began = time.process_time()
    assert queue.run(folder) == 0
    # The processor's own seconds, on one thread: other programs on a busy machine do not count.
    assert time.process_time() - began < 55
    made = checkpoints.find(queue.read(folder).checkpoint)
    under = {row["attack"]: row["accuracy"] for row in made.metrics["attacks"] if row["epsilon"] == recipe.epsilon}
    standard = checkpoints.find("digits/digits_cnn-standard")
    assert made.metrics["clean"] > 0.9
    assert under["PGD-20"] > 0.3
    seen = [record["evaluation"] for record in queue.progress(folder) if "evaluation" in record]
    assert len(seen) == recipe.evaluations
    assert seen[-1]["pgd"] > seen[0]["pgd"], "one sees it grow"
    assert standard.metrics["clean"] > 0.9


# --- estimates ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("defense", ["standard", "fgsm", "trades"])
def test_an_estimate_is_near_the_time_it_takes(defense: str) -> None:
    values = {
        "images": None,
        "epochs": 3,
        "defense": defense,
        "epsilon": 0.0 if defense == "standard" else 0.1,
        "evaluations": 3,
    }
    recipe = replace(TINY, **values)
    told = estimate.estimate(recipe, device=CPU, precision="fp32")
    began = time.perf_counter()
    *_, last = loop.train(recipe, device=CPU, precision="fp32")
    took = time.perf_counter() - began
    assert told.steps == last.steps
    # A factor of five: the machine may get busy between the two.
    assert took / 5 < told.training + told.watching < took * 5


def test_an_estimate_is_quick_and_grows_with_the_work() -> None:
    estimate.estimate(TINY, device=CPU, precision="fp32")  # imports what training imports
    began = time.perf_counter()
    short = estimate.estimate(TINY, device=CPU, precision="fp32")
    assert time.perf_counter() - began < 8, "two seconds, on a machine that may be busy"
    long = estimate.estimate(replace(TINY, epochs=200, defense="pgd", epsilon=0.1), device=CPU, precision="fp32")
    assert long.training > 20 * short.training
    assert short.steps == 4 * 2
    assert long.seconds == long.start + long.training + long.watching + long.figures
    assert long.sentence.startswith("About ")
    assert "800 training steps" in long.sentence


def test_an_estimate_of_a_heavy_network_takes_no_longer() -> None:
    recipe = Recipe(dataset="digits", architecture="preact_resnet18", defense="trades", epsilon=0.1, batch_size=512, epochs=5)
    began = time.perf_counter()
    told = estimate.estimate(recipe, device=CPU, precision="fp32")
    assert time.perf_counter() - began < 20
    assert told.training > 20


def test_an_estimate_leaves_nothing_behind() -> None:
    estimate.estimate(TINY, device=CPU)
    assert not checkpoints.runs_root().exists()


def test_the_images_are_counted_where_they_lie(data_folder: Path) -> None:
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
def test_durations_as_people_say_them(seconds: float, words: str) -> None:
    assert estimate.duration(seconds) == words
