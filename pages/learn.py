"""Learn: short lessons, each in three steps: predict, try, explain."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from ui import frame, share
from ui.frame import asked_for, chosen, heading, remember, remembered
from ui.lessons.activities import ACTIVITIES
from ui.lessons.lesson import Found, Lesson
from ui.lessons.reading import SECTIONS, lessons
from ui.links import link
from ui.words import epsilon_text, markdown_safe

ALL = "all"
STEPS = tuple(name.lower() for name in SECTIONS)
PREDICT, TRY, EXPLAIN = STEPS
_ANSWERS = "answers to lessons"
_CSS = """<style>
.steps { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; margin: 0 !important; padding: 0 !important; }
.steps li { margin: 0 !important; padding: .2rem .9rem; border-radius: 999px; border: 1px solid rgba(128,128,128,.5); }
.steps li[aria-current] { background: light-dark(#14202b, #e8eef3); color: light-dark(#fff, #10161c); font-weight: 650; }
.st-key-question p { font-size: 1.2rem; line-height: 1.5; font-weight: 600; max-width: 60rem; }
.answers { list-style: none; margin: 0 !important; padding: 0 !important; display: grid; gap: .45rem; }
.answers li { margin: 0 !important; padding: .5rem .8rem; border-radius: .6rem; border: 1px solid rgba(128,128,128,.35);
  border-left: 5px solid rgba(128,128,128,.5); display: flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: baseline; }
.answers .right { border-left-color: #009E73; border-width: 2px 2px 2px 5px; }
.answers .text { flex: 1 1 16rem; } .answers b { white-space: nowrap; }
.answers .bar { flex: 1 1 100%; height: .45rem; border-radius: 3px; background: rgba(128,128,128,.2); }
.answers .bar i { display: block; height: 100%; border-radius: 3px; background: light-dark(#00659C, #56B4E9); }
</style>"""


def page() -> None:
    """The list of lessons, or one step of one lesson."""
    found, problems = lessons()
    by_id = {lesson.id: lesson for lesson in found}
    picked = st.session_state[chosen("lesson", [ALL, *by_id], ALL)]
    if remembered().get("lesson", ALL) != picked:
        remember(training=None, epsilon=None)  # those of the lesson before
    if picked == ALL:
        overview(found)
    else:
        one_lesson(by_id[picked], found)
    for problem in problems:
        st.error(markdown_safe(problem), icon=":material/menu_book:")


def overview(found: Sequence[Lesson]) -> None:
    """The lessons, each with its goal."""
    remember(lesson=None, step=None)
    heading("Learn, a few minutes at a time")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "Each lesson has three steps: predict what will happen, try it yourself, then compare and read why.",
            width="content",
        )
        link("Show them to a class", "present", icon=":material/slideshow:")
    for place, lesson in enumerate(found, 1):
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"lesson-{place}"):
            st.markdown(f"## {place}. {markdown_safe(lesson.title)}\n{markdown_safe(lesson.goal)}", width="stretch")
            label, kind = "Go on" if _given(lesson)[-1] is not None else "Start", "primary" if place == 1 else "secondary"
            step = st.session_state.get(_step_key(lesson), PREDICT)
            step_button(label, lesson, step, "play_arrow", type=kind, key=f"start {lesson.id}", help=lesson.title)


def one_lesson(lesson: Lesson, found: Sequence[Lesson]) -> None:
    """The step of the lesson that is shown, with the buttons to the steps before and after it."""
    step = st.session_state[chosen("step", STEPS, PREDICT, key=_step_key(lesson))]
    remember(lesson=lesson.id)
    if _given(lesson) == [None] and (asked := asked_for("answer")) in map(str, range(len(lesson.answers))):
        _given(lesson)[0] = int(asked)  # a reload keeps the prediction
    remember(lesson.id, step=step, answer=_given(lesson)[-1])
    heading(markdown_safe(lesson.title))
    share.shows(f"{lesson.title} · {lesson.goal}")
    st.caption(f":material/flag: {markdown_safe(lesson.goal)}")
    names = "".join(
        f"<li{' aria-current=step' if name.lower() == step else ''}>{place} {name}</li>"
        for place, name in enumerate(SECTIONS, 1)
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(f'{_CSS}<ol class="steps" aria-label="Steps of this lesson">{names}</ol>', width="content")
        with st.container(key="aside", width="content"):
            back = {"icon": ":material/arrow_back:", "type": "tertiary"}
            st.button("All lessons", **back, on_click=lambda: st.session_state.update(lesson=ALL))
    # Each step has a place of its own. Those of the others are emptied: else parts of them would stay until this one is drawn.
    places = {name: st.container() if name == step else st.empty() for name in STEPS}
    with places[step]:
        {PREDICT: predict, TRY: try_it, EXPLAIN: explain}[step](lesson)
    frame.enough()
    if step == EXPLAIN:
        onward(lesson, found)


def go_to(lesson: Lesson, step: str) -> None:
    """Show a step of a lesson."""
    st.session_state.update({"lesson": lesson.id, _step_key(lesson): step})


def step_button(label: str, lesson: Lesson, step: str, icon: str = "arrow_forward", **more: Any) -> None:
    """A button that shows a step of a lesson; `more` are Streamlit's options."""
    st.button(label, icon=f":material/{icon}:", on_click=go_to, args=(lesson, step), **more)


def predict(lesson: Lesson) -> None:
    """The question and its answers, before anything is measured."""
    with st.container(key="question"):
        st.markdown(written(lesson, lesson.question))
    if known := ACTIVITIES[lesson.activity].before(lesson):
        st.markdown(known)
    key = f"answer {lesson.id} {len(_given(lesson))}"
    answer = st.radio(
        "Your prediction",
        range(len(lesson.answers)),
        index=_given(lesson)[-1],
        format_func=lambda place: markdown_safe(lesson.answers[place].text),
        key=key,
        on_change=answered,
        args=(lesson, key),
    )
    step_button("Try it", lesson, TRY, type="primary", disabled=answer is None)


def answered(lesson: Lesson, key: str) -> None:
    """Keep the answer."""
    _given(lesson)[-1] = st.session_state[key]


def try_it(lesson: Lesson) -> None:
    """The activity."""
    st.markdown(written(lesson, lesson.instructions))
    activity = ACTIVITIES[lesson.activity]
    activity.act(lesson)
    ready = "primary" if activity.found(lesson) else "secondary"
    with st.container(horizontal=True):
        step_button("Back", lesson, PREDICT, "arrow_back")
        step_button("Explain", lesson, EXPLAIN, type=ready)


def explain(lesson: Lesson) -> None:
    """What was measured, which answer is right by it, and why."""
    activity = ACTIVITIES[lesson.activity]
    found = activity.found(lesson)
    if found is None:
        st.info("Nothing has been measured yet. Go back to step 2 and try it first.", icon=":material/science:")
    else:
        compare(lesson, found)
    source, address = lesson.source
    st.markdown(f"## Why\n{written(lesson, lesson.explanation)}\n\nSource: [{markdown_safe(source)}]({address})")
    if found is not None:
        activity.after(lesson)


def compare(lesson: Lesson, found: Found) -> None:
    """The answers with their shares, the right one marked."""
    given = [answer for answer in _given(lesson) if answer is not None]
    right, own = lesson.right(found.figure), _given(lesson)[-1]
    verdict = "Measured" if own is None else "✓ You were right" if own == right else "✗ It came out differently"
    st.markdown(f"## {verdict}\n{found.said}")
    rows = "".join(_row(lesson, place, right, own, given) for place in range(len(lesson.answers)))
    st.html(f'{_CSS}<ul class="answers">{rows}</ul>')
    if len(given) > 1:
        st.caption(f"{len(given)} answers were given in this session; other visitors' are not counted.")


def _row(lesson: Lesson, place: int, right: int, own: int | None, given: Sequence[int]) -> str:
    """An answer as HTML: whether it is right, whether it is the person's own, and its share if several people answered."""
    marks = ["✓ right"] * (place == right) + ["your answer"] * (place == own)
    bar = ""
    if len(given) > 1:
        count = given.count(place)
        marks.append(f"{count} of {len(given)}")
        bar = f'<span class="bar"><i style="width: {100 * count / len(given):.0f}%"></i></span>'
    text = escape(lesson.answers[place].text)
    return f'<li class="{"right" * (place == right)}"><span class="text">{text}</span><b>{" · ".join(marks)}</b>{bar}</li>'


def onward(lesson: Lesson, found: Sequence[Lesson]) -> None:
    """A link to the full page, and buttons for another person and the next lesson."""
    label, path, query = ACTIVITIES[lesson.activity].full_page(lesson)
    link(label, path, icon=":material/open_in_new:", **query)
    after = found[found.index(lesson) + 1 :]
    with st.container(horizontal=True):
        step_button("Back", lesson, TRY, "arrow_back")
        st.button("Ask another person", icon=":material/group_add:", on_click=ask_again, args=(lesson,))
        if after:
            step_button(f"Next: {markdown_safe(after[0].title)}", after[0], PREDICT, type="primary")


def ask_again(lesson: Lesson) -> None:
    """Keep the answers so far, and ask another person."""
    if _given(lesson)[-1] is not None:
        _given(lesson).append(None)
    go_to(lesson, PREDICT)


def written(lesson: Lesson, text: str) -> str:
    """The text with the lesson's ε in it, as the app writes ε."""
    return text.replace("{epsilon}", epsilon_text(lesson.epsilon)) if "epsilon" in lesson.settings else text


def _given(lesson: Lesson) -> list[int | None]:
    """The answers given in this session; the last one is the current person's, None until they answer."""
    return st.session_state.setdefault(_ANSWERS, {}).setdefault(lesson.id, [None])


def _step_key(lesson: Lesson) -> str:
    return f"step:{lesson.id}"


if __name__ == "__main__":
    frame.run()
