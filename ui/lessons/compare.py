"""The activity `compare`: two attacks of the same ε on one model; the question is about the second."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from advcore import attacks, data
from advcore.evaluation.curves import Predictions, predictions
from advcore.evaluation.scrub import coarse
from advcore.models.checkpoints import Checkpoint
from ui import load
from ui.charts import Trace
from ui.components.curve import curve
from ui.components.scrubber import Side, scrubber
from ui.frame import number, remember, turn
from ui.lessons.lesson import Activity, Found, Lesson
from ui.words import OTHERS, STANDARD, epsilon_text

IMAGES = 100
STEPS = 4
COLOURS = (STANDARD, OTHERS[0])


class Compare(Activity):
    """Counted on the first test images that the model gets right; shown on one on which only one attack fools it."""

    settings = ("model", "epsilon", "attacks")

    def before(self, lesson: Lesson) -> str:
        """How many images the first attack fools."""
        first = _count(lesson, lesson.attacks[0])
        return f"Measured just now: at ε = {epsilon_text(lesson.epsilon)}, {_told(first)}"

    def act(self, lesson: Lesson) -> None:
        """The same image under both attacks, a card each."""
        model = load.find(lesson.settings["model"])
        info = data.dataset(model.dataset)
        index, grid = _telling(lesson), coarse(info.epsilons)
        sides = []
        with load.interactive():
            for name, colour in zip(lesson.attacks, COLOURS, strict=True):
                attack = attacks.attack_named(name)
                scrub = load.scrubbed(load.image_attack(model, index, attack), grid)
                sides.append(Side(_title(name), model.title, colour, scrub))
        left = scrubber(
            sides,
            load.dataset(info.name).class_names,
            epsilon=number("epsilon", 0, info.epsilon_max, lesson.epsilon, scope=lesson.id),
            usual=info.epsilon,
            turn=turn(),
            key=f"lesson {lesson.id}",
        )
        remember(lesson.id, epsilon=left.epsilon)
        st.caption(f"Test image {index} of {info.title}. Images: {info.credit}.")

    def found(self, lesson: Lesson) -> Found | None:
        """The share, in percent, of the images that the second attack fools."""
        first, second = (_count(lesson, name) for name in lesson.attacks)
        share = 100 * second.fooled / second.known if second.known else 0.0
        return Found(share, f"At ε = {epsilon_text(lesson.epsilon)}, {_told(second)} {_told(first)}")

    def after(self, lesson: Lesson) -> None:
        """Both curves."""
        seen = [_predictions(lesson, name) for name in lesson.attacks]
        traces = [Trace(_title(name), colour) for name, colour in zip(lesson.attacks, COLOURS, strict=True)]
        curves = [(trace, part.curve) for trace, part in zip(traces, seen, strict=True)]
        curve(curves, epsilon=lesson.epsilon, key=f"curves {lesson.id}")
        model = load.find(lesson.settings["model"])
        st.caption(
            f"{model.title}: the first {len(seen[0]):,} test images of {data.dataset(model.dataset).title}; bands: 95 %."
        )

    def full_page(self, lesson: Lesson) -> tuple[str, str, dict[str, str]]:
        """The image on the Attack page, under the second attack."""
        model = load.find(lesson.settings["model"])
        query = {"dataset": model.dataset, "a": model.id, "epsilon": f"{lesson.epsilon:.6g}"}
        query["image"] = str(_telling(lesson))
        second = lesson.attacks[1]
        noise = isinstance(attacks.attack_named(second), attacks.UniformNoise)  # there it is a button, not an attack
        return "This image on the Attack page", "", query | ({"noise": "1"} if noise else {"attack": second})


@dataclass(frozen=True)
class _Count:
    """On how many of the images that a model gets right an attack fools it."""

    title: str
    known: int
    fooled: int


def _title(name: str) -> str:
    return attacks.title(attacks.attack_named(name))


def _told(count: _Count) -> str:
    return f"**{count.title}** fools the model on **{count.fooled} of the {count.known}** images that it gets right."


def _count(lesson: Lesson, name: str) -> _Count:
    seen = _predictions(lesson, name)
    right = seen.predicted == seen.labels
    known, kept = right[0], right[seen.epsilons.index(lesson.epsilon)]
    return _Count(_title(name), int(known.sum()), int((known & ~kept).sum()))


def _telling(lesson: Lesson) -> int:
    """The first image that the model gets right and on which only one attack fools it; else the first it gets right."""
    seen = [_predictions(lesson, name) for name in lesson.attacks]
    first, second = (part.predicted == part.labels for part in seen)
    place = seen[0].epsilons.index(lesson.epsilon)
    telling = first[0] & (first[place] != second[place])
    return int((telling if telling.any() else first[0]).int().argmax())


def _predictions(lesson: Lesson, name: str) -> Predictions:
    """The model's answers to the first test images under an attack, from ε = 0 to twice the lesson's."""
    model = load.find(lesson.settings["model"])
    grid = tuple(sorted({*data.even_epsilons(min(2 * lesson.epsilon, 1.0), STEPS), lesson.epsilon}))
    source, changed = data.find(model.dataset), load.written(model)
    with st.spinner("Attacking …", show_time=True), load.interactive():
        return _answers(model.id, changed, source, attacks.attack_named(name), grid)


@st.cache_data(show_spinner=False, max_entries=32)
def _answers(
    checkpoint_id: str, changed: float, source: data.Source, attack: attacks.Attack, grid: tuple[float, ...]
) -> Predictions:
    model: Checkpoint = load.find(checkpoint_id)
    some = load.dataset(model.dataset)[:IMAGES]
    first, *others = predictions(load.model(model), some, attack, grid, precision="fp32")
    return sum(others, first)
