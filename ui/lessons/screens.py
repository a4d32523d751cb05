"""A lesson as screens of a presentation, with notes for the teacher."""

from __future__ import annotations

from ui.deck import MOST_NOTES, MOST_TITLE, Deck, Screen
from ui.lessons.lesson import Lesson
from ui.lessons.reading import SECTIONS


def screens(lesson: Lesson) -> Deck:
    """A screen for each step; they share one session, so that the last one knows the answers."""
    notes = (
        f"Goal: {lesson.goal}\nLet everyone choose an answer before you go on.",
        lesson.instructions,
        f"{lesson.explanation}\n\nSource: {' '.join(lesson.source)}",
    )
    return tuple(
        Screen("learn", {"lesson": lesson.id, "step": name.lower()}, f"{lesson.title} · {name}"[:MOST_TITLE], text[:MOST_NOTES])
        for name, text in zip(SECTIONS, notes, strict=True)
    )
