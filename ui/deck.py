"""A deck: states of the app's pages, shown one after another. It can be written to a file and into an address.

Both are untrusted: everything in a deck is limited in size, and its screens are pages of this app. The browser keeps the
visitor's deck as the address writes it, which is untrusted as well.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from advcore.errors import AdvcoreError

FORMAT = "Adversarial Lab deck, version 1"
MOST_SCREENS, MOST_TITLE, MOST_NOTES = 40, 120, 2000
MOST_BYTES = 128 << 10
MOST_ADDRESS = 6000
"""Characters of a deck in an address: servers and browsers take about 8,000 in all."""
_MOST_VALUES, _MOST_VALUE = 30, 1000
_PAGES = {path.stem for path in (Path(__file__).parents[1] / "pages").glob("[a-z]*.py") if "-" not in path.stem} - {"present"}


class DeckError(AdvcoreError):
    """A text is not a deck, or a deck is too large."""


@dataclass(frozen=True)
class Screen:
    """A page (the name of its file), its state as the address writes it, a title, and the teacher's notes."""

    page: str
    state: Mapping[str, str]
    title: str = ""
    notes: str = ""

    @property
    def address(self) -> str:
        """The address of the page in this state, relative to any other page's."""
        return f"./{'' if self.page == 'attack' else self.page}?{urlencode(self.state)}"


Deck = tuple[Screen, ...]


@dataclass
class _Session:
    """A session's deck, and what it knows of the one in the browser's storage."""

    deck: Deck = ()
    known: str = ""
    """What the browser has stored, as far as the session knows."""
    write: str | None = None
    """What the browser is to store, once for each `turn`."""
    turn: str = ""
    linked: bool = False
    """The deck came with a link: the stored one stays as it is until the person changes the deck."""
    heard: float = 0.0
    """When the browser last reported another stored deck."""
    revision: int = 0
    """How often the deck was replaced by other than its own controls, which then start anew."""


def _session() -> _Session:
    return st.session_state.setdefault("deck", _Session())


def held() -> Deck:
    """This visitor's deck."""
    return _session().deck


def revision() -> int:
    """A number that changes when the deck is replaced by other than its own controls."""
    return _session().revision


def hold(deck: Deck, *, fresh: bool = True) -> None:
    """Make it this visitor's deck, with `fresh` controls; raises DeckError, and changes nothing, if it is too long."""
    text, session = to_text(deck), _session()
    session.deck, session.linked = from_text(text), False
    session.revision += fresh
    if text != session.known:
        session.known = session.write = text
        session.turn = secrets.token_hex(8)


def open_link(text: str) -> None:
    """Show the deck of a link without storing it in the browser; raises DeckError."""
    session = _session()
    session.deck, session.linked = from_text(text), text != session.known
    session.revision += 1


def take_over(text: str, at: float) -> bool:
    """Take over the deck that the browser reports, once for each time `at`. Returns whether the deck changed."""
    session = _session()
    if at == session.heard:
        return False
    session.heard, session.known = at, text[:MOST_ADDRESS]
    if session.linked:
        session.linked = text != to_text(session.deck)
        return False
    try:
        found = from_text(text) if text else ()
    except DeckError:
        return False  # what cannot be read is replaced with the next change
    changed, session.deck = found != session.deck, found
    session.revision += changed
    return changed


def to_keep() -> dict[str, str | None]:
    """What the component that keeps the deck in the browser is told."""
    session = _session()
    return {"known": session.known, "write": session.write, "turn": session.turn}


def to_json(deck: Deck) -> bytes:
    """The file."""
    screens = [{"page": each.page, "state": dict(each.state), "title": each.title, "notes": each.notes} for each in deck]
    return json.dumps({"format": FORMAT, "screens": screens}, ensure_ascii=False, indent=1).encode()


def from_json(text: bytes) -> Deck:
    """The deck in a file; raises DeckError, which says what is wrong with it."""
    if len(text) > MOST_BYTES:
        raise DeckError(f"This deck is larger than {MOST_BYTES >> 10} KiB.")
    try:
        found = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise DeckError("This is not a deck: it is not JSON in UTF-8.") from error
    if not isinstance(found, dict) or set(found) != {"format", "screens"} or found["format"] != FORMAT:
        raise DeckError(
            f"This is not a deck: it must have “format”, with the value “{FORMAT}”, and “screens”, and nothing else."
        )
    screens = found["screens"]
    if not isinstance(screens, list) or len(screens) > MOST_SCREENS:
        raise DeckError(f"This is not a deck: “screens” must be a list of at most {MOST_SCREENS}.")
    return tuple(_screen(value, place) for place, value in enumerate(screens, 1))


def to_text(deck: Deck) -> str:
    """The deck for an address; raises DeckError for one that is too long."""
    if len(deck) > MOST_SCREENS:
        raise DeckError(f"A deck has at most {MOST_SCREENS} screens. Remove one first.")
    text = base64.urlsafe_b64encode(zlib.compress(to_json(deck), 9)).decode().rstrip("=")
    if len(text) > MOST_ADDRESS:
        raise DeckError("This deck is too long for an address. Shorten the notes or remove a screen.")
    return text


def from_text(text: str) -> Deck:
    """The deck in an address; raises DeckError."""
    try:
        if len(text) > MOST_ADDRESS:
            raise ValueError
        unpack = zlib.decompressobj()
        found = unpack.decompress(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), MOST_BYTES)
        if not unpack.eof:
            raise ValueError
    except (ValueError, binascii.Error, zlib.error) as error:
        raise DeckError("The deck in this link cannot be read. The link may have been cut off when it was copied.") from error
    return from_json(found)


def _screen(value: Any, place: int) -> Screen:
    def need(right: bool, what: str) -> None:
        if not right:
            raise DeckError(f"This is not a deck: screen {place} {what}.")

    need(
        isinstance(value, dict) and set(value) == {"page", "state", "title", "notes"}, "must have page, state, title and notes"
    )
    page, state = value["page"], value["state"]
    need(isinstance(page, str) and page in _PAGES, "must name a page of this app")
    need(isinstance(state, dict) and len(state) <= _MOST_VALUES, f"must have a state of at most {_MOST_VALUES} values")
    right = all(_is_text(text, _MOST_VALUE) for pair in state.items() for text in pair)
    need(right, f"must have a state of texts of up to {_MOST_VALUE} characters")
    need(not {"embed", "embed_options"} & set(state), "must not set how the page is embedded")
    for name, most in (("title", MOST_TITLE), ("notes", MOST_NOTES)):
        need(_is_text(value[name], most), f"must have {name} of up to {most} characters")
    return Screen(page, state, value["title"], value["notes"])


def _is_text(value: Any, most: int) -> bool:
    """Whether it is a text of at most that many characters that can be written as UTF-8."""
    return isinstance(value, str) and len(value) <= most and not any("\ud800" <= sign <= "\udfff" for sign in value)


def same_session(screens: Sequence[Screen]) -> list[str]:
    """For each screen a name that it shares with those that belong to one session: the steps of one lesson."""
    return [
        f"lesson {each.state['lesson']}" if each.page == "learn" and "lesson" in each.state else f"screen {place}"
        for place, each in enumerate(screens)
    ]
