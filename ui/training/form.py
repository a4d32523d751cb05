"""The controls of a Recipe: a preset fills them in, each can be changed, and the recipe as a whole is validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from advcore import data
from advcore.defenses import DEFENSES
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES
from advcore.recipe import AUGMENTATIONS, OPTIMIZERS, SCHEDULES, SETTINGS, Recipe
from ui.pickers import epsilon_field
from ui.words import epsilon_text

_BASIC = ("epochs", "batch_size", "images")
_ADVANCED = ("weight_decay", "label_smoothing", "averaging", "held_out", "evaluations", "seed")


def fill(recipe: Recipe) -> None:
    """Set every control to the recipe's value."""
    for name in Recipe.__dataclass_fields__:
        value = getattr(recipe, name)
        st.session_state[_key(name)] = list(value) if isinstance(value, tuple) else value
    st.session_state[_key("epsilon")] = recipe.epsilon or data.dataset(recipe.dataset).epsilon


def forget() -> None:
    """Drop the values of the controls; the form fills them in again when it is drawn next."""
    for name in Recipe.__dataclass_fields__:
        st.session_state.pop(_key(name), None)


def drawn_before() -> bool:
    """Whether the controls have values: Streamlit drops those of controls that a run does not draw."""
    return _key("defense") in st.session_state


def recipe_form(
    info: data.Dataset, architecture: str, known: dict[str, checkpoints.Checkpoint], warm_start: str | None
) -> dict[str, Any]:
    """Draw the main controls; returns their fields of the recipe."""
    values: dict[str, Any] = {"dataset": info.name, "architecture": architecture, "warm_start": warm_start}
    first, second = st.columns([2, 1])
    values["defense"] = first.selectbox(
        "Defense", list(DEFENSES), format_func=lambda name: DEFENSES[name].title, key=_key("defense")
    )
    defense = DEFENSES[values["defense"]]
    first.caption(defense.described)
    if defense.epsilon != "none":
        values["epsilon"] = _number(second, "epsilon")
        second.caption(f"ε = {epsilon_text(values['epsilon'])}")
    if defense.needs_teacher:
        names, key = list(known), _key("teacher")
        if st.session_state.get(key) not in names and names:
            st.session_state[key] = names[0]
        values["teacher"] = st.selectbox("Teacher", names, format_func=lambda name: known[name].title, key=key)
    return values | _numbers(_BASIC)


def advanced(architecture: str, defense: str) -> dict[str, Any]:
    """Draw the advanced controls; returns their fields of the recipe."""
    one, two, three = st.columns(3)
    values: dict[str, Any] = {
        "optimizer": _choice(one, "optimizer", OPTIMIZERS),
        "learning_rate": _number(two, "learning_rate"),
        "schedule": _choice(three, "schedule", SCHEDULES),
        "augment": st.multiselect("Augmentation", list(AUGMENTATIONS), format_func=AUGMENTATIONS.get, key=_key("augment")),
    }
    width = ("width",) if ARCHITECTURES[architecture].default_width is not None else ()
    before = () if defense == "standard" else ("standard_epochs",)
    again = () if values["schedule"] == "constant" else ("restart",)
    values |= _numbers((*_ADVANCED, *again, *before, *(setting.name for setting in DEFENSES[defense].settings), *width))
    values["keep_best"] = st.toggle("Keep the latest weights whose PGD accuracy is as good as the best", key=_key("keep_best"))
    return values


def _numbers(names: tuple[str, ...]) -> dict[str, Any]:
    """Three number controls a row."""
    columns = st.columns(3)
    return {name: _number(columns[index % 3], name) for index, name in enumerate(names)}


def _number(place: DeltaGenerator, name: str) -> float | None:
    """The control of one of the recipe's numbers, as its `Setting` describes it."""
    setting = SETTINGS[name]
    if setting.epsilon:
        empty = setting.empty or None
        return epsilon_field(place, setting.title, setting.low, setting.high, key=_key(name), empty=empty, help=setting.help)
    if setting.digits:
        look = {"min_value": float(setting.low), "max_value": float(setting.high), "format": f"%.{setting.digits}f"}
    else:
        look = {"min_value": setting.low, "max_value": setting.high}
    return place.number_input(
        setting.title,
        step=setting.step,
        key=_key(name),
        help=setting.help or None,
        placeholder=setting.empty or None,
        **look,
    )


def _choice(place: DeltaGenerator, name: str, titles: Mapping[str, str]) -> str:
    return place.selectbox(name.capitalize(), list(titles), format_func=titles.get, key=_key(name))


def _key(name: str) -> str:
    return f"recipe {name}"
