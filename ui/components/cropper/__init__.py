"""The cropper: a frame on the picture that can be moved and resized and keeps the model's proportions."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass

from torch import Tensor

from advcore.images.encode import encode_png
from ui.components import is_finite, mount, reported

MAX_ZOOM = 20.0


@dataclass(frozen=True)
class Crop:
    """A frame `zoom` times smaller than the largest that fits; x and y in [0, 1] are its position."""

    zoom: float = 1.0
    x: float = 0.5
    y: float = 0.5

    @property
    def whole(self) -> bool:
        """Whether the frame is the largest one, in the middle."""
        return self == Crop()


def held_crop(key: str, photo_id: str) -> Crop:
    """The frame as the person left it on this picture; the whole picture if they did not change it."""
    return _crop(reported(key, "crop"), photo_id)


def cropper(
    preview: Tensor,
    size: tuple[int, int],
    proportion: float,
    *,
    found: tuple[int, int, int, int] | None,
    photo_id: str,
    label: str,
    key: str,
) -> None:
    """Show the picture (uint8 C×h×w, a small copy of one of `size`) with the frame; `held_crop` returns its position.

    `proportion` is width over height; `found` (left, top, width, height), drawn dashed, is the part of the frame that is used.
    The frame returns to the whole picture when `photo_id` changes.
    """
    message = {
        "source": base64.b64encode(encode_png(preview)).decode(),
        "size": list(size),
        "proportion": proportion,
        "found": None if found is None else list(found),
        "picture": photo_id,
        "label": label,
        "longest": MAX_ZOOM,
        "crop": asdict(held_crop(key, photo_id)),
    }
    mount("cropper", message, key=key, states=("crop",))


def _crop(sent: object, photo_id: str) -> Crop:
    """The crop that the browser reports, if it belongs to this picture; else the whole picture."""
    if not isinstance(sent, dict) or sent.get("picture") != photo_id:
        return Crop()
    values = [sent.get(name) for name in ("zoom", "x", "y")]
    if not all(is_finite(value) for value in values):
        return Crop()
    zoom, x, y = (float(value) for value in values)  # type: ignore[arg-type]
    return Crop(min(max(zoom, 1.0), MAX_ZOOM), min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0))
