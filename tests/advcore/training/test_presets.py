"""Recipes to begin with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from advcore import attacks, data
from advcore.errors import AdvcoreError
from advcore.evaluation.curves import accuracy
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES
from advcore.recipe import Recipe
from advcore.training import loop, presets
from tests.conftest import REAL_DATA

CPU = torch.device("cpu")


@pytest.mark.parametrize("dataset", list(data.BUILT_IN))
def test_every_preset_can_be_built_and_described(dataset: str) -> None:
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
    for dataset in ("digits", "mnist", "fashion-mnist", "gtsrb"):
        offered = [name for name in presets.architectures(dataset) if presets.presets(dataset, name)[0].name == "quick"]
        assert offered == [presets.architectures(dataset)[0]]


@pytest.mark.parametrize("dataset", ["mnist", "gtsrb", "digits"])
def test_no_digit_and_no_traffic_sign_is_mirrored(dataset: str) -> None:
    for architecture in presets.architectures(dataset):
        recipes = [item.recipe for item in presets.presets(dataset, architecture)]
        assert not any("flip" in step for recipe in recipes for step in recipe.augment)


def test_only_networks_that_can_take_the_images_are_offered() -> None:
    assert "srivathsav_cnn" not in presets.architectures("digits")
    assert presets.architectures("digits")[0] == "digits_cnn"
    assert presets.architectures("mnist")[0] == "srivathsav_cnn"
    assert set(presets.architectures("cifar10")) == set(ARCHITECTURES)
    with pytest.raises(AdvcoreError):
        presets.architectures("nothing")


def test_presets_follow_the_papers() -> None:
    lee = presets.as_in_the_papers("mnist", "lee_cnn").recipe
    assert (lee.defense, lee.epsilon, lee.optimizer) == ("fgsm", 0.3, "adam")
    deepthi = presets.as_in_the_papers("cifar10", "even_deeper_cnn").recipe
    assert (deepthi.epsilon, deepthi.augment) == (0.5, ("flip", "rotate"))  # its ε = 1.0 lies in [−1, 1]
    chowdhury = presets.as_in_the_papers("cifar10", "general_cnn").recipe
    assert chowdhury.epsilon == 0.03
    assert presets.as_in_the_papers("mnist", "srivathsav_cnn").recipe.batch_size == 128


def test_srivathsav_continues_from_the_undefended_network(own_checkpoints: Path) -> None:
    assert presets.as_in_the_papers("mnist", "srivathsav_cnn").recipe.warm_start is None
    recipe = Recipe(dataset="mnist", architecture="srivathsav_cnn")
    model = checkpoints.build(recipe, (1, 28, 28), 10)
    path = own_checkpoints / "mnist" / "srivathsav_cnn-standard.safetensors"
    names = data.dataset("mnist").class_names
    checkpoints.save(path, model, recipe, shape=(1, 28, 28), class_names=names, metrics={}, provenance={})
    assert presets.as_in_the_papers("mnist", "srivathsav_cnn").recipe.warm_start == recipe.checkpoint_id


@pytest.mark.parametrize(
    ("dataset", "most", "attacked"),
    [("digits", 1.5, 1000), ("mnist", 1.5, 1000), ("fashion-mnist", 1.5, 1000), ("gtsrb", 4.0, 300)],
)
def test_the_quick_one_gains_much_under_pgd_and_loses_little(
    dataset: str, most: float, attacked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the standard model: at least 25 points more under PGD-10 at its ε, at most `most` points less on clean images."""
    if dataset != "digits":
        if REAL_DATA is None or not (REAL_DATA / dataset / "train.parquet").is_file():
            pytest.skip(f"needs the real images: set ADVCORE_DATA to a folder with {dataset}/train.parquet")
        monkeypatch.setenv("ADVCORE_DATA", str(REAL_DATA))
    preset = presets.quick(dataset)
    assert preset is not None
    recipe = preset.recipe
    start = checkpoints.find(f"{dataset}/{recipe.architecture}-standard")
    assert recipe.warm_start == start.id
    *_, last = loop.train(replace(recipe, evaluations=1), device=CPU)  # what is watched changes no weight
    assert last.model is not None
    test = data.load(dataset, limit=1000)

    def right(model: nn.Module, images: data.LabeledImages, epsilon: float) -> float:
        return 100 * accuracy(model, images, attacks.PGD(steps=10), epsilon, device=CPU, precision="fp32")

    models = [start.model(), last.model]
    before, after = (right(model, test[:attacked], recipe.epsilon) for model in models)
    assert after - before >= 25
    before, after = (right(model, test, 0.0) for model in models)
    assert round(after - before, 6) >= -most  # 88.6 − 90.1 is below −1.5 in floating point


def test_there_is_no_quick_one_without_the_model_it_starts_from(own_checkpoints: Path) -> None:
    assert presets.quick("digits") is None
    assert [item.name for item in presets.presets("digits")] == ["papers", "robust"]
