"""The page Learn: a whole lesson, what each activity measures, and what it does without data or answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from advcore.jobs import queue
from tests.pages.conftest import labels, open_page, press
from ui.lessons import compare
from ui.lessons.activities import ACTIVITIES
from ui.lessons.reading import lessons

LESSONS = {lesson.id: lesson for lesson in lessons()[0]}


def text(page: AppTest) -> str:
    return "\n".join(str(node.value) for node in page.markdown)


def test_all_lessons_are_offered() -> None:
    page = open_page("learn")
    assert labels(page) == ["Start"] * len(LESSONS)
    page = page.button[1].click().run()
    assert page.radio[0].value is None
    assert page.session_state["lesson"] == "2-gradient"


def test_a_lesson_is_predicted_tried_and_explained() -> None:
    page = open_page("learn", lesson="2-gradient")
    assert next(button for button in page.button if button.label == "Try it").disabled
    page.radio[0].set_value(2).run()
    press(page, "Try it")
    assert not page.radio
    press(page, "Explain")
    assert "✗ It came out differently" in text(page)
    assert "**0 of the 20**" in text(page)
    assert "given in this session" not in "".join(caption.value for caption in page.caption)
    # A second person answers: the first one's answer is not shown before.
    press(page, "Ask another person")
    assert page.radio[0].value is None
    page.radio[0].set_value(0).run()
    press(press(page, "Try it"), "Explain")
    assert "✓ You were right" in text(page)
    assert any(caption.value.startswith("2 answers") for caption in page.caption)
    press(page, "All lessons")
    assert "Go on" in labels(page)


def test_a_reload_keeps_the_prediction() -> None:
    page = open_page("learn", lesson="2-gradient")
    page.radio[0].set_value(2).run()
    assert page.query_params["answer"] == "2"
    assert open_page("learn", lesson="2-gradient", answer="2").radio[0].value == 2
    assert open_page("learn", lesson="2-gradient", answer="7").radio[0].value is None


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_step_of_every_lesson_opens(lesson: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "IMAGES", 10)
    for step in ("try", "explain"):
        page = open_page("learn", lesson=lesson, step=step)
        assert not page.error
        assert not page.warning
        assert "## Why" in text(page) or step == "try"


def test_what_a_person_sees_is_compared_with_what_the_model_loses() -> None:
    page = open_page("learn", lesson="1-epsilon", step="explain")
    assert page.info
    page.session_state["seen in 1-epsilon"] = 0.03
    page.run()
    assert not page.info
    assert "ε = 0.030" in text(page)


def test_the_masked_model_is_fooled_by_many_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "IMAGES", 10)
    page = open_page("learn", lesson="4-masked", step="explain")
    assert "**PGD-20** fools the model on **10 of the 10**" in text(page)
    assert "**FGSM** fools the model on **0 of the 10**" in text(page)


def test_a_training_is_made_of_the_quick_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advcore.jobs.turns.advance", lambda root: None)
    page = press(open_page("learn", lesson="3-training", step="try"), "Start the training")
    made = queue.listing()
    assert [(job.state, job.recipe.dataset, job.recipe.defense) for job in made] == [("queued", "digits", "fgsm")]
    assert ACTIVITIES["train"].settings == ("dataset",)
    reloaded = open_page("learn", **page.query_params)
    assert "Start the training" not in labels(reloaded), "the address names the training"
    assert "training" not in press(reloaded, "All lessons").query_params
    with monkeypatch.context() as another:
        another.setattr("ui.visitor.owner", lambda: "another visitor")
        assert "Start the training" in labels(open_page("learn", **page.query_params))
    queue.delete(made[0].id)
    assert "Start the training" in labels(page.run())
    assert "training" not in page.query_params


def test_a_broken_lesson_is_said_and_the_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCORE_LESSONS", str(tmp_path))
    (tmp_path / "9-mine.md").write_text("---\ntitle: Mine\n---\n")
    page = open_page("learn", lesson="9-mine")
    assert ["9-mine" in error.value.replace("\\", "") and "line 3" in error.value for error in page.error] == [True]
    assert len(page.button) == len(LESSONS)
    assert len(page.warning) == 1
