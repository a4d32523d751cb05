"""The camera, at its full resolution."""

from __future__ import annotations

from collections.abc import Callable

from ui.components import mount, reported, sent_file

_MOST_TEXT = 24 << 20


def camera(*, key: str, on_photo: Callable[[], None]) -> None:
    """Show the camera; `on_photo` is called when a photo was taken, before the page is drawn again."""
    mount("camera", {}, key=key, callbacks={"photo": on_photo})


def sent_by(key: str) -> bytes | None:
    """The photo that the camera has just sent, as JPEG bytes, or None. Raises PhotoError when it sent something else."""
    sent = reported(key, "photo")
    return None if sent is None else sent_file(sent, _MOST_TEXT, "photo")
