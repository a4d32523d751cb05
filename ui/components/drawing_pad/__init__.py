"""The drawing pad: pen and eraser for mouse, finger and stylus."""

from __future__ import annotations

import base64

from advcore.images.decode import PhotoError
from ui.components import mount, sent_file

SIDE = 448  # 16 canvas pixels for each of MNIST's
_MOST_TEXT = 2 << 20


def drawing_pad(*, key: str, hint: str = "Draw here", kept: bytes | None = None) -> bytes | None:
    """Show the pad; returns the drawing as PNG bytes, dark ink on white, or None while it is empty.

    The page is drawn again after every stroke. A pad that was hidden for a while begins with `kept`, its last result. Raises
    PhotoError when the browser sends something else.
    """
    message = {"side": SIDE, "hint": hint, "kept": base64.b64encode(kept or b"").decode()}
    result = mount("drawing_pad", message, key=key, states=("drawing",))
    return kept if result["drawing"] is None else _bytes(result["drawing"])


def _bytes(sent: object) -> bytes | None:
    if sent == "":
        return None
    data = sent_file(sent, _MOST_TEXT, "drawing")
    if not data.startswith(b"\x89PNG"):
        raise PhotoError("The drawing pad did not send a drawing; draw it again.")
    return data
