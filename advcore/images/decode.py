"""Photos: image files decoded to uint8 pixels."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advcore.images.levels import MAX_BYTES, PhotoError, decode_photo, shown_name, too_heavy


@dataclass(frozen=True, eq=False)
class Photo:
    """A person's own picture: `pixels` uint8 C×H×W (0…255), C = 1 for grey files and 3 for all others.

    `notes` and `note` are those of `levels.Decoded`.
    """

    name: str
    format: str
    pixels: Tensor
    notes: tuple[str, ...] = ()
    note: dict[str, Any] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[2], self.pixels.shape[1]


def read(file: Path) -> Photo:
    """The photo in a file on this machine. Raises PhotoError as `decode` does, or when there is no such file."""
    name = shown_name(file.name)
    try:
        info = file.stat()
        if not stat.S_ISREG(info.st_mode):
            raise PhotoError(f"{name} is not a file; give the path of an image file.")
        if info.st_size > MAX_BYTES:
            raise too_heavy(name)
        return decode(file.read_bytes(), name)
    except OSError as error:
        raise PhotoError(f"{name} cannot be opened: {error.strerror or 'it is not there'}.") from error


def decode(data: bytes, name: str = "image") -> Photo:
    """Decode a photo in this process. Raises PhotoError as `levels.decode_photo` does."""
    name = shown_name(name)
    decoded = decode_photo(data, name)
    return photo_of(np.array(decoded.image), name, decoded.format, decoded.notes, decoded.note)


def photo_of(
    levels: np.ndarray, name: str, kind: str, notes: tuple[str, ...] = (), note: dict[str, Any] | None = None
) -> Photo:
    """A photo of decoded levels, uint8 H×W or H×W×3."""
    pixels = torch.from_numpy(levels[:, :, None] if levels.ndim == 2 else levels).permute(2, 0, 1)
    return Photo(name, kind, pixels, notes, note)
