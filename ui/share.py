"""The state of a page for the phones in the room: its address as a QR code."""

from __future__ import annotations

import base64
import io
from html import escape
from urllib.parse import urlsplit

import segno
import streamlit as st

_MOST = 1200
"""Characters of an address that a phone still reads from a projector."""
ALONE = (
    "This address works on this machine alone. For phones, start the app with make run ADDRESS=0.0.0.0 and open it here under "
    "the machine's name or number in the network."
)
_CSS = """<style>
.qr img { display: block; width: min(20rem, 80vw); image-rendering: pixelated; border-radius: .5rem; }
.qr { max-width: 24rem; font-size: .9rem; } .qr a { overflow-wrap: anywhere; color: inherit; }
</style>"""


def offer_code(address: str | None) -> None:
    """A button that shows the address as a QR code; nothing where it is not known or too long for one."""
    if address is None or len(address) > _MOST or urlsplit(address).scheme not in {"http", "https"}:
        return
    with st.popover("QR code", icon=":material/qr_code_2:", help="Opens this very state on other devices"):
        safe = escape(address, quote=True)
        alt = "QR code of the address below"
        alone = f"<p>{ALONE}</p>" if urlsplit(address).hostname in {"localhost", "127.0.0.1", "::1"} else ""
        st.html(f'{_CSS}<div class="qr"><img src="{picture(address)}" alt="{alt}"><a href="{safe}">{safe}</a>{alone}</div>')


def picture(address: str) -> str:
    """The QR code, black on white with its quiet zone, as the URL of a PNG."""
    buffer = io.BytesIO()
    segno.make_qr(address, error="l").save(buffer, kind="png", scale=6, border=4)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
