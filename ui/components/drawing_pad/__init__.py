"""The drawing pad: pen and eraser for mouse, finger and stylus. What the browser sends is untrusted, as an upload is."""

from __future__ import annotations

import base64
import binascii

from advcore.images.decode import PhotoError
from ui.components import mount

SIDE = 448  # 16 canvas pixels for each of MNIST's
_MAX_TEXT = 2 << 20


def drawing_pad(*, key: str, hint: str = "Draw here", kept: bytes | None = None) -> bytes | None:
    """Show the pad; returns the drawing as PNG bytes, dark ink on white, or None while it is empty.

    Reported after every stroke. A pad that was hidden for a while begins with `kept`, its last result. Raises PhotoError when
    the browser sends no such drawing.
    """
    message = {"side": SIDE, "hint": hint, "kept": base64.b64encode(kept or b"").decode()}
    result = mount("drawing_pad", message, key=key, states={"drawing": None})
    return kept if result["drawing"] is None else _bytes(result["drawing"])


def _bytes(sent: object) -> bytes | None:
    if sent == "":
        return None
    if not isinstance(sent, str) or len(sent) > _MAX_TEXT:
        raise PhotoError("The drawing did not arrive in one piece; draw it again.")
    try:
        data = base64.b64decode(sent, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PhotoError("The drawing did not arrive in one piece; draw it again.") from error
    if not data.startswith(b"\x89PNG"):
        raise PhotoError("The drawing pad did not send a drawing; draw it again.")
    return data
