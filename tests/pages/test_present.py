"""The presenter view: what is on the list, and where it comes from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from advcore.papers import record, verdicts
from advcore.papers.studies import STUDIES
from pages import models
from tests.pages.conftest import checked, labels, open_page, press
from ui.deck import MOST_BYTES, Screen, from_text, to_json, to_text
from ui.words import markdown_safe

DECK = (Screen("attack", {"dataset": "digits"}, "One", "Say it."), Screen("why", {"part": "inside"}, "Two"))


def titles(page: AppTest) -> list[str]:
    return [area.value for area in page.text_area if area.label.startswith("Title")]


def in_address(page: AppTest) -> tuple[Screen, ...]:
    return from_text(page.query_params["deck"])


def test_the_list_of_a_link_is_changed_and_the_address_follows() -> None:
    page = open_page("present", deck=to_text(DECK))
    assert titles(page) == ["One", "Two"]
    page = press(page, "Move down")
    assert titles(page) == ["Two", "One"]
    page.text_area[1].set_value("New notes").run()
    assert in_address(page) == (Screen("why", {"part": "inside"}, "Two", "New notes"), DECK[0])
    page = press(page, "Add its three steps")
    assert [screen.page for screen in in_address(page)] == ["why", "attack", "learn", "learn", "learn"]
    page = press(press(page, "Remove"), "Clear the list")
    assert titles(page) == []
    assert "deck" not in page.query_params


@pytest.mark.parametrize("text", ["x", to_text(DECK)[:-4]])
def test_a_link_that_holds_no_deck_is_said_and_the_page_stays(text: str) -> None:
    page = open_page("present", deck=text)
    assert len(page.error) == 1
    assert len(page.info) == 1


def test_a_file_is_opened_and_a_broken_one_changes_nothing() -> None:
    page = open_page("present", deck=to_text(DECK))
    page.file_uploader[0].upload("deck.json", to_json(DECK[:1]), "application/json").run()
    assert titles(page) == ["One"]
    for broken in (b"{}", b"[" * (MOST_BYTES + 2), json.dumps({"format": "x"}).encode()):
        page.file_uploader[0].upload("deck.json", broken, "application/json").run()
        assert len(page.error) == 1
        assert titles(page) == ["One"]
    assert not page.exception


def presented(name: str, *, embedded: bool = True, **query: str) -> AppTest:
    """A page as a screen of a presentation."""
    page = AppTest.from_string(f"from pages import {name}\nfrom ui import frame\n\nframe.guard({name}.page)")
    page.context["is_embedded"] = embedded
    for key, value in query.items():
        page.query_params[key] = value
    return checked(page.run(timeout=60))


def test_a_page_in_a_frame_ends_after_what_it_shows() -> None:
    assert "Pick an image" in "".join(part.value for part in presented("attack", embedded=False).markdown)
    assert "Pick an image" not in "".join(part.value for part in presented("attack").markdown)


@pytest.mark.parametrize("key", STUDIES)
def test_a_presented_study_is_its_sentence_and_its_chart(key: str) -> None:
    of = STUDIES[key]
    page = presented("papers", **({"study": key} if of.claim else {"study": "Q", "question": key}))
    sentence = verdicts.verdict(of, record.read(key)) if of.claim else of.title
    assert page.markdown[0].value == f"# {markdown_safe(sentence)}"
    assert len(page.get("plotly_chart")) == 1
    assert not page.expander
    assert not page.get("download_button")


def test_presented_models_are_the_bars_of_one_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(models, "model_list", lambda lines, *_, **__: seen.append(dict(lines)))
    for query in ({"of": "digits"}, {"model": "digits/digits_cnn-standard"}):
        page = presented("models", **query)
        assert list(seen.pop()) == ["Digits 8×8"]
        assert not page.expander
        assert not page.tabs


def test_a_presented_training_is_its_preset_and_its_button() -> None:
    page = presented("retrain", dataset="digits")
    assert "Start training" in labels(page)
    assert "Robust" not in labels(page)
    assert "See it work" in " ".join(part.value for part in page.markdown)
    assert not any("The recipe, and how" in part.label for part in page.expander)
