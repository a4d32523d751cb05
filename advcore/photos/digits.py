"""Finds a handwritten digit on paper, on a drawing pad or on a blackboard, and frames it as its dataset does.

The brightness of the paper, which is never even, is fitted by a quadratic surface. Ink is what differs from it (Otsu 1979), and
the digit is the heaviest connected piece of ink with the strokes near it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from advcore.data import BUILT_IN, DigitForm

_TERMS = 6  # 1, x, y, x², xy, y²
_FAINTEST = 0.08  # the least contrast between ink and paper
_NOISE = 1 / 255


@dataclass(frozen=True)
class Ink:
    """How paper and ink are distinguished in one photo.

    `paper` are the coefficients of the paper's brightness: of 1, x, y, x², xy and y², with x and y in [0, 1] over the photo. A
    pixel that differs from it by `floor` or less is paper, by `depth` or more is ink. `boost` multiplies the ink after the
    resize, which makes thin strokes faint.
    """

    paper: tuple[float, ...]
    floor: float
    depth: float
    boost: float = 1.0

    def paper_at(self, x: Tensor, y: Tensor) -> Tensor:
        """The paper's brightness at x and y in [0, 1]."""
        one, along, down, along2, both, down2 = self.paper
        return one + along * x + down * y + along2 * x * x + both * x * y + down2 * y * y

    def shares(self, grey: Tensor, paper: Tensor, *, dark: bool) -> Tensor:
        """Grey values to ink in [0, 1]; `dark` for dark ink on bright paper, else the reverse."""
        difference = paper - grey if dark else grey - paper
        return _clamp_through((difference - self.floor) / (self.depth - self.floor))

    def strengthened(self, seen: Tensor) -> Tensor:
        """The ink after the resize, multiplied by `boost`."""
        return seen if self.boost == 1 else _clamp_through(seen * self.boost)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"paper": list(self.paper), "floor": self.floor, "depth": self.depth, "boost": self.boost}

    @staticmethod
    def from_dict(values: Any) -> Ink:
        """What `to_dict` wrote. Raises ValueError, TypeError or KeyError for invalid values."""
        paper = tuple(float(value) for value in values["paper"])
        ink = Ink(paper, float(values["floor"]), float(values["depth"]), float(values["boost"]))
        if len(paper) != _TERMS or not all(abs(value) <= 100 for value in paper):  # false for NaN too
            raise ValueError("paper")
        if not (0 <= ink.floor < ink.depth <= 2 and ink.depth - ink.floor >= 0.01 and 1 <= ink.boost <= 10):
            raise ValueError("ink")
        return ink


@dataclass(frozen=True)
class Sample:
    """A part of a photo in grey, float32 h×w in [0, 1]: one value for each block of `factor` pixels from (left, top)."""

    grey: Tensor
    left: int
    top: int
    factor: int
    size: tuple[int, int]
    """Width and height of the whole photo."""


@dataclass(frozen=True)
class Digit:
    """A digit found: the ink's own box (left, top, right, bottom) and centre of mass in the photo's pixels."""

    box: tuple[float, float, float, float]
    mass: tuple[float, float]
    dark: bool
    ink: Ink

    def framed(self, form: DigitForm, pixels: int) -> tuple[int, int, int, int]:
        """The crop (left, top, width, height) with which a model of `pixels` a side sees the digit as in its dataset."""
        left, top, right, bottom = self.box
        side = max(pixels / 4, max(right - left, bottom - top) * pixels / form.ink)
        x, y = self.mass if form.by_mass else ((left + right) / 2, (top + bottom) / 2)
        return round(x - side / 2), round(y - side / 2), max(1, round(side)), max(1, round(side))


def form_of(dataset: str) -> DigitForm | None:
    """How the dataset frames its digits; None for a dataset without digits."""
    return BUILT_IN[dataset].digit_form if dataset in BUILT_IN else None


def find(sample: Sample, dark: bool | None = None) -> Digit | None:
    """The digit in a part of a photo, or None without ink. With `dark` None, it is detected whether the ink is dark."""
    grey = sample.grey.numpy().astype(np.float64)
    if min(grey.shape) < 4:
        return None
    x = (sample.left + (np.arange(grey.shape[1]) + 0.5) * sample.factor) / sample.size[0]
    y = (sample.top + (np.arange(grey.shape[0]) + 0.5) * sample.factor) / sample.size[1]
    terms = _surface(*np.meshgrid(x, y))
    paper, noise = _fit_paper(grey, terms)
    difference = grey - terms @ paper
    if dark is None:
        dark = bool(_beyond(-difference, noise) >= _beyond(difference, noise))
    strength = -difference if dark else difference
    edge = max(_otsu(strength), 4 * noise)
    inked = strength > edge
    if not inked.any() or (depth := float(np.percentile(strength[inked], 60))) < _FAINTEST:
        return None
    kept = _digit_parts(strength > min(edge, 0.5 * depth), strength)
    rows, columns = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
    share = np.where(kept, strength.clip(0, depth), 0)
    floor = min(2.5 * noise if noise > _NOISE else 0.0, 0.3 * depth)
    ink = Ink(tuple(float(f"{value:.6g}") for value in paper), float(f"{floor:.6g}"), float(f"{depth:.6g}"))
    unit, left, top = sample.factor, sample.left, sample.top
    box = (left + columns[0] * unit, top + rows[0] * unit, left + (columns[-1] + 1) * unit, top + (rows[-1] + 1) * unit)
    centres = [(share.sum(axis) * (np.arange(grey.shape[1 - axis]) + 0.5)).sum() / share.sum() for axis in (0, 1)]
    return Digit(tuple(map(float, box)), (left + centres[0] * unit, top + centres[1] * unit), dark, ink)  # type: ignore[arg-type]


def boosted(ink: Ink, seen: Tensor) -> Ink:
    """The ink with the `boost` that makes its brightest strokes in `seen`, what the model sees, equal to 1."""
    brightest = float(seen.flatten().topk(max(8, round(0.02 * seen.numel()))).values.mean())
    return replace(ink, boost=float(f"{min(4.0, max(1.0, 1 / max(brightest, 1e-3))):.4g}"))


def _clamp_through(values: Tensor) -> Tensor:
    """Values clamped to [0, 1], with the gradient of the identity (a straight-through estimator).

    Paper lies slightly below 0 and ink slightly above 1. There the true gradient is 0 although a step of ε can change the
    result, which alone would make attacks fail: Athalye et al. 2018 (arXiv 1802.00420), section 4.1.
    """
    return values + (values.clamp(0, 1) - values).detach()


def paper_of(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """The smooth brightness of the paper at every pixel of a grey image (h×w in [0, 1]), and the noise on it."""
    across, down = ((np.arange(side) + 0.5) / side for side in grey.shape[::-1])
    terms = _surface(*np.meshgrid(across, down))
    paper, noise = _fit_paper(grey, terms)
    return terms @ paper, noise


def _surface(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The terms 1, x, y, x², xy, y² at every point, h×w×6."""
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)


def _fit_paper(grey: np.ndarray, terms: np.ndarray) -> tuple[np.ndarray, float]:
    """The coefficients of the paper's brightness and the standard deviation of its noise; ink is treated as outliers."""
    step = max(1, round(math.sqrt(grey.size / 4000)))
    values, basis = grey[::step, ::step].ravel(), terms[::step, ::step].reshape(-1, _TERMS)
    rim = np.zeros_like(grey, bool)
    rim[[0, 1, -2, -1]] = rim[:, [0, 1, -2, -1]] = True
    # The border of a photo is mostly paper, even when thick strokes fill its middle.
    trust = np.where(rim[::step, ::step].ravel(), 4.0, 1.0)
    paper = np.zeros(_TERMS)
    paper[0] = np.median(grey[rim])
    for _ in range(20):
        residual = values - basis @ paper
        spread = max(_NOISE, 1.4826 * float(np.median(np.abs(residual))))
        weight = trust / (1 + (residual / (2.5 * spread)) ** 2) ** 2
        normal = (basis * weight[:, None]).T @ basis + 1e-6 * weight.sum() * np.eye(_TERMS)
        paper = np.linalg.solve(normal, (basis * weight[:, None]).T @ values)
    return paper, max(_NOISE, 1.4826 * float(np.median(np.abs(values - basis @ paper))))


def _beyond(strength: np.ndarray, noise: float) -> float:
    """The sum of the strengths above the noise."""
    return float((strength - max(4 * noise, _FAINTEST / 2)).clip(min=0).sum())


def _otsu(strength: np.ndarray) -> float:
    """Otsu's threshold (1979) between paper and ink."""
    if strength.max() <= 0:
        return math.inf
    counts, edges = np.histogram(strength.clip(min=0), 128)
    centres = (edges[:-1] + edges[1:]) / 2
    below, mass = np.cumsum(counts)[:-1], np.cumsum(counts * centres)
    above = counts.sum() - below
    # The first and the last bin are never empty, so neither side is.
    between = below * above * (mass[:-1] / below - (mass[-1] - mass[:-1]) / above) ** 2
    return float(centres[np.argmax(between)])


def _digit_parts(inked: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """The digit's part of the ink: the heaviest piece and those near it, without specks and pieces that touch the edge."""
    from scipy import ndimage

    touching = np.ones((3, 3))
    labels, count = ndimage.label(ndimage.binary_dilation(inked, touching), touching)
    weights = ndimage.sum_labels(strength * inked, labels, range(1, count + 1))
    boxes = [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in ndimage.find_objects(labels)]
    height, width = inked.shape
    at_edge = [top == 0 or left == 0 or bottom == height or right == width for top, bottom, left, right in boxes]
    main = max(range(count), key=lambda piece: weights[piece] * (0.15 if at_edge[piece] else 1.0))
    top, bottom, left, right = boxes[main]
    reach = 0.2 * max(bottom - top, right - left)
    kept = []
    for piece, (first, last, before, behind) in enumerate(boxes):
        near = max(first - bottom, top - last, before - right, left - behind, 0) <= reach
        heavy = weights[piece] > 0.04 * weights[main]
        if piece == main or (near and heavy and (not at_edge[piece] or at_edge[main])):
            kept.append(piece + 1)
    return np.isin(labels, kept) & inked
