"""The camera, at its full resolution. What the browser sends is untrusted, as an upload is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

import streamlit as st

from advcore.images.decode import PhotoError
from ui.components import mount

_MOST_TEXT = 24 << 20


def camera(*, key: str, on_photo: Callable[[], None]) -> None:
    """Show the camera; `on_photo` is called when a photo was taken, before the page is drawn again."""
    mount("camera", {}, key=key, states={}, callbacks={"photo": on_photo})


def sent_by(key: str) -> bytes | None:
    """The photo that the camera has just sent, as JPEG bytes. Raises PhotoError when it sent no such thing."""
    return shot((st.session_state.get(key) or {}).get("photo"))


def shot(sent: object) -> bytes | None:
    """The photo that the browser sent, or None."""
    if sent is None:
        return None
    if not isinstance(sent, str) or len(sent) > _MOST_TEXT:
        raise PhotoError("The photo did not arrive in one piece; take it again.")
    try:
        return base64.b64decode(sent, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PhotoError("The photo did not arrive in one piece; take it again.") from error
