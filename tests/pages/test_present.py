"""The presenter view: what is on the list, and where it comes from."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.conftest import open_page, press
from ui.deck import MOST_BYTES, Screen, from_text, to_json, to_text

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


def test_a_page_in_a_frame_ends_after_what_it_shows() -> None:
    def attack(embedded: bool) -> AppTest:
        page = AppTest.from_string("from pages import attack\nfrom ui import frame\n\nframe.guard(attack.page)")
        page.context["is_embedded"] = embedded
        return page.run(timeout=60)

    assert "Pick an image" in "".join(part.value for part in attack(False).markdown)
    framed = attack(True)
    assert not framed.exception
    assert "Pick an image" not in "".join(part.value for part in framed.markdown)
