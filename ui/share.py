"""A page's state for others: its QR code, a card with a picture, and its place in the presentation."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from urllib.parse import urlsplit

import streamlit as st

from ui.card import Drawing, card, code, fits_code
from ui.deck import MOST_TITLE, DeckError, Screen, held, hold
from ui.downloads import offer_file
from ui.links import link

ALONE = (
    "This address works on this machine only. To open the app to a class, start it with make run PUBLIC=1 ADDRESS=0.0.0.0 and "
    "open it under this machine's name or IP address."
)
_CSS = """<style>
.qr img { display: block; width: min(15rem, 80vw); image-rendering: pixelated; border-radius: .5rem; }
.qr { max-width: 24rem; font-size: .9rem; } .qr a { overflow-wrap: anywhere; color: inherit; }
</style>"""
_SHOWN = "shown on this page"


def begin(sentence: str) -> None:
    """Forget what the page showed before; this sentence stands for it until `shows` is called."""
    st.session_state[_SHOWN] = sentence, None


def shows(sentence: str, drawing: Drawing | None = None) -> None:
    """Note what the page shows, in one sentence of plain text, and how it is drawn on a card; both are untrusted."""
    st.session_state[_SHOWN] = sentence, drawing


def offer(address: str | None, page: str, state: Mapping[str, str]) -> None:
    """At the foot of a page: the QR code of its state, the card, and a button that adds the state to the presentation."""
    sentence, drawing = st.session_state[_SHOWN]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="share"):
        offer_code(address)
        offer_file(
            "Share card (PNG)",
            lambda: card(sentence, drawing, address),
            f"{page}-card.png",
            "image",
            help="A picture of this page with one sentence and its link",
        )
        if page != "present":
            # Not a callback: it would add the state of the run before, without what was moved since.
            if st.button("Add to presentation", icon=":material/playlist_add:", help="As a screen of the presenter view"):
                _add(Screen(page, dict(state), sentence.split(". ")[0][:MOST_TITLE]))
                st.rerun()
            if problem := st.session_state.pop("deck problem", None):
                st.error(problem)
            count = len(held())
            link(f"Presentation: {count}" if count else "Presentation", "present", icon=":material/slideshow:")


def _add(screen: Screen) -> None:
    try:
        hold((*held(), screen))
    except DeckError as error:
        st.session_state["deck problem"] = str(error)


def offer_code(address: str | None) -> None:
    """A button that shows the address as a QR code; nothing if the address is unknown or too long."""
    if not fits_code(address):
        return
    # Drawn when it is asked for: the code takes as long as an answer of a small network.
    below = st.popover(
        "QR code",
        icon=":material/qr_code_2:",
        help="Opens this page, as it is set, on other devices",
        key="qr",
        on_change="rerun",
    )
    if below.open:
        with below:
            show_code(address)


def reach(address: str) -> str:
    """What is to be said of an address that works on this machine only; nothing of any other."""
    return ALONE if urlsplit(address).hostname in {"localhost", "127.0.0.1", "::1"} else ""


def show_code(address: str) -> None:
    """The address as a QR code, below it as text, and above it what must be known of it."""
    safe = escape(address, quote=True)
    alt = "QR code of the address below"
    source = f"data:image/png;base64,{base64.b64encode(code(address)).decode()}"
    alone = f"<p>{said}</p>" if (said := reach(address)) else ""
    st.html(f'{_CSS}<div class="qr">{alone}<img src="{source}" alt="{alt}"><a href="{safe}">{safe}</a></div>')
