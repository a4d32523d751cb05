"""Digits in many hands for the tests: `advcore.drawn` within what people do, and printed ones in the fonts at hand."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from advcore.photos.drawn import Hand, on_paper, picture_of

__all__ = ["Hand", "fonts", "picture_of", "png_of", "printed", "random_hand"]


def random_hand(generator: np.random.Generator, *, photo: bool = False) -> Hand:
    """A hand within what people do."""
    return Hand(
        size=int(generator.integers(240, 700)),
        height=generator.uniform(0.35, 0.85) if not photo else generator.uniform(0.25, 0.7),
        thickness=generator.uniform(0.05, 0.16),
        slant=generator.uniform(-0.15, 0.3),
        jitter=generator.uniform(0.0, 0.03),
        turn=generator.uniform(-8, 8),
        narrow=generator.uniform(0.5, 0.8),
        at=(generator.uniform(0.42, 0.58), generator.uniform(0.45, 0.55)),
        white_on_black=bool(not photo and generator.random() < 0.3),
        photo=generator.uniform(0.3, 1.0) if photo else 0.0,
    )


def printed(digit: int, font: str, hand: Hand, seed: int = 0) -> Image.Image:
    """The digit set in a font, on the same pad or paper."""
    side = hand.size * 2
    size = hand.height * side * 1.25
    face = ImageFont.load_default(size) if font == "default" else ImageFont.truetype(font, round(size))
    sheet = Image.new("L", (side, side))
    ImageDraw.Draw(sheet).text((side * hand.at[0], side * hand.at[1]), str(digit), 255, face, anchor="mm")
    turned = sheet.rotate(hand.turn, Image.Resampling.BICUBIC).resize((hand.size, hand.size), Image.Resampling.BOX)
    return on_paper(turned, hand, seed)


def png_of(picture: Image.Image) -> bytes:
    """The picture as PNG bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def fonts() -> list[str]:
    """The fonts at hand: Pillow's own always, DejaVu and Liberation where the system has them."""
    folder = Path("/usr/share/fonts/truetype")
    names = (
        "dejavu/DejaVuSans.ttf",
        "dejavu/DejaVuSerif.ttf",
        "dejavu/DejaVuSans-Bold.ttf",
        "liberation/LiberationSans-Italic.ttf",
    )
    return ["default", *(str(folder / name) for name in names if (folder / name).exists())]
