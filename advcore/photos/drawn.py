"""Generated pictures: handwritten digits, on a clean pad or on unevenly lit paper, and a stop sign."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

# Control points of each digit's strokes, in two variants: "x,y x,y …" in percent of a box, y down, strokes separated by |.
STROKES: dict[int, tuple[str, ...]] = {
    0: ("50,0 15,20 5,55 25,95 60,97 90,60 85,20 50,0", "60,3 20,10 10,50 20,90 50,100 80,85 88,45 75,10 45,0"),
    1: ("50,0 50,50 48,100", "30,20 45,8 55,0 | 55,0 53,50 52,100"),
    2: ("12,25 30,2 65,2 80,25 60,55 15,97 | 15,97 50,96 90,95", "15,20 40,0 75,10 75,40 40,75 10,95 35,88 60,97 92,92"),
    3: ("15,10 50,0 80,15 70,40 40,48 | 40,48 75,52 88,75 60,98 12,92", "10,18 35,0 75,8 75,35 42,47 80,58 82,88 45,100 8,85"),
    4: ("35,0 20,30 8,60 | 8,60 50,60 95,58 | 68,10 67,50 65,100", "15,5 12,30 15,50 | 15,50 50,52 85,48 | 82,0 80,50 76,100"),
    5: (
        "85,2 50,2 20,3 | 20,3 17,20 15,42 | 15,42 50,33 85,50 85,80 50,100 10,92",
        "25,2 22,25 20,43 | 20,43 55,38 82,60 72,90 40,100 10,88 | 25,2 50,3 82,0",
    ),
    6: ("70,0 35,25 15,60 25,93 60,100 82,78 65,55 35,60 18,78", "60,0 25,30 12,70 40,100 78,88 78,60 50,50 18,68"),
    7: ("10,5 50,4 88,3 | 88,3 60,45 40,100", "10,12 50,6 88,5 | 88,5 68,40 50,70 42,100"),
    8: (
        "75,12 45,0 20,20 45,45 78,68 70,95 35,98 20,75 50,48 80,25 72,10",
        "50,47 22,30 30,5 65,3 78,25 50,47 18,70 30,97 68,97 82,72 50,47",
    ),
    9: (
        "80,20 50,0 20,15 22,42 50,50 78,30 80,18 | 80,18 78,55 70,100",
        "75,10 40,0 15,25 35,48 70,35 78,8 | 78,8 75,50 55,100",
    ),
}


def _strokes_of(text: str) -> list[np.ndarray]:
    """The strokes written in a line of `STROKES`, each N×2 in the unit box."""
    return [np.array([point.split(",") for point in stroke.split()], dtype=float) / 100 for stroke in text.split("|")]


@dataclass(frozen=True)
class Hand:
    """A handwriting and its paper. `size` is in pixels, `height` a share of it, other lengths shares of the digit's height."""

    size: int = 400
    height: float = 0.6
    thickness: float = 0.1
    slant: float = 0.0
    jitter: float = 0.0
    turn: float = 0.0
    narrow: float = 0.62
    at: tuple[float, float] = (0.5, 0.5)
    white_on_black: bool = False
    photo: float = 0.0
    """0 is a clean pad; 1 is a photograph of paper: uneven light, a shadow, noise and blur."""


def _smooth(points: np.ndarray, steps: int = 24) -> np.ndarray:
    """A Catmull–Rom curve through the points."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    at = np.linspace(0, 1, steps, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        parts.append(0.5 * (2 * b + (c - a) * at + (2 * a - 5 * b + 4 * c - d) * at**2 + (3 * b - a - 3 * c + d) * at**3))
    return np.vstack([*parts, points[-1:]])


def ink_of(digit: int, hand: Hand, seed: int = 0) -> Image.Image:
    """The ink alone: mode L, 255 where the pen was."""
    generator = np.random.default_rng(seed)
    sheet, height = Image.new("L", (hand.size * 2, hand.size * 2)), hand.height * hand.size * 2
    draw = ImageDraw.Draw(sheet)
    variants = STROKES[digit]
    for stroke in _strokes_of(variants[seed % len(variants)]):
        points = stroke + generator.normal(0, hand.jitter, stroke.shape)
        curve = _smooth(points) - 0.5
        curve = np.stack([curve[:, 0] * hand.narrow - curve[:, 1] * hand.slant, curve[:, 1]], 1) * height
        curve += np.array(hand.at) * hand.size * 2
        radius = hand.thickness * height / 2
        for x, y in _dense(curve, max(1.0, radius / 2)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    turned = sheet.rotate(hand.turn, Image.Resampling.BICUBIC)
    return turned.resize((hand.size, hand.size), Image.Resampling.BOX)


def _dense(curve: np.ndarray, step: float) -> np.ndarray:
    """Points along the curve, at most `step` apart."""
    lengths = np.r_[0, np.cumsum(np.hypot(*np.diff(curve, axis=0).T))]
    at = np.arange(0, lengths[-1] + step, step)
    return np.stack([np.interp(at, lengths, curve[:, axis]) for axis in (0, 1)], 1)


def picture_of(digit: int, hand: Hand, seed: int = 0) -> Image.Image:
    """The digit as a photo: mode L on a pad, RGB on photographed paper."""
    return on_paper(ink_of(digit, hand, seed), hand, seed)


def on_paper(strokes: Image.Image, hand: Hand, seed: int = 0) -> Image.Image:
    """Ink (mode L, 255 where it is) as it looks on a pad or on photographed paper."""
    ink = np.asarray(strokes, np.float32) / 255
    if not hand.photo:
        return Image.fromarray((255 * (ink if hand.white_on_black else 1 - ink)).astype(np.uint8))
    generator = np.random.default_rng(seed + 1)
    y, x = np.mgrid[0 : 1 : complex(hand.size), 0 : 1 : complex(hand.size)].astype(np.float32)
    angle = generator.uniform(0, 2 * np.pi)
    fall = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    light = 0.78 - 0.35 * hand.photo * fall
    edge = generator.uniform(0.25, 0.45)
    light *= 1 - 0.18 * hand.photo / (1 + np.exp(-(fall - edge) * 40))
    grain = Image.fromarray(generator.normal(128, 40, (hand.size // 6 + 1,) * 2).clip(0, 255).astype(np.uint8))
    grain = np.asarray(grain.resize((hand.size, hand.size), Image.Resampling.BICUBIC), np.float32) / 255 - 0.5
    depth = generator.uniform(0.5, 0.9)
    colour = np.stack([light * (1 - ink * depth * share) for share in (1.0, 0.95, generator.uniform(0.5, 1))], 2)
    colour += 0.05 * hand.photo * grain[..., None] + generator.normal(0, 0.02 * hand.photo, colour.shape)
    photo = Image.fromarray((255 * colour.clip(0, 1)).astype(np.uint8))
    return photo.filter(ImageFilter.GaussianBlur(hand.size * 0.003 * hand.photo))


def stop_sign(size: int = 384) -> Image.Image:
    """A stop sign at dusk, which fills the picture as the signs of GTSRB do: mode RGB, `size` pixels wide and high."""
    side, middle = 3 * size, 1.5 * size
    red, white = (100, 20, 27), (135, 135, 138)
    picture = Image.new("RGB", (side, side), (90, 105, 120))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0.78 * side, side, side), fill=(54, 66, 48))
    draw.rectangle((0.47 * side, 0.8 * side, 0.53 * side, side), fill=(72, 72, 72))
    for radius, colour in ((0.46, white), (0.43, red)):
        draw.regular_polygon((middle, middle, radius * side), 8, fill=colour)
    word = _word("STOP").resize((int(0.7 * side), int(0.34 * side)), Image.Resampling.LANCZOS)
    picture.paste(white, tuple(int(middle - length / 2) for length in word.size), word)
    return picture.resize((size, size), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.004 * size))


def _word(text: str) -> Image.Image:
    """The text in bold, cut to its letters: mode L, 255 where they are."""
    font, bold = ImageFont.load_default(size=200), 6
    left, top, right, bottom = (int(at) for at in font.getbbox(text, stroke_width=bold))
    found = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(found).text((-left, -top), text, font=font, fill=255, stroke_width=bold)
    return found
