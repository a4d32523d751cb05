"""The activity `eyes`: the person says from which ε on they see a change; then the model's answers are shown."""

from __future__ import annotations

import math

import streamlit as st

from advcore import attacks, data
from advcore.evaluation.scrub import Scrub
from ui import load
from ui.components import left_at
from ui.components.scrubber import Side, scrubber
from ui.frame import turn
from ui.lessons.lesson import Activity, Found, Lesson
from ui.words import epsilon_text, role, role_colour


class Eyes(Activity):
    """FGSM on the first image that the model gets right and on which FGSM fools it at the dataset's usual ε."""

    settings = ("model",)

    def act(self, lesson: Lesson) -> None:
        """Two pictures and a button; after a click, the model's answers too."""
        with st.spinner("Attacking …", show_time=True):
            index, seen = _attacked(lesson)
        model, at = load.find(lesson.settings["model"]), _seen_at(lesson)
        info = data.dataset(model.dataset)
        defense = model.recipe.defense
        scope, stands = f"lesson {lesson.id}", f"{turn()} {at}"
        left = scrubber(
            [Side(role(defense), model.title, role_colour(defense), seen)],
            load.dataset(info.name).class_names,
            epsilon=at or 0.0,
            usual=info.epsilon,
            link=False,
            bare=at is None,
            turn=stands,
            key=scope,
        )
        if at is None:
            st.button(
                "I see a change now",
                icon=":material/visibility:",
                type="primary",
                disabled=left.epsilon == 0,
                help="Drag ε first." if left.epsilon == 0 else None,
                on_click=_saw,
                args=(lesson, scope, stands),
            )
        else:
            found = self.found(lesson)
            assert found is not None
            st.markdown(found.said)
            st.button("Look again", icon=":material/replay:", on_click=lambda: st.session_state.pop(_key(lesson), None))
        st.caption(f"Test image {index} of {info.title}, FGSM. Images: {info.credit}.")

    def found(self, lesson: Lesson) -> Found | None:
        """The ε at which the person saw the change, divided by the smallest ε that fools the model."""
        at = _seen_at(lesson)
        if at is None:
            return None
        limit = _attacked(lesson)[1].smallest_epsilon
        if math.isinf(limit):
            return Found(0.0, f"You saw the change at **ε = {epsilon_text(at)}**; FGSM did not fool the model at any ε.")
        return Found(
            at / limit,
            f"You saw the change at **ε = {epsilon_text(at)}**; the model was first fooled at **ε = {epsilon_text(limit)}**.",
        )

    def full_page(self, lesson: Lesson) -> tuple[str, str, dict[str, str]]:
        """The image on the Attack page."""
        index, seen = _attacked(lesson)
        model, limit = load.find(lesson.settings["model"]), seen.smallest_epsilon
        query = {"dataset": model.dataset, "a": model.id, "attack": "fgsm", "image": str(index)}
        return "This image on the Attack page", "", query | ({} if math.isinf(limit) else {"epsilon": f"{limit:.6g}"})


def _attacked(lesson: Lesson) -> tuple[int, Scrub]:
    """The image's index, and its answers at every ε."""
    model = load.find(lesson.settings["model"])
    info = data.dataset(model.dataset)
    with load.interactive():
        index, _ = load.striking(model, model, info.epsilon)
        return index, load.scrubbed(load.image_attack(model, index, attacks.FGSM()), info.epsilons)


def _saw(lesson: Lesson, scope: str, stands: str) -> None:
    # Where the track stands at the click, which may be further than when the button was drawn.
    if epsilon := left_at(scope, stands).get("epsilon"):
        st.session_state[_key(lesson)] = epsilon


def _key(lesson: Lesson) -> str:
    return f"seen in {lesson.id}"


def _seen_at(lesson: Lesson) -> float | None:
    """The ε at which the person saw a change."""
    return st.session_state.get(_key(lesson))
