"""The presenter view: the screens of a deck, each a live page of this app in a frame, over the whole window."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import urljoin

import streamlit as st

from ui.card import code, fits_code
from ui.components import mount, reported, token
from ui.deck import Screen, same_session
from ui.share import reach

_EMBEDDED = "&embed=true&embed_options=hide_loading_screen"
_KEY = "presenter"


def presenter(screens: Sequence[Screen], at: int | None) -> int | None:
    """A button that begins the show; `at` is the screen at which it stands at first (None: it has not begun), also returned."""
    found = [
        {"address": each.address + _EMBEDDED, "title": each.title, "notes": each.notes, "session": session, "code": _code(each)}
        for each, session in zip(screens, same_session(screens), strict=True)
    ]
    deck = token(found)
    left = reported(_KEY, "left")
    if isinstance(left, dict) and left.get("token") == deck:
        place = left.get("at")
        at = place if isinstance(place, int) and 0 <= place < len(screens) else None
    mount("presenter", {"screens": found, "token": deck, "at": at}, key=_KEY, states=("left",))
    return at


def _code(screen: Screen) -> dict[str, str] | None:
    """The address of a screen's page for the phones in the room, its QR code, and a warning; None where no code can hold it."""
    address = urljoin(st.context.url or "", screen.address)
    if not fits_code(address):
        return None
    picture = f"data:image/png;base64,{base64.b64encode(code(address)).decode()}"
    return {"address": address, "reach": reach(address), "picture": picture}
