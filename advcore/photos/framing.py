"""What a model sees of a photo: a crop resized to the model's size, differentiable with respect to the photo's pixels.

A `Framing` holds the choices (where to crop, whether to invert, what is paper and what is ink) as plain numbers; a `View`
applies them as a layer, so that `nn.Sequential(view, model)` is a model of the whole photo and every attack works on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcore.data import DigitForm
from advcore.images.decode import Photo, PhotoError
from advcore.images.encode import encode_png
from advcore.models.architectures import Shape
from advcore.photos import digits
from advcore.photos.digits import Ink

Box = tuple[int, int, int, int]
_GREY = (0.299, 0.587, 0.114)  # ITU-R 601, as in Pillow and JPEG
_GAP = 2  # blocks a model pixel: Pillow's advice for `reducing_gap`, with which the two steps of the resize cannot be seen
_BRIGHT = 0.6  # a border brighter than this is paper; below it, the photo is bright on dark, as the grey datasets are
_MOST_BLOCKS = 64  # for each pixel of the model; a crop of the model's proportions has at most 16


@dataclass(frozen=True)
class Framing:
    """How a photo becomes what a model sees.

    `box` is (left, top, width, height) in the photo's pixels; it may reach beyond the photo, where everything is background.
    `invert` makes dark bright (grey models only). `ink`, for digits, says what is paper and what is ink; without it grey
    values are unchanged. `size` is the photo's width and height.
    """

    size: tuple[int, int]
    box: Box
    invert: bool = False
    ink: Ink | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        ink = None if self.ink is None else self.ink.to_dict()
        return {"size": list(self.size), "box": list(self.box), "invert": self.invert, "ink": ink}

    @staticmethod
    def from_dict(values: Any) -> Framing:
        """The framing that `to_dict` wrote. The values are untrusted: raises PhotoError for invalid ones."""
        try:
            size = tuple(int(value) for value in values["size"])
            box = tuple(int(value) for value in values["box"])
            ink = None if values["ink"] is None else Ink.from_dict(values["ink"])
            framing = Framing(size, box, bool(values["invert"]), ink)  # type: ignore[arg-type]
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise PhotoError("The crop written in this file cannot be read; choose another.") from error
        if len(size) != 2 or len(box) != 4 or not all(0 < side < 10**6 for side in (*size, *box[2:])) or not framing._touches():
            raise PhotoError("The crop written in this file lies outside the picture; choose another.")
        return framing

    def _touches(self) -> bool:
        (width, height), (left, top, wide, tall) = self.size, self.box
        return left < width and top < height and left + wide > 0 and top + tall > 0 and max(wide, tall) <= 4 * max(self.size)


class View(nn.Module):
    """Photos N×C×H×W in [0, 1] to what a model of `shape` sees of them, N×c×h×w in [0, 1]; C is 1 or 3.

    The steps: crop, mean over blocks of `factor`×`factor` pixels, grey or colour as the model needs, paper and ink, and an
    antialiased bilinear resize (blocks first, as with Pillow's `reducing_gap`). All but the clamping of ink are linear, so that
    gradients reach the photo's pixels.
    Raises PhotoError when the box is too small, lies outside the photo or is far longer than wide for this model.
    """

    def __init__(self, framing: Framing, shape: Shape) -> None:
        super().__init__()
        self.framing, self.shape = framing, shape
        channels, height, width = shape
        left, top, wide, tall = framing.box
        self.factor = max(1, math.floor(min(wide / width, tall / height) / _GAP))
        if (wide // self.factor) * (tall // self.factor) > _MOST_BLOCKS * width * height:  # before any memory is allocated
            raise PhotoError("The crop is far longer than wide, or wider than long; choose one closer to a square.")
        across, down = _span(left, wide, framing.size[0], self.factor), _span(top, tall, framing.size[1], self.factor)
        self.rows, self.columns = slice(*down[0]), slice(*across[0])
        self.pad = (*across[1], *down[1])
        self.invert = framing.invert and channels == 1
        self.ink = framing.ink if channels == 1 else None
        paper = torch.zeros(1) if self.ink is None else self._paper(self.ink)
        self.register_buffer("paper", paper, persistent=False)

    def _paper(self, ink: Ink) -> Tensor:
        """The paper's brightness at the centre of every block, 1×1×h×w."""
        width, height = self.framing.size
        centres = [
            (torch.arange(part.start, part.stop, self.factor, dtype=torch.float32) + self.factor / 2) / side
            for part, side in ((self.columns, width), (self.rows, height))
        ]
        return ink.paper_at(centres[0][None, :], centres[1][:, None])[None, None]

    def forward(self, photos: Tensor) -> Tensor:
        """What the model sees of the photos."""
        return self.from_blocks(self.blocks(photos))

    def blocks(self, photos: Tensor) -> Tensor:
        """The means over the blocks of the box that lie within the photo: N×C×H×W to N×C×h×w."""
        inside = photos[:, :, self.rows, self.columns]
        return inside if self.factor == 1 else F.avg_pool2d(inside, self.factor)

    def from_blocks(self, blocks: Tensor) -> Tensor:
        """What the model sees, from the blocks' means."""
        channels, height, width = self.shape
        seen = _in_channels(blocks, channels)
        if self.ink is not None:
            seen = self.ink.shares(seen, self.paper, dark=self.invert)
        elif self.invert:
            seen = 1 - seen
        if any(self.pad):
            seen = F.pad(seen, self.pad)
        if seen.shape[2:] != (height, width):
            seen = F.interpolate(seen, (height, width), mode="bilinear", antialias=True)
        return seen if self.ink is None else self.ink.strengthened(seen)


def _span(start: int, length: int, side: int, factor: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Along one axis: the pixels (first, end) that whole blocks of the box cover, and the blocks missing at either end."""
    count = length // factor
    start += (length - count * factor) // 2  # the remainder, smaller than a block, is left out at both ends
    before = max(0, -(start // factor) if start < 0 else 0)
    first = start + before * factor
    inside = max(0, min(count - before, (side - first) // factor))
    if inside == 0:
        raise PhotoError("The crop is too small or lies outside the picture; choose a larger one.")
    return (first, first + inside * factor), (before, count - before - inside)


# --- choosing a framing --------------------------------------------------------------------------------------------------


def crop_box(size: tuple[int, int], shape: Shape, zoom: float = 1.0, x: float = 0.5, y: float = 0.5) -> Box:
    """A box of the model's proportions, `zoom` ≥ 1 times smaller than the largest; x, y in [0, 1] move it in the photo."""
    (width, height), (_, tall, wide) = size, shape
    scale = min(width / wide, height / tall) / max(1.0, zoom)
    across, down = max(1, min(width, round(wide * scale))), max(1, min(height, round(tall * scale)))
    left, top = (round(min(max(at, 0.0), 1.0) * room) for at, room in ((x, width - across), (y, height - down)))
    return left, top, across, down


def frame(
    photo: Photo,
    shape: Shape,
    dataset: str = "",
    *,
    crop: Box | None = None,
    invert: bool | None = None,
    plain: bool = False,
) -> Framing:
    """The framing of a photo for a model of `shape` trained on `dataset`.

    A file that this app wrote for the same dataset keeps the framing written in it. A photo of the model's own size is used
    pixel by pixel. For datasets of digits (MNIST, digits) a digit is searched, in `crop` if given, and framed as in its
    dataset. Without a digit, with `plain`, and for all other datasets, the crop (or the middle of the photo) is used unchanged.
    Grey models expect bright on dark: with `invert` None, the border decides whether to invert. Raises PhotoError when the crop
    contains no pixel of the photo.
    """
    if crop is None and invert is None and not plain and (known := _written_framing(photo, shape, dataset)) is not None:
        return known
    channels, height, width = shape
    whole = Framing(photo.size, crop or crop_box(photo.size, shape))
    if channels != 1:
        return whole
    form = None if plain or (crop is None and photo.size == (width, height)) else digits.form_of(dataset)
    if form and (found := _digit(photo, shape, form, crop, invert)):
        return found
    return replace(whole, invert=_bright_border(photo, whole) if invert is None else invert)


def middle(photo: Photo, shape: Shape) -> Framing:
    """The largest middle part of the photo with the proportions of `shape`."""
    return Framing(photo.size, crop_box(photo.size, shape))


def saved_png(pixels: Tensor, framing: Framing, dataset: str) -> bytes:
    """uint8 pixels C×H×W as PNG bytes with the framing inside: `frame` uses it when the file is opened for that dataset."""
    return encode_png(pixels, {"framing": framing.to_dict(), "dataset": dataset})


def whole_framing(shape: Shape) -> Framing:
    """The framing of a photo that already has the size of a model of `shape`."""
    _, height, width = shape
    return Framing((width, height), (0, 0, width, height))


def _written_framing(photo: Photo, shape: Shape, dataset: str) -> Framing | None:
    """The framing that `saved_png` wrote into the file, if it is for this dataset and fits the photo and the model."""
    if photo.note is None or photo.note.get("dataset") != dataset:
        return None
    try:
        framing = Framing.from_dict(photo.note.get("framing"))
        View(framing, shape)
    except PhotoError:
        return None
    return framing if framing.size == photo.size else None


def pixels_of(photo: Photo) -> Tensor:
    """The photo in pixel space: float32 1×C×H×W in [0, 1]."""
    return photo.pixels[None].float().div_(255)


def view_of(photo: Photo, framing: Framing, shape: Shape) -> Tensor:
    """What a model of `shape` sees of the photo, float32 1×c×h×w in [0, 1]; never holds the whole photo as floats."""
    view = View(framing, shape)
    with torch.no_grad():
        return view.from_blocks(block_means(photo.pixels, view.rows, view.columns, view.factor)).clamp(0, 1)


def block_means(pixels: Tensor, rows: slice, columns: slice, factor: int) -> Tensor:
    """Means over whole factor×factor blocks of uint8 pixels C×H×W, one row of blocks at a time: float32 1×C×h×w in [0, 1]."""
    inside = pixels.permute(1, 2, 0).numpy()[rows, columns]
    (height, width), channels = (size // factor for size in inside.shape[:2]), inside.shape[2]
    means = np.empty((height, width, channels), np.float32)
    # Columns are summed as 16-bit integers where these suffice, which is faster than float32.
    total = np.uint16 if factor <= 257 else np.uint32
    for row in range(height):
        strip = inside[row * factor : (row + 1) * factor, : width * factor].reshape(factor, -1)
        sums = np.add.reduce(strip, axis=0, dtype=total).reshape(width, factor, channels)
        means[row] = sums.sum(1, dtype=np.float32)
    return torch.from_numpy(means).permute(2, 0, 1)[None].div_(255 * factor * factor)


def sample(photo: Photo, box: Box, longest: int = 192) -> digits.Sample:
    """The part of the photo within `box` in grey, as means over whole blocks, at most about `longest` pixels a side."""
    left, top, width, height = box
    factor = max(1, -(-max(width, height) // longest))
    columns, rows = (slice(*_span(*axis, factor)[0]) for axis in ((left, width, photo.size[0]), (top, height, photo.size[1])))
    grey = _in_channels(block_means(photo.pixels, rows, columns, factor), 1)[0, 0]
    return digits.Sample(grey, columns.start, rows.start, factor, photo.size)


def _in_channels(blocks: Tensor, channels: int) -> Tensor:
    """Grey to colour or colour to grey, N×C×h×w."""
    if blocks.shape[1] == channels:
        return blocks
    if channels == 3:
        return blocks.expand(-1, 3, -1, -1)
    red, green, blue = (blocks[:, index : index + 1] * share for index, share in enumerate(_GREY))
    return red + green + blue


def _digit(photo: Photo, shape: Shape, form: DigitForm, crop: Box | None, invert: bool | None) -> Framing | None:
    """The framing of the digit in the photo, or None when there is none."""
    region = crop or (0, 0, *photo.size)
    digit = digits.find(sample(photo, region), invert)
    if digit is None:
        return None
    # Search again in a smaller part: in a photograph of a page the digit may be only a few blocks tall.
    closer = digits.find(sample(photo, _within(_around(digit.box), region)), digit.dark)
    digit = closer or digit
    framing = Framing(photo.size, digit.framed(form, shape[1]), digit.dark, digit.ink)
    seen = view_of(photo, framing, shape)
    return replace(framing, ink=digits.boosted(digit.ink, seen))


def _around(box: tuple[float, float, float, float]) -> Box:
    """The box with 0.75 times its longer side added on every side: enough for the frame, wherever the mass lies."""
    left, top, right, bottom = box
    room = 0.75 * max(right - left, bottom - top)
    return (
        math.floor(left - room),
        math.floor(top - room),
        math.ceil(right - left + 2 * room),
        math.ceil(bottom - top + 2 * room),
    )


def _within(box: Box, region: Box) -> Box:
    """The part of a box inside a region that it overlaps."""
    left, top = max(box[0], region[0]), max(box[1], region[1])
    right, bottom = min(box[0] + box[2], region[0] + region[2]), min(box[1] + box[3], region[1] + region[3])
    return left, top, max(1, right - left), max(1, bottom - top)


def _bright_border(photo: Photo, framing: Framing) -> bool:
    """Whether the border of the box is bright, as paper is."""
    grey = sample(photo, framing.box).grey
    rim = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return float(rim.median()) > _BRIGHT
