"""A deck: states of the app's pages, shown one after another. It can be written to a file and into an address.

Both are untrusted: everything in a deck is limited in size, and its screens are pages of this app.
"""

from __future__ import annotations

import base64
import binascii
import json
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
_HELD = "deck"


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


def held() -> Deck:
    """This visitor's deck."""
    return st.session_state.get(_HELD, ())


def hold(deck: Deck) -> None:
    """Make it this visitor's deck; raises DeckError, and changes nothing, if it is too long for an address."""
    st.session_state[_HELD] = from_text(to_text(deck))


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
