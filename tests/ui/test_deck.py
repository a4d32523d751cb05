"""A deck from a file or an address is what was put in, or refused in one sentence."""

from __future__ import annotations

import base64
import json
import zlib

import pytest

from ui import deck
from ui.deck import FORMAT, MOST_ADDRESS, MOST_BYTES, DeckError, Screen, from_json, from_text, same_session, to_json, to_text
from ui.lessons.reading import lessons
from ui.lessons.screens import screens

DECK = (Screen("attack", {"dataset": "mnist", "a": "x/y&z=1"}, "A “first” one", "Say <b>ε</b>.\n"), Screen("learn", {}))


def written(**changes: object) -> bytes:
    screen = {"page": "why", "state": {}, "title": "", "notes": ""} | changes
    return json.dumps({"format": FORMAT, "screens": [screen]}).encode()


def packed(text: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(text)).decode().rstrip("=")


def test_a_deck_comes_back_as_it_was() -> None:
    assert from_json(to_json(DECK)) == DECK
    assert from_text(to_text(DECK)) == DECK
    assert DECK[0].address == "./?dataset=mnist&a=x%2Fy%26z%3D1"
    assert DECK[1].address == "./learn?"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b'{"screens": []}',
        json.dumps({"format": FORMAT, "screens": [], "more": 1}).encode(),
        json.dumps({"format": FORMAT, "screens": {}}).encode(),
        json.dumps({"format": FORMAT, "screens": [[]]}).encode(),
        written(page="../etc/passwd"),
        written(page="//evil.example"),
        written(page="present"),
        written(page=1),
        written(more=""),
        written(state={"a": 1}),
        written(state={"a": "x" * 5000}),
        written(state={str(number): "" for number in range(100)}),
        written(state={"embed": "false"}),
        written(title="x" * 500),
        written(notes=None),
        written(notes="\ud800"),
        b" " * (MOST_BYTES + 1),
    ],
)
def test_what_is_no_deck_is_refused_in_one_sentence(text: bytes) -> None:
    with pytest.raises(DeckError, match=r"^[^\n]+\.$"):
        from_json(text)
    with pytest.raises(DeckError):
        from_text(packed(text))


def test_an_address_that_is_cut_off_or_unpacks_to_too_much_is_refused() -> None:
    text = to_text(DECK)
    bomb = packed(b" " * (4 << 20))
    assert len(bomb) < MOST_ADDRESS
    for wrong in (text[:-5], text + "!", "", bomb, packed(b" " * (MOST_BYTES + 1)), "A" * (MOST_ADDRESS + 1)):
        with pytest.raises(DeckError):
            from_text(wrong)


def test_a_deck_that_no_address_can_hold_is_refused() -> None:
    with pytest.raises(DeckError, match="at most"):
        to_text((Screen("why", {}),) * 41)
    notes = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(2000))
    with pytest.raises(DeckError, match="too long"):
        to_text((Screen("why", {}, notes=notes),) * 2 + (Screen("why", {}, notes=notes[::-1]),))


def test_the_steps_of_a_lesson_share_a_session_and_other_screens_do_not() -> None:
    lesson = lessons()[0][0]
    deck = (*screens(lesson), *DECK, DECK[0])
    assert [screen.state.get("step") for screen in deck[:3]] == ["predict", "try", "explain"]
    assert lesson.goal in deck[0].notes
    sessions = same_session(deck)
    assert len(set(sessions[:3])) == 1
    assert len(set(sessions)) == 4
    # All lessons together are one deck.
    every = tuple(screen for lesson in lessons()[0] for screen in screens(lesson))
    assert from_text(to_text(every)) == every


def test_a_kept_deck_is_taken_over_once_and_a_damaged_one_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck.st, "session_state", {})
    assert not deck.take_over("", 1.0)
    assert deck.take_over(to_text(DECK), 2.0)
    assert deck.held() == DECK
    assert deck.to_keep() == {"known": to_text(DECK), "write": None, "turn": ""}
    deck.hold(DECK[:1])
    assert deck.to_keep()["write"] == to_text(DECK[:1])
    assert not deck.take_over(to_text(DECK), 2.0)
    for damaged in ("x", "A" * (MOST_ADDRESS + 1), to_text(DECK)[:-4]):
        assert not deck.take_over(damaged, len(damaged) + 3.0)
        assert len(deck.to_keep()["known"] or "") <= MOST_ADDRESS
    assert deck.held() == DECK[:1]


def test_a_link_does_not_replace_the_kept_deck_before_it_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck.st, "session_state", {})
    deck.open_link(to_text(DECK))
    assert not deck.take_over(to_text(DECK[:1]), 1.0)
    assert (deck.held(), deck.to_keep()["write"]) == (DECK, None)
    deck.hold(DECK[1:])
    assert deck.to_keep()["write"] == to_text(DECK[1:])
    # A link to the kept deck itself, as after a reload of the page Present, follows it.
    deck.open_link(to_text(DECK[1:]))
    assert deck.take_over(to_text(DECK), 2.0)
