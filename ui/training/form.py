"""The controls of a Recipe: a preset fills them in, each can be changed, and what they say is validated as a whole."""

from __future__ import annotations

from typing import Any

import streamlit as st

from advcore import data
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES
from advcore.recipe import AUGMENTATIONS, DEFENSES, OPTIMIZERS, SCHEDULES, Recipe
from ui.words import epsilon_text

ATTACKED = ("fgsm", "fgsm_rs", "pgd", "trades", "distill")
DEFENSE_TITLES = {
    "standard": "Standard: none",
    "fgsm": "FGSM, as the studies do it",
    "fgsm_rs": "FGSM from a random start",
    "pgd": "PGD",
    "trades": "TRADES",
    "distill": "Defensive distillation",
}
_AUGMENT_TITLES = {"flip": "mirror left-right", "rotate": "turn up to 15°", "crop": "shift up to an eighth"}


def fill(recipe: Recipe) -> None:
    """Set every control to what the recipe says."""
    for name in Recipe.__dataclass_fields__:
        value = getattr(recipe, name)
        st.session_state[_key(name)] = list(value) if isinstance(value, tuple) else value
    st.session_state[_key("epsilon")] = recipe.epsilon or data.dataset(recipe.dataset).epsilon


def drawn_before() -> bool:
    """Whether the controls still hold their values: Streamlit forgets those of controls that a run does not draw."""
    return _key("defense") in st.session_state


def _key(name: str) -> str:
    return f"recipe {name}"


def recipe_form(
    info: data.Dataset, architecture: str, known: dict[str, checkpoints.Checkpoint], warm_start: str | None
) -> dict[str, Any]:
    """Draw the controls; returns the recipe's fields as they now stand."""
    values: dict[str, Any] = {"dataset": info.name, "architecture": architecture, "warm_start": warm_start}
    first, second = st.columns([2, 1])
    values["defense"] = first.selectbox("Defense", list(DEFENSES), format_func=DEFENSE_TITLES.get, key=_key("defense"))
    first.caption(DEFENSES[values["defense"]])
    if values["defense"] in ATTACKED:
        values["epsilon"] = second.number_input(
            "ε of the training attack",
            0.0,
            1.0,
            step=0.01,
            format="%.4f",
            key=_key("epsilon"),
            help="L∞, in pixel space: 8/255 = 0.0314",
        )
        second.caption(f"ε = {epsilon_text(values['epsilon'])}")
    if values["defense"] == "distill":
        teacher, temperature = st.columns([2, 1])
        values["teacher"] = teacher.selectbox(
            "Teacher", list(known), format_func=lambda name: known[name].title, key=_known("teacher", list(known))
        )
        values["temperature"] = temperature.number_input("Temperature", 1.0, 1000.0, key=_key("temperature"))
    epochs, batch, images = st.columns(3)
    values["epochs"] = epochs.number_input("Epochs", 1, 10_000, key=_key("epochs"))
    values["batch_size"] = batch.number_input("Batch size", 1, 65_536, key=_key("batch_size"))
    values["images"] = images.number_input(
        "Images to use", 2, 10**6, step=1000, key=_key("images"), placeholder="all", help="Empty: the whole training split."
    )
    return values


def advanced(architecture: str, defense: str) -> dict[str, Any]:
    """Draw the controls few people need; returns the recipe's fields they stand for."""
    one, two, three = st.columns(3)
    values: dict[str, Any] = {
        "optimizer": one.selectbox("Optimizer", OPTIMIZERS, format_func=str.upper, key=_key("optimizer")),
        "learning_rate": two.number_input("Learning rate", 1e-7, 10.0, step=1e-4, format="%.5f", key=_key("learning_rate")),
        "schedule": three.selectbox(
            "Schedule", SCHEDULES, key=_key("schedule"), help="cyclic: up for 30 % of the run, then down to zero"
        ),
        "augment": st.multiselect("Augmentation", AUGMENTATIONS, format_func=_AUGMENT_TITLES.get, key=_key("augment")),
    }
    one, two, three = st.columns(3)
    values |= {
        "weight_decay": one.number_input("Weight decay", 0.0, 1.0, step=1e-4, format="%.5f", key=_key("weight_decay")),
        "label_smoothing": two.number_input("Label smoothing", 0.0, 0.9, step=0.05, key=_key("label_smoothing")),
        "averaging": three.number_input(
            "Weight averaging", 0.0, 0.9999, step=0.01, format="%.4f", key=_key("averaging"), help="Decay; 0 keeps the last."
        ),
        "held_out": one.number_input(
            "Held-out images", 0, 10_000, step=64, key=_key("held_out"), help="Kept apart from training to watch on."
        ),
        "evaluations": two.number_input("Times the accuracies are watched", 0, 1000, key=_key("evaluations")),
        "seed": three.number_input("Seed", 0, 2**31 - 1, key=_key("seed")),
    }
    if defense in {"pgd", "trades"}:
        values["attack_steps"] = one.number_input("Steps of the training attack", 1, 1000, key=_key("attack_steps"))
    if defense in {"fgsm_rs", "pgd", "trades"}:
        values["step_size"] = two.number_input(
            "Size of its steps", 1e-6, 1.0, step=0.001, format="%.4f", key=_key("step_size"), placeholder="by the study's rule"
        )
    if defense == "trades":
        values["trades_beta"] = three.number_input("β of TRADES", 0.0, 1000.0, key=_key("trades_beta"))
    if ARCHITECTURES[architecture].default_width is not None:
        values["width"] = three.number_input(
            "Width", 4, 256, key=_key("width"), placeholder=str(ARCHITECTURES[architecture].default_width)
        )
    values["keep_best"] = st.toggle("Keep the latest weights that hold PGD as the best did", key=_key("keep_best"))
    return values


def _known(name: str, options: list[str]) -> str:
    """The key of a control whose options come and go."""
    key = _key(name)
    if st.session_state.get(key) not in options and options:
        st.session_state[key] = options[0]
    return key
