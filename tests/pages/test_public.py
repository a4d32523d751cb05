"""A public server: each visitor sees and changes their own work alone, within limits; the host's token opens everything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from advcore.jobs import limits, processes, queue
from advcore.models import checkpoints
from tests.own_models import own
from tests.pages.conftest import press
from ui import load, visitor

TOKEN = "a token of the host's"
ONE, TWO = "1" * 32, "2" * 32


@pytest.fixture(autouse=True)
def _public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCORE_PUBLIC", "1")
    monkeypatch.setenv("ADVCORE_HOST_TOKEN", TOKEN)
    monkeypatch.setattr("pages.retrain.estimated", lambda _: "no time at all")
    monkeypatch.setattr(processes, "launch", lambda *_: None)  # jobs wait
    monkeypatch.setattr(visitor, "counts", limits.Counts())
    monkeypatch.setattr(visitor, "hosts", set())


def opened(name: str, key: str = ONE, **query: str) -> AppTest:
    """A page as it is drawn for the browser with that key."""
    text = f"from pages import {name}\nfrom ui import frame, visitor\n\nframe.guard({name}.page)\nvisitor.foot()"
    page = AppTest.from_string(text, default_timeout=60)
    page.session_state[visitor.KEY] = key
    for parameter, value in query.items():
        page.query_params[parameter] = value
    page.run()
    assert not page.exception
    return page


def written(expression: str) -> str:
    """What an expression gives on a visitor's page."""
    page = AppTest.from_string(f"import streamlit as st\nfrom ui import load, visitor\n\nst.text({expression})")
    page.session_state[visitor.KEY] = ONE
    return page.run(timeout=60).text[0].value


def labels(page: AppTest) -> set[str]:
    """What the page's buttons and boxes are called."""
    return {item.label for item in (*page.button, *page.expander)} | {item.proto.popover.label for item in page.get("popover")}


def become_host(page: AppTest, token: str = TOKEN) -> AppTest:
    page.text_input(key="host token").set_value(token)
    return press(page, "Open the host's view")


def start(page: AppTest) -> AppTest:
    return press(page, "Start training")


def test_a_visitor_trains_and_sees_their_own_trainings_alone() -> None:
    mine = start(opened("retrain", dataset="digits"))
    (job,) = queue.listing()
    assert mine.session_state["job"] == job.id
    assert job.owner not in (None, ONE), "the disk has only a hash of the key"
    again = opened("retrain", job=job.id)
    assert again.selectbox(key="job").value == job.id, "a reload finds it"
    other = opened("retrain", TWO, job=job.id)
    assert "job" not in {box.key for box in other.selectbox}
    host = become_host(other)
    assert any(f"visitor {job.owner[:6]}" in option for option in host.selectbox(key="job").options)


def test_too_many_and_too_large_trainings_are_refused() -> None:
    page = start(opened("retrain", dataset="digits"))
    page = start(opened("retrain", dataset="digits", job="new"))
    assert len(queue.listing()) == 2
    page = start(opened("retrain", dataset="digits", job="new"))
    assert any("stop one of them" in error.value for error in page.error)
    assert len(queue.listing()) == 2
    page.session_state["recipe batch_size"] = 1000
    page.run()
    assert "Start training" not in labels(page)


def test_a_visitor_sees_their_own_models_alone() -> None:
    made = own("theirs")
    page = opened("models", model=made.id)
    assert page.warning, "the link asks for a model that this visitor has not"
    assert not {"Rename", "Import a model"} & labels(page)
    owner = written("visitor.owner()")
    shape, names = made.shape, made.class_names
    checkpoints.save(
        made.path, made.model(), made.recipe, shape=shape, class_names=names, metrics={}, provenance={"visitor": owner}
    )
    load.read_again()
    assert {"Rename", "Delete"} <= labels(opened("models", model=made.id))
    assert "Rename" not in labels(opened("models", TWO, model=made.id))
    become_host(opened("models", TWO))
    host = opened("models", TWO, model=made.id)
    assert {"Rename", "Import a model"} <= labels(host)
    assert any("a visitor's" in caption.value for caption in host.caption)


def test_what_an_owner_of_a_server_allows_is_open_to_visitors(monkeypatch: pytest.MonkeyPatch) -> None:
    fetching = "Fetch them"
    assert fetching not in labels(opened("retrain", dataset="digits"))
    monkeypatch.setenv("ADVCORE_PUBLIC_ALLOW", "imports, downloads")
    assert "Import a model" in labels(opened("models"))
    assert fetching in labels(opened("retrain", dataset="digits"))


def test_the_token_opens_the_hosts_view_and_is_not_guessed() -> None:
    page = opened("models")
    for _ in range(limits.VISITOR.rates["token"].times):
        page = become_host(page, "a guess")
        assert [error.value for error in page.error] == ["This is not the host's token."]
    page = become_host(page)
    assert "try again in" in page.error[0].value, "too many attempts"
    assert "Import a model" not in labels(page)
    host = become_host(opened("models", TWO))
    assert "Import a model" in labels(host)
    assert "Import a model" in labels(opened("models", TWO)), "a reload keeps it"
    left = press(host, "Leave the host's view")
    assert "Import a model" not in labels(left)


def test_a_study_is_measured_again_by_the_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    again = "from advcore.papers.studies import STUDIES\nfrom ui.papers import sections\n\nsections.again(STUDIES['P1'])"
    shown = []
    for hosts in (set(), {written("visitor.owner()")}):
        monkeypatch.setattr(visitor, "hosts", hosts)
        page = AppTest.from_string(again, default_timeout=60)
        page.session_state[visitor.KEY] = ONE
        shown.append("Measure now" in labels(page.run()))
    assert shown == [False, True]


def test_without_a_token_there_is_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADVCORE_HOST_TOKEN")
    assert "Host" not in labels(opened("models"))


def test_a_visitor_sees_no_folder_no_log_and_no_device(tmp_path: Path) -> None:
    page = start(opened("retrain", dataset="digits"))
    (job,) = queue.listing()
    words = f"It crashed: {tmp_path}/runs/jobs/x and {Path.home()}/y"
    (job.folder / "result.json").write_text(json.dumps({"state": "failed", "message": words}))
    (job.folder / "log.txt").write_text("secret")
    page = opened("retrain", job=job.id)
    shown = " ".join(item.value for kind in (page.error, page.caption, page.markdown, page.code) for item in kind)
    assert "It crashed" in shown
    assert not any(secret in shown.replace("\\", "") for secret in (str(tmp_path), str(Path.home()), "secret"))
    assert "What its process printed" not in labels(page)
    assert written("load.device_text()") == load.SERVER


def test_pictures_and_estimates_have_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, rate in limits.VISITOR.rates.items():
        monkeypatch.setattr(visitor, "counts", limits.Counts())
        text = f"from ui import visitor\nfor _ in range({rate.times + 1}):\n    visitor.spend({kind!r})"
        app = AppTest.from_string(
            f"from ui import frame\ndef draw():\n    {text.replace(chr(10), chr(10) + '    ')}\nframe.guard(draw)"
        )
        app.session_state[visitor.KEY] = ONE
        assert "try again in" in app.run().error[0].value


def test_on_ones_own_machine_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADVCORE_PUBLIC")
    own("mine")
    page = opened("models", model="digits/mine")
    assert {"Rename", "Import a model"} <= labels(page)
    assert "Host" not in labels(page)
    page = start(opened("retrain", dataset="digits"))
    assert queue.listing()[0].owner is None
