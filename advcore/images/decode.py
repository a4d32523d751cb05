"""Photo files from outside: bytes nobody has checked to 8-bit pixels, or one clear sentence why not.

Everything here is untrusted: the name, the header, the pixels. The size is known, and limited, before a pixel is decoded,
and only the decoders of `FORMATS` are ever let near the bytes.
"""

from __future__ import annotations

import io
import json
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from advcore.errors import AdvcoreError
from advcore.images.encode import NOTE_KEY

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_BYTES = 64 << 20
MAX_PIXELS = 50_000_000
MIN_SIDE = 8  # the smallest model's own images: what is downloaded there can be opened again
MAX_ASPECT = 50
LIMITS = (
    f"PNG, JPEG, WebP, GIF, BMP or TIFF, up to {MAX_BYTES >> 20} MiB and {MAX_PIXELS // 10**6} megapixels, "
    f"at least {MIN_SIDE} pixels a side"
)
_MAX_NOTE = 4000
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


class PhotoError(AdvcoreError):
    """A picture cannot be read, is too large, or too small."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded file: `pixels` uint8 C×H×W (0…255), C = 1 for grey files and 3 for all others.

    `notes` say in words what was done to bring it there; `note` is what this app itself wrote into the file, if anything:
    as untrusted as the rest.
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
    """The picture in a file on this machine. Raises PhotoError as `decode` does, or when there is no such file."""
    name = shown_name(file.name)
    try:
        info = file.stat()
        if not stat.S_ISREG(info.st_mode):
            raise PhotoError(f"{name} is not a file; give the path of a picture.")
        if info.st_size > MAX_BYTES:
            raise _too_heavy(name)
        return decode(file.read_bytes(), name)
    except OSError as error:
        raise PhotoError(f"{name} cannot be opened: {error.strerror or 'it is not there'}.") from error


def decode(data: bytes, name: str = "picture") -> Photo:
    """Decode one picture: its first frame, turned as its EXIF data say, 8 bits a value.

    Transparent parts come out white, or black where what is drawn is itself nearly white. 16-bit values are scaled, wider
    ones stretched from their darkest to their brightest; palettes, CMYK and other colour spaces become RGB.
    Raises PhotoError, in one sentence, for anything that is no picture of `FORMATS` or lies outside the limits.
    """
    name = shown_name(name)
    if len(data) > MAX_BYTES:
        raise _too_heavy(name)
    if problem := _not_a_picture(data):
        raise PhotoError(f"{name} {problem}")
    if data[8:12] == b"WEBP":  # the one decoder that fills memory while it opens
        _check_size(name, *_webp_size(name, data))
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(name, *picture.size)
            return _decoded(picture, name)
    except PhotoError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except MemoryError as error:
        raise PhotoError(f"{name} needs more memory than there is; save it smaller and try again.") from error
    except Exception as error:  # on broken files the decoders raise whatever they stumble over
        raise PhotoError(
            f"{name} is damaged, cut off or of a rare kind and cannot be decoded; save it again as PNG."
        ) from error


def shown_name(name: str) -> str:
    """A file name fit to be shown: its last part, printable, at most 60 characters."""
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(character for character in last if character.isprintable()).strip()
    return (clean if len(clean) <= 60 else f"{clean[:40]}…{clean[-16:]}") or "picture"


# --- before decoding ---------------------------------------------------------------------------------------------------


def _too_heavy(name: str) -> PhotoError:
    return PhotoError(f"{name} is larger than {MAX_BYTES >> 20} MiB; save it smaller and try again.")


def _too_large(name: str) -> PhotoError:
    return PhotoError(f"{name} has more than {MAX_PIXELS // 10**6} megapixels; save it smaller and try again.")


def _check_size(name: str, width: int, height: int) -> None:
    """Raise PhotoError unless a picture of that size may be decoded."""
    if width < 1 or height < 1:
        raise PhotoError(f"{name} is {width}×{height} pixels, which is nothing to look at; choose another picture.")
    if width * height > MAX_PIXELS:
        raise _too_large(name)
    if min(width, height) < MIN_SIDE:
        raise PhotoError(f"{name} is {width}×{height} pixels; a model needs at least {MIN_SIDE} a side.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PhotoError(f"{name} is {width}×{height} pixels, too narrow a strip for a model; crop it and try again.")


def _not_a_picture(data: bytes) -> str | None:
    """What is wrong with bytes that do not begin like one of `FORMATS`; the file's name is never trusted."""
    head = data[:1024]
    if not data:
        return "is empty (0 bytes); choose another file."
    known = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    if head.startswith(known) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return None
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text and text.startswith(b"<"):
        return "is an SVG drawing, which has lines and no pixels; export it as PNG."
    if head[4:8] == b"ftyp":
        still = head[8:12] in (b"heic", b"heix", b"heif", b"mif1", b"msf1", b"hevc", b"avif", b"avis")
        return f"is {'a HEIC or AVIF picture' if still else 'a video'}, which cannot be read here; save it as JPEG or PNG."
    if text.startswith((b"<!doctype html", b"<html")):
        return "is a web page, not a picture; save the picture itself."
    if head.startswith((b"%PDF", b"PK\x03\x04")):
        return "is a PDF or ZIP file, not a picture; export the picture as PNG or JPEG."
    return "is no picture that can be read here, whatever its name says; use a PNG or JPEG file."


def _webp_size(name: str, data: bytes) -> tuple[int, int]:
    """Width and height from a WebP header, after the container specification (extended, lossless and lossy form)."""
    kind, body = data[12:16], data[20:30]
    if len(body) == 10 and kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if len(body) == 10 and kind == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if len(body) == 10 and kind == b"VP8 ":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise PhotoError(f"{name} is damaged or cut off: its WebP header is not whole; save it again as PNG.")


# --- decoding ------------------------------------------------------------------------------------------------------------


def _decoded(picture: Image.Image, name: str) -> Photo:
    notes = []
    kind = "JPEG" if picture.format == "MPO" else str(picture.format)
    if getattr(picture, "is_animated", False):
        notes.append("only its first picture is used")
    note = _own_note(picture)
    turn = turn_upright(picture)
    picture.load()
    _check_size(name, *picture.size)
    levels, words = _levels(picture)
    notes += words
    if turn is not None:
        levels = levels.transpose(turn)
        notes.append("turned as its EXIF data say")
    array = np.array(levels)
    pixels = torch.from_numpy(array[:, :, None] if array.ndim == 2 else array).permute(2, 0, 1)
    return Photo(name, kind, pixels, tuple(notes), note)


def turn_upright(picture: Image.Image) -> Image.Transpose | None:
    """The turn that the picture's EXIF orientation asks for; None where it stands upright or broken EXIF data say nothing."""
    if picture.format == "TIFF":  # its decoder turns by itself
        return None
    try:
        return _TURNS.get(int(picture.getexif().get(_ORIENTATION, 1)))
    except Exception:  # a parser of untrusted bytes
        return None


def _own_note(picture: Image.Image) -> dict[str, Any] | None:
    """The JSON object that `encode_png` left in the file."""
    text = picture.info.get(NOTE_KEY)
    if not isinstance(text, str) or len(text) > _MAX_NOTE:
        return None
    try:
        note = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) else None


def _levels(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """The picture in mode L or RGB, 8 bits, and what was done to bring it there."""
    if picture.mode.startswith("I;16"):
        return _from_values(np.asarray(picture).astype(np.float32) / 65535), ["16 bits brought to 8"]
    if picture.mode in ("I", "F"):
        return _stretched(np.asarray(picture).astype(np.float64))
    if picture.has_transparency_data:
        return _on_paper(picture)
    if picture.mode in ("L", "RGB"):
        return picture, []
    words = ["CMYK brought to RGB"] if picture.mode == "CMYK" else []
    return picture.convert("L" if picture.mode == "1" else "RGB"), words


def _from_values(values: np.ndarray) -> Image.Image:
    """Values in [0, 1] as a grey picture."""
    return Image.fromarray((values * 255).round().astype(np.uint8))


def _stretched(values: np.ndarray) -> tuple[Image.Image, list[str]]:
    """32-bit values: 8- and 16-bit ranges and [0, 1] are kept as such, any other is stretched to what it holds."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    for top in (1.0, 255.0, 65535.0):
        if low >= 0 and top / 4 < high <= top:
            return _from_values(values / top), ["32 bits brought to 8"]
    return _from_values((values - low) / (high - low or 1.0)), ["stretched from its darkest to its brightest value"]


def _on_paper(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """Lay transparent parts on white; on black where what is drawn is nearly white and would vanish."""
    grey = picture.mode in ("L", "LA", "La", "1")
    layered = picture.convert("LA" if grey and picture.mode != "La" else "RGBA")
    alpha = np.asarray(layered.getchannel("A"), dtype=np.float32)
    if alpha.min() == 255:
        return layered.convert("L" if grey else "RGB"), []
    luminance = np.asarray(layered.convert("L"), dtype=np.float32)
    white_ink = alpha.any() and float((luminance * alpha).sum() / alpha.sum()) > 0.9 * 255
    paper = Image.new(layered.mode, layered.size, (*([0] if white_ink else [255]) * (len(layered.getbands()) - 1), 255))
    paper.paste(layered, mask=layered.getchannel("A"))
    return paper.convert("L" if grey else "RGB"), [f"transparent parts laid on {'black' if white_ink else 'white'}"]
