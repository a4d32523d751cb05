"""Held-out images: how they are chosen, and what their accuracies say about a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from advcore import data
from advcore.errors import RecipeError
from advcore.recipe import Recipe
from advcore.training import watch
from advcore.training.watch import Evaluation

TINY: dict[str, Any] = {"dataset": "digits", "architecture": "digits_cnn"}


@pytest.fixture(scope="module")
def digits_train() -> data.LabeledImages:
    return data.load("digits", "train")


def test_images_of_one_group_are_held_out_together(digits_train: data.LabeledImages) -> None:
    """Twenty groups of thirty: 100 images held out touch four groups, whose other images are not trained on either."""
    groups = torch.arange(600) % 20
    used, held = watch.split_held_out(replace(digits_train[:600], groups=groups), Recipe(**{**TINY, "held_out": 100}))
    assert used.groups is not None
    assert held.groups is not None
    assert (len(held), len(held.groups.unique()), len(used)) == (100, 4, 16 * 30)
    assert not set(used.groups.tolist()) & set(held.groups.tolist())


def test_held_out_images_are_apart_and_always_the_same(digits_train: data.LabeledImages) -> None:
    marked = replace(digits_train, labels=torch.arange(len(digits_train)))
    recipe = Recipe(**TINY, images=500, held_out=100)
    used, held = watch.split_held_out(marked, recipe)
    assert (len(used), len(held)) == (400, 100)
    assert set(used.labels.tolist()) | set(held.labels.tolist()) == set(range(500))
    again = watch.split_held_out(marked, replace(recipe, seed=5))[1]
    assert torch.equal(held.labels, again.labels), "another seed is watched on the same images"


@pytest.mark.parametrize("held_out", [300, 1437])
def test_too_many_held_out_images_are_refused(held_out: int, digits_train: data.LabeledImages) -> None:
    with pytest.raises(RecipeError, match="held out"):
        watch.split_held_out(digits_train[:300], Recipe(**TINY, held_out=held_out))


def history(*figures: tuple[float, float, float]) -> list[Evaluation]:
    return [Evaluation(10 * step, *three, 0.3, 256) for step, three in enumerate(figures, 1)]


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ([], None),
        ([(0.9, 0.2, 0.1)], None),
        ([(0.9, 0.6, 0.55), (0.92, 0.7, 0.6)], None),
        ([(0.9, 0.6, 0.55), (0.92, 0.9, 0.1)], "catastrophic overfitting"),
        ([(0.9, 0.6, 0.55), (0.8, 0.97, 0.1)], "label leaking"),
        ([(0.9, 0.8, 0.4)], "masked"),
        ([(0.9, 0.9, 0.1), (0.9, 0.6, 0.5)], None),
    ],
    ids=["nothing yet", "undefended", "robust", "collapsed", "leaking", "masked", "mended"],
)
def test_overfitting_is_said_in_words(figures: list[tuple[float, float, float]], words: str | None) -> None:
    found = watch.overfitting(history(*figures))
    assert found is None if words is None else words in found
    assert watch.collapsed(history(*figures)) == (words in {"catastrophic overfitting", "label leaking"})


@pytest.mark.parametrize(
    ("accuracies", "good"),
    [
        ([0.5], True),
        ([0.5, 0.44], False),
        ([0.5, 0.46], True),  # one standard error on 100 images: 0.05
        ([0.5, 0.3, 0.6, 0.556], True),  # 0.049 below 0.6
        ([0.5, 0.3, 0.6, 0.55], False),
        ([0.0, 0.0], True),
    ],
)
def test_what_is_as_good_as_the_best(accuracies: list[float], good: bool) -> None:
    history = [Evaluation(step, 0.9, pgd, pgd, 0.1, 100) for step, pgd in enumerate(accuracies)]
    assert watch.as_good_as_its_best(history) is good


@pytest.mark.parametrize(("evaluations", "wanted"), [(0, set()), (1, {7}), (3, {2, 5, 7}), (100, set(range(1, 8)))])
def test_evaluations_are_spread_over_the_run_and_end_it(evaluations: int, wanted: set[int]) -> None:
    assert watch.evaluation_steps(Recipe(**TINY, evaluations=evaluations), 7) == wanted
    assert watch.evaluation_steps(Recipe(**TINY, evaluations=evaluations, held_out=0), 7) == set()
