"""The activity `train`: a training with the dataset's quick preset, and its model measured before and after."""

from __future__ import annotations

import streamlit as st

from advcore import data
from advcore.errors import AdvcoreError
from advcore.jobs import queue
from advcore.training import presets
from ui import visitor
from ui.actions import attempt
from ui.frame import asked_for, remember
from ui.lessons.lesson import Activity, Found, Lesson
from ui.training import job as job_views
from ui.words import epsilon_text, percent

ATTACK = "PGD-10"


class Train(Activity):
    """A training of this visitor's own, which the Retrain page shows too."""

    settings = ("dataset",)

    def act(self, lesson: Lesson) -> None:
        """A button, then the training as the Retrain page draws it."""
        job = _job(lesson)
        if job is not None:
            job_views.watched(job)
            return
        preset = presets.quick(lesson.settings["dataset"])
        if preset is None:
            st.info("The model that this training starts from is not on this machine.", icon=":material/inventory_2:")
            return
        st.caption(preset.about)
        start = {"on_click": _start, "args": (lesson, preset)}
        st.button("Start the training", icon=":material/play_arrow:", type="primary", **start)

    def found(self, lesson: Lesson) -> Found | None:
        """The accuracy of the new model under PGD-10 at the ε that it was trained at, in percent."""
        job = _job(lesson)
        made = None if job is None else job_views.made_by(job)
        if made is None:
            return None
        shown = job_views.comparison(made)
        if not shown.measured:
            return None
        accuracy = shown.accuracy(ATTACK, shown.epsilon)
        before = f"before the training it kept {percent(accuracy[0])}, " if len(accuracy) > 1 else ""
        return Found(
            100 * accuracy[-1],
            f"Under {ATTACK} at ε = {epsilon_text(shown.epsilon)}, {before}after it **{percent(accuracy[-1])}**, of "
            f"{shown.measured:,} test images of {data.dataset(made.dataset).title}.",
        )

    def full_page(self, lesson: Lesson) -> tuple[str, str, dict[str, str]]:
        """The training, or the form for one, on the Retrain page."""
        job = _job(lesson)
        query = {"dataset": lesson.settings["dataset"], "preset": "quick", "job": "new"} if job is None else {"job": job.id}
        return "The Retrain page", "retrain", query


def _start(lesson: Lesson, preset: presets.Preset) -> None:
    def start() -> None:
        st.session_state[_key(lesson)] = job_views.start(preset.recipe)

    attempt(start, failed="The training could not be started: ")


def _key(lesson: Lesson) -> str:
    return f"training of {lesson.id}"


def _job(lesson: Lesson) -> queue.Job | None:
    """The training that this visitor started here, unless it was deleted. The page's address names it, for a reload."""
    try:
        job = queue.find(asked_for("training") or st.session_state.get(_key(lesson), ""), visitor.owner())
    except AdvcoreError:
        remember(training=None)
        return None
    st.session_state[_key(lesson)] = job.id
    remember(training=job.id)
    return job
