"""A card: one picture (PNG, 1200 × 630) with what a page shows, one sentence, the link and its QR code."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import segno
import streamlit as st
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from advcore.evaluation.curves import RobustnessCurve
from advcore.images.encode import to_bytes
from ui.pictures import Picture
from ui.words import DEFENDED, FOOLED, percent

if TYPE_CHECKING:
    from ui.charts import Trace
    from ui.components.scrubber import Scrubbed, Side

Drawing = Callable[[], Image.Image]
"""Makes what a card shows above its sentence, at most `AREA` pixels."""
SIZE, AREA = (1200, 630), (1104, 340)
_EDGE, _CODE = 48, 216
_INK, _GREY, _GROUND = "#14202b", "#55606b", "#ffffff"
_MOST_SENTENCE = 260
_MOST_LINK = 1200
"""Characters: phones cannot read longer addresses as a QR code from a projector."""
_MOST_PICTURES, _MOST_LINES = 4, 6


def card(sentence: str, drawing: Drawing | None, address: str | None) -> bytes:
    """The card as a PNG. Without a drawing the sentence stands alone; an address that no QR code can hold is left out."""
    whole = Image.new("RGB", SIZE, _GROUND)
    pen = ImageDraw.Draw(whole)
    pen.rectangle((0, 0, SIZE[0], 10), fill="#0072B2")
    large = 40 if drawing is None else 30
    top = 190
    if drawing is not None:
        shown = drawing()
        whole.paste(shown, ((SIZE[0] - shown.width) // 2, 34))
        top = 34 + AREA[1] + 16
    linked = address if fits_code(address) else None
    wide = SIZE[0] - 2 * _EDGE - (_CODE + 24 if linked and drawing is not None else 0)
    pen.multiline_text((_EDGE, top), "\n".join(_wrapped(sentence, large, wide, 3)), _INK, _font(large, bold=True), spacing=8)
    pen.text((_EDGE, SIZE[1] - 62), "Adversarial Lab", _GREY, _font(24, bold=True))
    if linked:
        found = Image.open(io.BytesIO(code(linked))).convert("RGB")
        # Whole pixels for each module, so that phones read it.
        scale = max(1, _CODE // (found.width // 6))
        found = found.resize((found.width // 6 * scale,) * 2, Image.Resampling.NEAREST)
        whole.paste(found, (SIZE[0] - _EDGE - found.width, SIZE[1] - 24 - found.height))
        link = _wrapped(linked, 20, SIZE[0] - 2 * _EDGE - 190 - found.width - 24, 1)[0]
        pen.text((_EDGE + 190, SIZE[1] - 59), link, _GREY, _font(20))
    buffer = io.BytesIO()
    whole.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def pictures_row(shown: Sequence[Picture]) -> Image.Image:
    """Pictures beside each other, each with its name, the model's answer and the verdict."""
    shown = shown[:_MOST_PICTURES]
    whole = Image.new("RGB", AREA, _GROUND)
    pen = ImageDraw.Draw(whole)
    side, wide = 220, AREA[0] // len(shown)
    for place, picture in enumerate(shown):
        left = place * wide + (wide - side) // 2
        image = _image(picture.pixels, side)
        whole.paste(image, (left + (side - image.width) // 2, (side - image.height) // 2))
        if picture.verdict:
            pen.rectangle((left - 5, -1, left + side + 4, side + 4), outline=picture.colour, width=5)
        lines = [(picture.what, 20, False, _GREY), (picture.says, 25, True, _INK), (picture.verdict, 25, True, picture.colour)]
        height = side + 10
        for text, size, bold, ink in lines:
            if text:
                written = _wrapped(text, size, wide - 12, 1, bold=bold)[0]
                pen.text((left + side // 2, height), written, ink, _font(size, bold=bold), anchor="ma")
                height += size + 9
    return whole


def sides_drawn(sides: Sequence[Side], class_names: Sequence[str], left: Scrubbed) -> Image.Image:
    """The clean image, and for each model the image as attacked where ε was released, with the model's answer to it."""
    seen = [side.noise if left.noise and side.noise is not None else side.attack for side in sides]
    label = class_names[seen[0].label] if sides[0].judged else ""
    shown = [Picture(seen[0].image, "without an attack", label)]
    for letter, side, scrub in zip("ABCD", sides, seen, strict=False):
        place = scrub.place(left.epsilon)
        answer, wrong = int(scrub.answers[place]), bool(scrub.answers[place] != scrub.label)
        begun_wrong = bool(scrub.answers[0] != scrub.label)
        bad, good = ("✗ WRONG", "✓ RIGHT") if begun_wrong else ("✗ FOOLED", "✓ HELD")
        verdict = (bad if wrong else good) if side.judged else f"answer {'changed' if wrong else 'unchanged'}"
        says = f"{class_names[answer]} · {percent(float(scrub.shares[place, answer]))}"
        shown.append(Picture(scrub.attacked(place)[0], f"{letter}: {side.role}", says, verdict, FOOLED if wrong else DEFENDED))
    return pictures_row(shown)


def curves_drawn(curves: Sequence[tuple[Trace, RobustnessCurve]]) -> Image.Image:
    """Accuracy in percent against ε, one line a curve, named at the right."""
    curves = curves[:_MOST_LINES]
    scale = 2  # drawn twice as large, for smooth lines
    whole = Image.new("RGB", (AREA[0] * scale, AREA[1] * scale), _GROUND)
    pen = ImageDraw.Draw(whole)
    left, right, top, bottom = 70 * scale, 690 * scale, 10 * scale, 290 * scale
    last = max(curve.epsilons[-1] for _, curve in curves) or 1.0

    def place(epsilon: float, share: float) -> tuple[float, float]:
        return left + (right - left) * epsilon / last, bottom - (bottom - top) * share

    font = _font(18 * scale)
    for share in (0, 0.5, 1):
        pen.line([place(0, share), place(last, share)], "#d9e0e6", scale)
        pen.text((left - 8 * scale, place(0, share)[1]), f"{100 * share:.0f} %", _GREY, font, anchor="rm")
    for epsilon, anchor in ((0.0, "la"), (last, "ra")):
        pen.text((place(epsilon, 0)[0], bottom + 8 * scale), f"{epsilon:g}", _GREY, font, anchor=anchor)
    pen.text(((left + right) / 2, bottom + 8 * scale), "accuracy against ε", _GREY, font, anchor="ma")
    for number, (trace, curve) in enumerate(curves):
        points = [place(epsilon, share) for epsilon, share in zip(curve.epsilons, curve.accuracy, strict=True)]
        pen.line(points, trace.colour, 4 * scale, joint="curve")
        for x, y in points if trace.dash != "solid" else []:
            pen.ellipse((x - 5 * scale, y - 5 * scale, x + 5 * scale, y + 5 * scale), _GROUND, trace.colour, 3 * scale)
        height = top + number * 46 * scale
        name = _wrapped(trace.name, 18 * scale, AREA[0] * scale - right - 30 * scale, 2)
        pen.rectangle((right + 20 * scale, height + 4 * scale, right + 26 * scale, height + 40 * scale), trace.colour)
        pen.multiline_text((right + 36 * scale, height), "\n".join(name), _INK, font, spacing=2 * scale)
    return whole.resize(AREA, Image.Resampling.LANCZOS)


def fits_code(address: str | None) -> bool:
    """Whether it is a web address short enough for a QR code."""
    return address is not None and len(address) <= _MOST_LINK and urlsplit(address).scheme in {"http", "https"}


@functools.lru_cache(maxsize=128)
def code(address: str) -> bytes:
    """The QR code as a PNG, black on white with its quiet zone; 6 pixels for each module."""
    buffer = io.BytesIO()
    segno.make_qr(address, error="l").save(buffer, kind="png", scale=6, border=4)
    return buffer.getvalue()


def _image(pixels: Tensor, side: int) -> Image.Image:
    """An image C×H×W in [0, 1] that fits into a square; a small one keeps its hard edges."""
    values = to_bytes(pixels).permute(1, 2, 0).cpu().numpy()
    found = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values).convert("RGB")
    factor = side / max(found.size)
    small = max(found.size) <= 96
    size = tuple(max(1, round(length * factor)) for length in found.size)
    return found.resize(size, Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)


def _wrapped(text: str, size: int, wide: float, most: int, *, bold: bool = True) -> list[str]:
    """The text in lines of at most `wide` pixels; what does not fit in `most` lines is cut off with an ellipsis."""
    font, lines = _font(size, bold=bold), [""]
    words = " ".join(text.split())[: _MOST_SENTENCE if most > 1 else _MOST_LINK].split(" ")
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= wide or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    cut = len(lines) > most
    lines = lines[:most]
    for place, line in enumerate(lines):
        end = "…" if cut and place == most - 1 else ""
        if font.getlength(line + end) > wide:
            end = "…"
        while len(line) > 1 and font.getlength(line + end) > wide:
            line = line[:-1]
        lines[place] = line + end
    return lines


@functools.lru_cache(maxsize=32)
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Streamlit's Source Sans, which has ε, ∞ and ✓; if it is missing, Pillow's default font, which does not."""
    media = Path(st.__file__).parent / "static" / "static" / "media"
    found = next(iter(media.glob("SourceSansVF-Upright*")), None)
    if found is None:
        return ImageFont.load_default(size)
    font = ImageFont.truetype(found, size)
    font.set_variation_by_axes([700 if bold else 400])
    return font
