"""The decoder of image files: untrusted bytes to 8-bit levels, or an error of one sentence.

Name, header and pixels are all untrusted. Size and structure are checked before a pixel is decoded, and only the decoders of
`FORMATS` are used: Pillow passes other formats, such as EPS, to external programs. Imports no torch, so that the process that
decodes uploads is small and starts fast.
"""

from __future__ import annotations

import io
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from advcore.errors import AdvcoreError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_BYTES = 64 << 20
MAX_PIXELS = 50_000_000
MIN_SIDE = 8  # the image size of the smallest model, so that its downloaded images can be opened again
MAX_ASPECT = 50
LIMITS = (
    f"PNG, JPEG, WebP, GIF, BMP or TIFF, up to {MAX_BYTES >> 20} MiB and {MAX_PIXELS // 10**6} megapixels, "
    f"at least {MIN_SIDE} pixels a side"
)
NOTE_KEY = "advcore"
"""The PNG text chunk with this app's own note."""
_MAX_NOTE = 4000
_MAX_SCANS, _MAX_SEGMENTS, _MAX_PADDING = 100, 1000, 64 << 10  # of a JPEG file; each scan covers all pixels
# The markers that Pillow takes to begin a segment: SOF, DHT, DAC, SOS, DQT, DNL, DRI, DHP, EXP, APP and COM.
_WITH_LENGTH = {bytes([code]) for code in (*range(0xC0, 0xC8), *range(0xC9, 0xD0), *range(0xDA, 0xF0), 0xFE)}
_STRIP = 1 << 20  # values that are turned from wide to 8 bits at a time
_ORIENTATION, _PHOTOMETRIC = 0x0112, 0x0106  # TIFF tags
_DEEP = ["16 bits brought to 8"]


class PhotoError(AdvcoreError):
    """An image file cannot be read, is too large, or too small."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image file as `image` in mode L (grey files) or RGB (all others), 8 bits a value.

    `notes` say in words how it was converted. `note` is the JSON that this app wrote into the file, if any; it is as untrusted
    as the rest.
    """

    image: Image.Image
    format: str
    notes: tuple[str, ...]
    note: dict[str, Any] | None


def decode_photo(data: bytes, name: str = "image") -> Decoded:
    """Decode as `decode_levels` does, and raise PhotoError also for an image too small or too narrow for any model."""
    decoded = decode_levels(data, name)
    width, height = decoded.image.size
    if min(width, height) < MIN_SIDE:
        raise PhotoError(f"{name} is {width}×{height} pixels; a model needs at least {MIN_SIDE} a side.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PhotoError(f"{name} is {width}×{height} pixels, too narrow a strip for a model; crop it and try again.")
    return decoded


def decode_levels(data: bytes, name: str = "image", *, upright: bool = True) -> Decoded:
    """Decode the first frame of an image file to 8 bits a value; `upright` applies its EXIF orientation.

    Transparent parts become white, or black behind a nearly white drawing. 16-bit values are scaled, and wider ones stretched
    from the darkest to the brightest; palettes, CMYK and other colour spaces become RGB.
    Raises PhotoError, in one sentence, for anything that is not an image of `FORMATS` or exceeds the limits.
    """
    if len(data) > MAX_BYTES:
        raise too_heavy(name)
    if problem := _not_an_image(data):
        raise PhotoError(f"{name} {problem}")
    if data[8:12] == b"WEBP":  # its decoder allocates the pixels when it opens a file
        _check_size(name, *_webp_size(name, data))
    if data[:2] == b"\xff\xd8":
        _check_jpeg(name, data)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(name, *image.size)
            return _decoded(image, upright)
    except PhotoError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except MemoryError as error:
        raise PhotoError(f"{name} needs more memory than there is; save it smaller and try again.") from error
    except Exception as error:  # on broken files the decoders raise any exception
        raise PhotoError(
            f"{name} is damaged, cut off or of a rare kind and cannot be decoded; save it again as PNG."
        ) from error


def read_header(file: Path) -> tuple[tuple[int, int], str]:
    """Width and height of the upright image in a file, and its colour mode. Raises PhotoError when it is not an image."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            return image.size[::-1] if _orientation(image) >= 5 else image.size, image.mode
    except Exception as error:  # as in `decode_levels`
        raise PhotoError(f"{shown_name(file.name)} is not an image file that can be read.") from error


def shown_name(name: str) -> str:
    """A file name that can be shown: the last part of its path, printable, at most 60 characters."""
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(character for character in last if character.isprintable()).strip()
    return (clean if len(clean) <= 60 else f"{clean[:40]}…{clean[-16:]}") or "image"


# --- before decoding ---------------------------------------------------------------------------------------------------


def too_heavy(name: str) -> PhotoError:
    """The error for a file of too many bytes."""
    return PhotoError(f"{name} is larger than {MAX_BYTES >> 20} MiB; save it smaller and try again.")


def _too_large(name: str) -> PhotoError:
    return PhotoError(f"{name} has more than {MAX_PIXELS // 10**6} megapixels; save it smaller and try again.")


def _check_size(name: str, width: int, height: int) -> None:
    """Raise PhotoError unless an image of this size may be decoded."""
    if width < 1 or height < 1:
        raise PhotoError(f"{name} has no pixels ({width}×{height}); choose another image.")
    if width * height > MAX_PIXELS:
        raise _too_large(name)


def _not_an_image(data: bytes) -> str | None:
    """What is wrong with bytes that do not begin like one of `FORMATS`, else None; the file's name does not count."""
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
        return f"is {'a HEIC or AVIF image' if still else 'a video'}, which cannot be read here; save it as JPEG or PNG."
    if text.startswith((b"<!doctype html", b"<html")):
        return "is a web page, not an image; save the image itself."
    if head.startswith((b"%PDF", b"PK\x03\x04")):
        return "is a PDF or ZIP file, not an image; export the image as PNG or JPEG."
    return "is not an image file that can be read here; use a PNG or JPEG file."


def _webp_size(name: str, data: bytes) -> tuple[int, int]:
    """Width and height from a WebP header, read as the container specification says (extended, lossless and lossy form)."""
    kind, body = data[12:16], data[20:30]
    if len(body) == 10 and kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if len(body) == 10 and kind == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if len(body) == 10 and kind == b"VP8 ":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise PhotoError(f"{name} is damaged or cut off: its WebP header is incomplete; save it again as PNG.")


def _check_jpeg(name: str, data: bytes) -> None:
    """Raise PhotoError for a JPEG file with far more scans or segments than any camera or program writes.

    Each scan takes a pass over all pixels, and Pillow reads the segments and the bytes between them one by one.
    """
    scans = data.count(b"\xff\xda")  # in compressed data, 0xff is followed by 0 or by a restart marker
    position, segments, padding = 2, 0, 0
    while (start := data.find(b"\xff", position)) >= 0 and segments <= _MAX_SEGMENTS and padding <= _MAX_PADDING:
        marker, length = data[start + 1 : start + 2], 0
        if marker in _WITH_LENGTH:
            length, segments = int.from_bytes(data[start + 2 : start + 4], "big"), segments + 1
        padding += start - position + (length < 2)
        position = start + (2 + length if length >= 2 else 1)
        if marker == b"\xda":
            break
    if scans > _MAX_SCANS or segments > _MAX_SEGMENTS or padding > _MAX_PADDING:
        raise PhotoError(f"{name} is a JPEG file of unusually many parts and takes too long to decode; save it again as PNG.")


# --- decoding ------------------------------------------------------------------------------------------------------------


def _decoded(image: Image.Image, upright: bool) -> Decoded:
    notes = ["only its first frame is used"] if getattr(image, "is_animated", False) else []
    kind, note = "JPEG" if image.format == "MPO" else str(image.format), _own_note(image)
    orientation = _orientation(image) if upright else 1
    image.load()
    levels, words = _levels(image)
    notes += words
    if orientation > 1:
        levels = levels.copy()
        levels.info = {}  # so that ImageOps reads the orientation alone: other EXIF data may be damaged
        levels.getexif()[_ORIENTATION] = orientation
        levels = ImageOps.exif_transpose(levels)
        notes.append("turned as its EXIF data say")
    return Decoded(levels, kind, tuple(notes), note)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8: 1 (upright) without usable EXIF data, and for TIFF, whose decoder applies it."""
    if image.format == "TIFF":
        return 1
    try:
        value = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a parser of untrusted bytes may raise anything
        return 1
    return value if 1 <= value <= 8 else 1


def _own_note(image: Image.Image) -> dict[str, Any] | None:
    """The JSON object that `encode_png` wrote into the file, or None."""
    text = image.info.get(NOTE_KEY)
    if not isinstance(text, str) or len(text) > _MAX_NOTE:
        return None
    try:
        note = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) else None


def _levels(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """The image in mode L or RGB, 8 bits, and in words how it was converted."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image)
        levels, words = _stretched(values) if image.mode in ("I", "F") else (_from_values(values, 0, 65535), _DEEP)
        # In TIFF files, 0 may mean white. Pillow inverts those of up to 8 bits itself.
        white_is_zero = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0
        return ImageOps.invert(levels) if white_is_zero else levels, words
    if image.has_transparency_data:
        return _on_paper(image)
    if image.mode in ("L", "RGB"):
        return image, []
    words = ["CMYK brought to RGB"] if image.mode == "CMYK" else []
    return image.convert("L" if image.mode == "1" else "RGB"), words


def _strips(values: np.ndarray) -> Iterator[slice]:
    """An image's rows, a few at a time: a 64-bit copy of fifty megapixels would take 400 MB."""
    rows = max(1, _STRIP // values.shape[1])
    return (slice(start, start + rows) for start in range(0, len(values), rows))


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _from_values(values: np.ndarray, low: float, high: float) -> Image.Image:
    """Values as a grey image, `low` black and `high` white."""
    levels = np.empty(values.shape, np.uint8)
    for rows in _strips(values):
        levels[rows] = ((_finite(values[rows]) - low) / (high - low) * 255).round()
    return Image.fromarray(levels)


def _stretched(values: np.ndarray) -> tuple[Image.Image, list[str]]:
    """32-bit values: the ranges of 8 and 16 bits and [0, 1] keep their scale, any other is stretched to black and white."""
    low = min(float(_finite(values[rows]).min()) for rows in _strips(values))
    high = max(float(_finite(values[rows]).max()) for rows in _strips(values))
    for top in (1.0, 255.0, 65535.0):
        if low >= 0 and top / 4 < high <= top:
            return _from_values(values, 0, top), ["32 bits brought to 8"]
    return _from_values(values, low, high if high > low else low + 1.0), ["stretched from its darkest to its brightest value"]


def _on_paper(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Put a transparent image on white, or on black when its drawing is nearly white and would not be seen."""
    grey = image.mode in ("L", "LA", "La", "1")
    layered = image.convert("LA" if grey and image.mode != "La" else "RGBA")
    mask = layered.getchannel("A")
    if mask.getextrema()[0] == 255:
        return layered.convert("L" if grey else "RGB"), []
    alpha, luminance = np.asarray(mask), np.asarray(layered.convert("L"))
    drawn = sum(int(alpha[rows].sum(dtype=np.int64)) for rows in _strips(alpha))
    light = sum(int((luminance[rows].astype(np.int64) * alpha[rows]).sum()) for rows in _strips(alpha))
    white_ink = drawn > 0 and light / drawn > 0.9 * 255
    drawing = layered.convert("L" if grey else "RGB")
    paper = Image.new(drawing.mode, drawing.size, "black" if white_ink else "white")
    paper.paste(drawing, mask=mask)
    return paper, [f"transparent parts laid on {'black' if white_ink else 'white'}"]
