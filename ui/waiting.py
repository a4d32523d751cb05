"""Results of the background worker that grow while a page is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from ui import visitor
from ui.measured import session
from ui.words import markdown_safe
from ui.worker import Task, worker


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
        errors = {task.key: error for task in tasks if (error := worker().error(task.key))}
        for error in dict.fromkeys(errors.values()):
            st.error(markdown_safe(error))
        now = results(tasks)
        if len(errors) < len(tasks):
            st.progress(*progress(now))
        if any(new is not old for new, old in zip(now, shown, strict=True)):
            st.rerun()

    watch()
