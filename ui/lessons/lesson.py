"""What a lesson is, and what an activity has to offer it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from advcore.errors import AdvcoreError


class LessonError(AdvcoreError):
    """A lesson's file is broken; the message names the file and the line."""


@dataclass(frozen=True)
class Answer:
    """An answer to a lesson's question, right when the measured figure lies in [low, high)."""

    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Lesson:
    """A lesson from its file. The texts are Markdown; `source` is the source's name and its address.

    `settings` are what the activity asks for. The ranges of `answers` join: each begins where the one before ends.
    """

    id: str
    title: str
    goal: str
    activity: str
    settings: Mapping[str, str]
    source: tuple[str, str]
    question: str
    answers: tuple[Answer, ...]
    instructions: str
    explanation: str

    def right(self, figure: float) -> int:
        """The place of the answer whose range has the measured figure; the last one for larger figures."""
        return next((place for place, answer in enumerate(self.answers) if figure < answer.high), len(self.answers) - 1)

    @property
    def epsilon(self) -> float:
        """The setting `epsilon`, L∞ in pixel space."""
        return float(self.settings["epsilon"])

    @property
    def attacks(self) -> Sequence[str]:
        """The names of the attacks in the setting `attacks`."""
        return [name.strip() for name in self.settings["attacks"].split(",")]


@dataclass(frozen=True)
class Found:
    """What an activity measured: the figure that the answers are about, and the same in a sentence (Markdown)."""

    figure: float
    said: str


class Activity(ABC):
    """What a person does in a lesson, on the app's own components. `settings` are the names that its lessons must give."""

    settings: ClassVar[tuple[str, ...]]

    def before(self, lesson: Lesson) -> str:
        """What is said before the question, in a sentence (Markdown), or nothing."""
        return ""

    @abstractmethod
    def act(self, lesson: Lesson) -> None:
        """Draw what the person tries out."""

    @abstractmethod
    def found(self, lesson: Lesson) -> Found | None:
        """What was measured; None until the person has done something to measure."""

    def after(self, lesson: Lesson) -> None:  # noqa: B027  a lesson may have nothing to draw there
        """Draw what belongs to the explanation."""

    @abstractmethod
    def full_page(self, lesson: Lesson) -> tuple[str, str, dict[str, str]]:
        """A page that shows the same: the words of the link, the page's path and its query."""
