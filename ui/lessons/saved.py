"""The activity `save`: a drawing is attacked and saved in several ways; which of the files still fool the model?"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
import torch
from torch import Tensor

from advcore import attacks, data
from advcore.attacks import probabilities
from advcore.device import pick_device
from advcore.images.saving import SAVINGS
from advcore.models.checkpoints import Checkpoint
from advcore.photos.examples import examples
from ui import load
from ui.lessons.lesson import Activity, Found, Lesson
from ui.photo import session
from ui.photo.models import network
from ui.photo.sources import Given, photo_from
from ui.pictures import Picture, pictures
from ui.words import DEFENDED, FOOLED, epsilon_text, markdown_safe, percent


class Saved(Activity):
    """FGSM at the lesson's ε; if this does not fool the model, at the first ε that does."""

    settings = ("model", "epsilon")

    def act(self, lesson: Lesson) -> None:
        """The drawing pad, and beside it the picture as attacked and after each way of saving it."""
        pad, seen = st.columns([1, 2], gap="medium")
        model = load.find(lesson.settings["model"])
        with pad:
            drawn = photo_from("draw", model.dataset)
            st.session_state[_key(lesson)] = drawn
            if drawn is None:
                st.caption("Until you draw one, the lesson attacks an example.")
        with seen:
            _show(_tried(lesson), model)

    def found(self, lesson: Lesson) -> Found | None:
        """The share of the ways of saving, in percent, after which the model is still fooled."""
        tried = _tried(lesson)
        if not tried.fools:
            return None
        lasting = [saving.title for saving, answer in zip(SAVINGS, tried.answers[1:], strict=True) if tried.fooled(answer)]
        which = f" ({', '.join(lasting)})" if lasting else ""
        return Found(
            100 * len(lasting) / len(SAVINGS),
            f"At ε = {epsilon_text(tried.epsilon)}, the model is still fooled after **{len(lasting)} of {len(SAVINGS)}** ways "
            f"of saving the picture{which}.",
        )

    def after(self, lesson: Lesson) -> None:
        """The pictures again."""
        _show(_tried(lesson), load.find(lesson.settings["model"]))

    def full_page(self, lesson: Lesson) -> tuple[str, str, dict[str, str]]:
        """The picture on the page Your image."""
        model = load.find(lesson.settings["model"])
        query = {"dataset": model.dataset, "a": model.id}
        if st.session_state.get(_key(lesson)) is not None:
            return "Your drawing on the page Your image", "your_image", query | {"source": "draw"}
        return "This picture on the page Your image", "your_image", query | {"example": _example(model).id}


@dataclass(frozen=True, eq=False)
class _Tried:
    """A picture attacked at `epsilon`, then saved: pixels (C×H×W) and probabilities (K), the first without being saved."""

    epsilon: float
    label: int
    pixels: list[Tensor]
    answers: list[Tensor]

    def fooled(self, answer: Tensor) -> bool:
        return int(answer.argmax()) != self.label

    @property
    def fools(self) -> bool:
        return self.fooled(self.answers[0])


def _key(lesson: Lesson) -> str:
    return f"drawing of {lesson.id}"


def _example(model: Checkpoint) -> Given:
    item = examples(model.dataset)[0]
    return Given(item.id, session.example(model.dataset, item.id), item.label, item.credit)


def _tried(lesson: Lesson) -> _Tried:
    """The drawing, or an example until there is one, attacked and saved."""
    model = load.find(lesson.settings["model"])
    given = st.session_state.get(_key(lesson)) or _example(model)
    framed = session.frame_photo(given.id, given.photo, model)
    grid = tuple(sorted({*data.dataset(model.dataset).epsilons, lesson.epsilon}))

    def attack() -> _Tried:
        with load.interactive():
            seen = session.attack_views([model], framed, attacks.FGSM(), None, grid)[0].attack
            place = grid.index(lesson.epsilon)
            lost = seen.answers != seen.label
            if not lost[place] and lost.any():
                place = int(lost.int().argmax())
            first = seen.attacked(place)[0]
            pixels = [first, *(saving.apply(first) for saving in SAVINGS)]
            answers = probabilities(network(model), torch.stack(pixels).to(pick_device())).cpu()
            return _Tried(grid[place], seen.label, pixels, list(answers))

    return session.made(("lesson", given.id, framed.framing, model.id, lesson.epsilon), attack)


def _show(tried: _Tried, model: Checkpoint) -> None:
    """Every version of the picture with the model's answer."""
    names = model.class_names
    if not tried.fools:
        st.info("FGSM does not fool the model on this drawing at any ε. Draw another one.", icon=":material/draw:")
        return
    st.markdown(
        f"Without an attack the model says **{markdown_safe(names[tried.label])}**. Attacked with FGSM at "
        f"ε = {epsilon_text(tried.epsilon)}, and then saved:"
    )
    shown = []
    for what, pixels, answer in zip(
        ("not saved", *(saving.title for saving in SAVINGS)), tried.pixels, tried.answers, strict=True
    ):
        verdict, colour = ("✗ FOOLED", FOOLED) if tried.fooled(answer) else ("✓ HELD", DEFENDED)
        shown.append(Picture(pixels, what, f"{names[int(answer.argmax())]} · {percent(float(answer.max()))}", verdict, colour))
    pictures(shown, "saved")
    st.caption("Simulated print: blurred by 0.6 pixels, 80 % of the contrast, with grain. A real print differs.")
