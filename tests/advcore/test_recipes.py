"""The Recipe: whole through JSON and back, and one sentence for everything no training can have."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from advcore.errors import RecipeError
from advcore.recipe import AUGMENTATIONS, DEFENSES, OPTIMIZERS, SCHEDULES, Recipe
from advcore.training.shipped import SHIPPED, matching

LEAST: dict[str, Any] = {"dataset": "mnist", "architecture": "lee_cnn"}
FULL = Recipe(
    dataset="cifar10",
    architecture="preact_resnet18",
    defense="distill",
    epsilon=8 / 255,
    epochs=30,
    standard_epochs=9,
    restart=20,
    batch_size=256,
    seed=11,
    images=20_000,
    width=32,
    optimizer="sgd",
    learning_rate=0.1,
    schedule="cyclic",
    weight_decay=5e-4,
    label_smoothing=0.1,
    augment=("flip", "crop"),
    warm_start="cifar10/preact_resnet18-standard",
    attack_steps=10,
    step_size=2 / 255,
    trades_beta=5.0,
    teacher="cifar10/general_cnn-standard",
    temperature=40.0,
    sigma=0.5,
    averaging=0.999,
    keep_best=True,
    held_out=500,
    evaluations=20,
)


def sentence(error: pytest.ExceptionInfo[RecipeError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 600
    return message


# --- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe", [Recipe(**LEAST), FULL, *(item.recipe for item in SHIPPED)], ids=lambda recipe: recipe.checkpoint_id
)
def test_a_recipe_survives_json(recipe: Recipe) -> None:
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert again.to_json() == recipe.to_json()
    assert hash(again) == hash(recipe)


def test_every_field_makes_a_difference_and_survives() -> None:
    """A new field that JSON forgets would change a training unseen."""
    least = Recipe(**LEAST)
    assert set(FULL.to_dict()) == {item.name for item in dataclasses.fields(Recipe)}
    assert all(getattr(FULL, item.name) != getattr(least, item.name) for item in dataclasses.fields(Recipe))


def test_json_holds_what_differs_and_what_always_matters() -> None:
    always = {"dataset", "architecture", "defense", "epsilon", "epochs", "seed"}
    assert set(Recipe(**LEAST).to_dict()) == always
    assert set(Recipe(**LEAST, augment=("flip",), width=None).to_dict()) == {*always, "augment"}


def test_whole_numbers_do_for_fractions() -> None:
    recipe = Recipe.from_dict({**LEAST, "defense": "fgsm", "epsilon": 1, "temperature": 20})
    assert isinstance(recipe.epsilon, float)
    assert recipe == Recipe(**LEAST, defense="fgsm", epsilon=1.0)


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.epochs = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, "mnist/lee_cnn-standard"),
        ({"defense": "fgsm", "epsilon": 0.3}, "mnist/lee_cnn-fgsm-0.3"),
        ({"defense": "pgd", "epsilon": 8 / 255}, "mnist/lee_cnn-pgd-0.03137"),
        ({"defense": "distill", "teacher": "mnist/lee_cnn-standard"}, "mnist/lee_cnn-distill"),
    ],
)
def test_the_checkpoints_id_says_what_was_trained(values: dict[str, Any], wanted: str) -> None:
    assert Recipe(**LEAST, **values).checkpoint_id == wanted


def test_a_run_that_begins_undefended_has_two_parts() -> None:
    taught = {"defense": "distill", "teacher": "mnist/lee_cnn-standard", "epsilon": 0.1}
    recipe = Recipe(**LEAST, **taught, epochs=5, standard_epochs=2, restart=4)
    first, second = recipe.parts
    assert (first.defense, first.epsilon, first.teacher, first.epochs) == ("standard", 0.0, None, 2)
    assert second == dataclasses.replace(recipe, epochs=3, standard_epochs=0, restart=0)
    assert second.parts == (second,)


# --- what no training can have ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("epochs", 1, 10_000),
        ("batch_size", 1, 65_536),
        ("seed", 0, 2**31 - 1),
        ("width", 4, 256),
        ("learning_rate", 1e-7, 10),
        ("weight_decay", 0, 1),
        ("label_smoothing", 0, 0.9),
        ("attack_steps", 1, 1000),
        ("step_size", 1e-6, 1),
        ("trades_beta", 0, 1000),
        ("temperature", 0.01, 1000),
        ("averaging", 0, 0.99999),
        ("held_out", 0, 10_000),
        ("evaluations", 0, 1000),
    ],
)
def test_numbers_have_a_range(field: str, low: float, high: float) -> None:
    for value in (low, high):
        assert getattr(Recipe(**LEAST, **{field: value}), field) == value
    outside = (low - 1, high + 1) if isinstance(low, int) else (low / 2, high * 2)
    for value in outside:
        with pytest.raises(RecipeError) as error:
            Recipe(**LEAST, **{field: value})
        assert sentence(error).startswith(f"The recipe's {field} must lie between")


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan"), float("inf")])
def test_epsilon_is_in_pixel_space(epsilon: float) -> None:
    with pytest.raises(RecipeError, match="epsilon must lie between 0 and 1"):
        Recipe(**LEAST, defense="fgsm", epsilon=epsilon)


@pytest.mark.parametrize(
    ("field", "allowed"),
    [("defense", DEFENSES), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("augment", AUGMENTATIONS)],
)
def test_choices_are_named(field: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError) as error:
        Recipe.from_dict({**LEAST, field: ["nothing"] if field == "augment" else "nothing"})
    assert all(choice in sentence(error) for choice in allowed)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"defense": "fgsm"}, "'fgsm' needs an ε above 0"),
        ({"defense": "fgsm_rs"}, "'fgsm_rs' needs an ε above 0"),
        ({"defense": "pgd"}, "'pgd' needs an ε above 0"),
        ({"defense": "trades"}, "'trades' needs an ε above 0"),
        ({"defense": "standard", "epsilon": 0.1}, "'standard' trains on no attacked images"),
        ({"defense": "distill"}, "needs a teacher"),
        ({"defense": "n_fgsm"}, "'n_fgsm' needs an ε above 0"),
        ({"teacher": "mnist/lee_cnn-standard"}, "'standard' has no teacher"),
        ({"keep_best": True, "held_out": 0}, "needs held-out images and evaluations"),
        ({"keep_best": True, "evaluations": 0}, "needs held-out images and evaluations"),
        ({"defense": "n_fgsm", "epsilon": 0.1, "epochs": 3, "standard_epochs": 3}, "none is left for the defense"),
        ({"epochs": 3, "restart": 3}, "none is left after a restart at 3"),
        ({"images": 100}, "none is left to train on"),
        ({"images": 256, "held_out": 256}, "none is left to train on"),
    ],
)
def test_values_that_do_not_go_together(values: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError) as error:
        Recipe(**LEAST, **values)
    assert words in sentence(error)


# --- hostile JSON ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "7",
        '"recipe"',
        "{",
        "[" * 100_000,
        '{"dataset": ' * 100_000,
        '{"dataset": "mnist"}',
        '{"architecture": "lee_cnn"}',
        "\x00",
        b"\x80\x9c",
        "{'dataset': 'mnist'}",
        '{"dataset": "mnist", "architecture": "lee_cnn", "epochs": 1' + "0" * 5000 + "}",
    ],
    ids=lambda text: str(text[:12]) or "empty",
)
def test_json_that_is_no_recipe(text: str | bytes) -> None:
    with pytest.raises(RecipeError) as error:
        Recipe.from_json(text)
    sentence(error)


@pytest.mark.parametrize("name", ["epoch", "__class__", "__post_init__", "checkpoint_id", "x" * 5000, "two\nlines"])
def test_an_unknown_field_is_refused(name: str) -> None:
    with pytest.raises(RecipeError) as error:
        Recipe.from_dict({**LEAST, name: 1})
    assert "A recipe has no field" in sentence(error)


HOSTILE = [
    None,
    True,
    [],
    {},
    "",
    "9",
    "x" * 1000,
    -1,
    1.5,
    10**400,
    float("nan"),
    float("inf"),
    [1],
    ["flip", 1],
    ["\ud800"],
    {"a": 1},
    "\ud800",
    "a\nb",
]


@pytest.mark.parametrize("field", [item.name for item in dataclasses.fields(Recipe)])
def test_a_value_is_taken_or_refused_with_a_sentence(field: str) -> None:
    """Whatever a file holds in a field: a recipe that survives JSON, or RecipeError; no other error."""
    messages = []
    for value in HOSTILE:
        try:
            recipe = Recipe.from_dict({**LEAST, field: value})
        except RecipeError as error:
            messages.append(str(error))
        else:
            assert Recipe.from_json(recipe.to_json()) == recipe
    assert len(messages) > len(HOSTILE) / 2
    assert all("\n" not in message and len(message.encode()) < 600 for message in messages)


@pytest.mark.parametrize("field", ["epochs", "seed", "images", "width"])
def test_a_fraction_or_a_truth_is_no_whole_number(field: str) -> None:
    for value in (1.0, True, "1"):
        with pytest.raises(RecipeError, match=f"The recipe's {field} cannot be"):
            Recipe.from_dict({**LEAST, field: value})


# --- the recipes of what is shipped ----------------------------------------------------------------------------------


def test_shipped_recipes_have_ids_of_their_own() -> None:
    ids = [item.recipe.checkpoint_id for item in SHIPPED]
    assert len(set(ids)) == len(ids)
    for wanted in (
        "digits/digits_cnn-standard",
        "digits/digits_cnn-fgsm-0.2",
        "mnist/lee_cnn-standard",
        "mnist/lee_cnn-fgsm-0.3",
    ):
        assert wanted in ids


def test_shipped_recipes_are_found_by_pattern() -> None:
    assert {item.recipe.dataset for item in matching("digits/*")} == {"digits"}
    assert all("fgsm" in item.recipe.checkpoint_id for item in matching("*fgsm*"))
    assert matching("*") == list(SHIPPED)
    assert matching("nothing") == []
