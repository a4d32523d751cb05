"""Recipes to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from advcore import data
from advcore.errors import AdvcoreError
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES
from advcore.recipe import Recipe
from advcore.training import loop, presets

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


def test_the_quick_one_takes_few_steps_and_defends() -> None:
    """300 steps of a small network: well under a minute; one sees PGD accuracy rise."""
    recipe = presets.quick("digits").recipe
    *_, last = loop.train(recipe, device=CPU, precision="fp32")
    assert last.steps == 300
    seen = last.history
    assert len(seen) == recipe.evaluations
    assert seen[-1].clean > 0.9
    assert seen[-1].pgd > max(0.3, seen[0].pgd)
