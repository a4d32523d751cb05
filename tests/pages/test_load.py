"""What pages share of the models: a file may come or go between two looks at the listing."""

from __future__ import annotations

import pytest

from advcore import attacks, data
from advcore.errors import CheckpointError
from advcore.models import checkpoints
from advcore.recipe import Recipe
from ui import load, measured

RECIPE = Recipe(dataset="digits", architecture="digits_cnn", seed=5)


def save_own() -> checkpoints.Checkpoint:
    """A model among the user's own, as a training that has just ended leaves it."""
    path, names = checkpoints.free_path(RECIPE.checkpoint_id), data.dataset("digits").class_names
    model = checkpoints.build(RECIPE, (1, 8, 8), 10)
    checkpoints.save(path, model, RECIPE, shape=(1, 8, 8), class_names=names, metrics={}, provenance={})
    return checkpoints.read(path, own=True)


def test_a_model_younger_than_the_listing_is_attacked_and_measured() -> None:
    assert load.catalog()
    made = save_own()
    assert made.id not in load.catalog()
    seen = load.scrubbed(load.image_attack(made, 0, attacks.FGSM()), (0.0, 0.1))
    assert seen.shares.shape == (2, 10)
    assert load.striking(made, made, 0.1)[1] >= 0.1
    assert measured.curve(made.id, attacks.FGSM(), (0.0,)).checkpoint_id == made.id


def test_a_model_that_is_gone_is_a_sentence() -> None:
    made = save_own()
    asked = load.image_attack(made, 0, attacks.FGSM())
    made.path.unlink()
    load.read_again()
    for look in (
        lambda: load.model(made),
        lambda: load.image_attack(made, 0, attacks.FGSM()),
        lambda: load.scrubbed(asked, (0.0, 0.1)),
        lambda: measured.curve(made.id, attacks.FGSM(), (0.0,)),
    ):
        with pytest.raises(CheckpointError) as error:
            look()
        assert made.id in str(error.value)
