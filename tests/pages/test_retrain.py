"""The Retrain page without a browser: presets, validation, launching, and a job that is found again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import torch
from streamlit.testing.v1 import AppTest

from advcore.defenses import DEFENSES, Defense, Step
from advcore.defenses.base import ATTACK_STEPS
from advcore.jobs import processes, queue, worker
from advcore.models import checkpoints
from advcore.recipe import SCHEDULES, Recipe
from tests.pages.conftest import checked, labels, open_page, opened, press
from ui import measured
from ui.training import job as job_views
from ui.words import DEFENDED, percent, role, role_colour
from ui.worker import worker as background

START = "Start training"


@pytest.fixture
def page() -> AppTest:
    return open_page("retrain", dataset="digits")


def test_it_opens_with_a_preset_and_an_estimate(page: AppTest) -> None:
    assert any("See it work" in text.value and "chosen" in text.value for text in page.markdown)
    assert any("About " in caption.value for caption in page.caption)
    assert START in labels(page)


def test_a_preset_fills_the_recipe_in(page: AppTest) -> None:
    page.button(key="pick-robust").click().run()
    assert not page.exception
    assert page.session_state["recipe defense"] == "pgd"
    assert page.session_state["recipe epochs"] == 40
    assert "robust" in page.query_params["preset"]
    assert any("40 epochs of all images" in text.value for text in page.markdown)


def test_what_was_changed_of_a_preset_is_in_the_address(page: AppTest) -> None:
    assert "recipe" not in page.query_params
    page.number_input(key="recipe epochs").set_value(3).run()
    changed = page.query_params["recipe"]
    again = open_page("retrain", dataset="digits", recipe=changed)
    assert again.number_input(key="recipe epochs").value == 3
    assert again.session_state["form"] == page.session_state["form"]
    for bad in ("{", "3", '{"epochs":-1}', '{"dataset":"mnist","nothing":1}'):
        assert open_page("retrain", dataset="digits", recipe=bad).number_input(key="recipe epochs").value == 15


@pytest.mark.parametrize("defense", list(DEFENSES))
def test_every_defense_can_be_chosen(defense: str, page: AppTest) -> None:
    page.session_state["recipe defense"] = defense
    page.run()
    assert not page.exception
    assert not page.error
    assert START in labels(page)
    assert ("recipe standard_epochs" in [item.key for item in page.number_input]) == (defense != "standard")


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_a_schedule_that_changes_can_begin_again(schedule: str, page: AppTest) -> None:
    page.session_state["recipe schedule"] = schedule
    page.run()
    assert not page.exception
    assert ("recipe restart" in [item.key for item in page.number_input]) == (schedule != "constant")


def test_a_new_defense_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the form with its caption and its settings, and in the recipe that is started."""

    def mine(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
        yield step.loss(images, labels)

    entry = Defense(
        name="mine",
        title="My own",
        about="does a new thing",
        paper="Me 2026",
        trained="mine-trained",
        losses=mine,
        settings=(ATTACK_STEPS,),
    )
    monkeypatch.setitem(DEFENSES, "mine", entry)
    page = open_page("retrain", dataset="digits")
    box = page.selectbox(key="recipe defense")
    assert "My own" in box.options
    box.set_value("mine").run()
    assert not page.exception
    assert "does a new thing (Me 2026)" in [caption.value for caption in page.caption]
    assert page.number_input(key="recipe attack_steps").label == ATTACK_STEPS.title
    assert "--defense mine" in opened(page, "recipe")
    assert (role("mine"), role_colour("mine")) == ("Adversarially trained", DEFENDED)


def test_another_dataset_and_a_starting_point_come_with_the_link() -> None:
    page = open_page("retrain", dataset="digits", start="digits/digits_cnn-standard", preset="papers")
    assert any("continuing from" in text.value for text in page.markdown)
    strange = open_page("retrain", dataset="../x", architecture="nothing", start="../../etc/passwd", preset="42")
    assert len(strange.warning) == 1
    assert strange.warning[0].value.count("used instead") == 4, "each value that could not be used is named"
    assert START in labels(strange)


def test_another_architecture_blames_no_link() -> None:
    page = open_page("retrain", dataset="digits", start="digits/digits_cnn-standard", preset="robust")
    for architecture, start in (("lee_cnn", "scratch"), ("digits_cnn", "digits/digits_cnn-standard")):
        next(box for box in page.selectbox if box.label == "Architecture").set_value(architecture).run()
        assert not page.exception
        assert not page.warning
        assert next(box for box in page.selectbox if box.label == "Starting point").value == start


def test_what_cannot_be_trained_is_said_and_cannot_be_started(page: AppTest) -> None:
    page.session_state["recipe epsilon"] = 0.0
    page.run()
    assert "needs an ε above 0" in page.error[0].value
    assert START not in labels(page)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes that jobs are given: each waits to be stopped."""
    started: list[subprocess.Popen[bytes]] = []

    def launch(folder: Path, *words: str) -> None:
        started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        processes.record(folder, started[-1].pid)

    monkeypatch.setattr(processes, "launch", launch)
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_a_job_is_launched_watched_stopped_and_found_again(page: AppTest, launched: list[subprocess.Popen[bytes]]) -> None:
    page.session_state["recipe epochs"] = 1000
    page.run()
    press(page, START)
    (job,) = queue.listing()
    assert job.recipe == Recipe.from_dict(job.recipe.to_dict())
    assert job.recipe.epochs == 1000
    again = open_page("retrain")
    assert any(
        "running" in text.value and "Digits CNN, FGSM-trained, ε 0" in text.value.replace("\\", "") for text in again.markdown
    )
    assert again.selectbox(key="job").value == job.id
    press(again, "Stop")
    launched[0].wait()
    assert queue.find(job.id).state == "stopped"
    stopped = open_page("retrain", job=job.id)
    assert any("resuming" in caption.value for caption in stopped.caption)
    stopped.button(key=f"Delete {job.id}").click().run()
    assert queue.listing() == []
    assert not stopped.exception
    assert not stopped.warning
    assert START in labels(stopped), "the form, as before the training"


def test_a_running_training_cannot_be_deleted(page: AppTest, launched: list[subprocess.Popen[bytes]]) -> None:
    press(page, START)
    (job,) = queue.listing()
    assert job.state == "running"
    assert set(labels(page)) == {"Stop", "New training"}
    job_views.delete(job.id)
    assert queue.find(job.id).state == "running"


def test_a_deletion_is_undone_and_shows_what_was_seen_before(page: AppTest, launched: list[subprocess.Popen[bytes]]) -> None:
    press(page, START)
    first = page.session_state["job"]
    press(page, "New training")
    page.session_state["recipe defense"] = "pgd"
    page.run()
    press(page, START)
    second = page.session_state["job"]
    assert queue.find(second).state == "queued"
    assert START not in labels(page)
    page.selectbox(key="job").set_value(first).run()
    page.selectbox(key="job").set_value(second).run()
    page.button(key=f"Delete {second}").click().run()
    assert [job.id for job in queue.listing()] == [first]
    assert page.selectbox(key="job").value == first
    press(page, "Undo")
    assert page.selectbox(key="job").value == second
    assert queue.find(second).state == "queued"


def test_a_strange_job_in_the_link_is_survived() -> None:
    open_page("retrain", dataset="digits", job="../../etc")


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> queue.Job:
    """A job that was carried out in the tests' own process."""
    monkeypatch.setattr("advcore.jobs.worker._give_way", lambda: None)
    monkeypatch.setattr("advcore.evaluation.figures.PGD_IMAGES", 20)
    recipe = Recipe(
        dataset="digits",
        architecture="digits_cnn",
        defense="fgsm",
        epsilon=0.2,
        epochs=2,
        images=300,
        held_out=44,
        evaluations=2,
    )
    folder = queue.root() / "20260102-030405-000000"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(recipe.to_json())
    assert worker.run(folder) == 0
    return queue.find(folder.name)


def test_a_finished_job_shows_before_and_after_on_the_same_images(finished: queue.Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_views, "GREY_IMAGES", 100)
    page = open_page("retrain", job=finished.id)
    made = checkpoints.find(finished.checkpoint)
    shown = job_views.comparison(made)

    def done() -> bool:
        measured.ask(shown.wanted)  # as a page that is open does
        return shown.done

    with background().changed:
        assert background().changed.wait_for(done, timeout=60)
    page.run()
    assert not page.exception
    assert [item.id for item in shown.models] == ["digits/digits_cnn-standard", made.id]
    assert {len(part) for attack in job_views.ATTACKS for part in shown.seen(attack)} == {100}
    assert shown.accuracy("FGSM", 0.0) == shown.accuracy("PGD-10", 0.0), "one clean accuracy, whatever the attack"
    (outcome,) = (block.proto.body for block in page.get("html") if "class='outcome'" in block.proto.body)
    before, after = shown.accuracy("PGD-10", 0.2)
    assert f"{percent(before)} → {percent(after)}" in outcome
    assert len(page.get("plotly_chart")) == 1
    links = [(link.proto.page, parse_qs(link.proto.query_string)) for link in page.get("page_link")]
    where, asked = links[0]
    assert where == ""
    assert (asked["a"], asked["b"], asked["epsilon"]) == (["digits/digits_cnn-standard"], [made.id], ["0.2"])


def test_the_baseline_is_of_equal_standing(finished: queue.Job) -> None:
    made = checkpoints.find(finished.checkpoint)
    assert job_views.baseline(made).id == "digits/digits_cnn-standard"
    assert "300 images × 2 epochs" in job_views.standing(made, job_views.baseline(made)), "what differs is said"
    further = replace(made, recipe=replace(made.recipe, warm_start=made.id, defense="trades"), id="digits/further")
    assert job_views.baseline(further).id == made.id, "the model it started from"
    other = replace(made, recipe=replace(made.recipe, architecture="lee_cnn"), id="digits/other")
    assert job_views.baseline(other) is None, "a model of another architecture is no baseline"


def test_a_renamed_model_is_found_and_a_deleted_one_is_missed(finished: queue.Job) -> None:
    checkpoints.rename(finished.checkpoint, "my-best")
    assert job_views.made_by(finished).id == "digits/my-best"
    checkpoints.delete("digits/my-best")
    page = open_page("retrain", job=finished.id)
    assert any("was deleted" in info.value for info in page.info)


def test_a_failed_job_says_why_and_shows_what_its_process_printed() -> None:
    folder = queue.root() / "20260102-030405-000001"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text("{")
    (folder / "log.txt").write_text("line one\n<b>line two</b>")
    page = open_page("retrain", job=folder.name)
    assert any("recipe" in error.value.lower() for error in page.error)
    assert "<b>line two</b>" in opened(page, "printed")


def test_a_job_whose_state_is_damaged_can_start_again() -> None:
    folder = queue.root() / "20260102-030405-000001"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(Recipe(dataset="digits", architecture="digits_cnn").to_json())
    (folder / "result.json").write_text('{"state": "failed", "message": "Its state is damaged.", "damaged": true}')
    page = open_page("retrain", job=folder.name)
    assert "Start again" in labels(page)
    assert "Resume" not in labels(page)


def test_a_refused_action_is_said_although_the_training_alone_is_drawn_again() -> None:
    """A button of a fragment draws the fragment alone; what went wrong is said by the page."""
    folder = queue.root() / "20260102-030405-000001"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text("{")
    text = f"""
import streamlit as st
from advcore.jobs import queue
from ui import actions
from ui.training import job

if st.session_state.setdefault("runs", 0) == 0:
    actions.attempt(queue.resume, "20000101-000000-000000", None)
    st.session_state["runs"] = 1
    job._watch("{folder.name}", None)
else:
    st.error(actions.problem())
"""
    page = AppTest.from_string(text).run(timeout=60)
    assert ["There is no job" in error.value for error in checked(page).error] == [True]
