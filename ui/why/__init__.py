"""The parts of the page Why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from advcore import attacks, data
from advcore.evaluation.scrub import Scrub
from advcore.models.checkpoints import Checkpoint
from ui import load, visitor
from ui.measured import session
from ui.words import markdown_safe
from ui.worker import Task, worker


@dataclass(frozen=True, eq=False)
class Scene:
    """What the page was opened with: a test image, models A and B, and an attack (toward class `target`, or None)."""

    info: data.Dataset
    images: data.LabeledImages
    index: int
    models: tuple[Checkpoint, Checkpoint]
    known: dict[str, Checkpoint]
    attack_name: str
    attack: attacks.Attack
    target: int | None
    epsilon: float

    @property
    def label(self) -> int:
        """The image's true class."""
        return int(self.images.labels[self.index])

    @property
    def different(self) -> bool:
        """Whether A and B are two models."""
        return self.models[0].id != self.models[1].id

    def asked(self, model: Checkpoint) -> load.ImageAttack:
        """The attack on the image, made on this model."""
        return load.image_attack(model, self.index, self.attack, self.target)

    def seen(self, model: Checkpoint) -> Scrub:
        """The image under that attack at every ε of the track."""
        return load.scrubbed(self.asked(model), self.info.epsilons)


def results(tasks: Sequence[Task]) -> list[Any]:
    """What the background worker has found for each task so far; None where nothing is."""
    return [worker().result(task.key) for task in tasks]


def wait(part: str, tasks: Sequence[Task], shown: Sequence[Any], progress: Callable[[list[Any]], tuple[float, str]]) -> None:
    """Have the tasks done in the background while the page is open, and draw it again when more is found than is `shown`.

    `progress` says of results how far they are: a share and words.
    """

    @st.fragment(run_every=1.0)
    def watch() -> None:
        worker().ask((part, session()), tasks, group=visitor.group())
        for task in tasks:
            if error := worker().error(task.key):
                st.error(markdown_safe(error))
        now = results(tasks)
        st.progress(*progress(now))
        if any(new is not old for new, old in zip(now, shown, strict=True)):
            st.rerun()

    watch()
