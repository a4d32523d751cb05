"""A model's answers on a plane of images: decision maps (Goodfellow's "church window" plots).

The plane holds the images clip(image + a·u + b·v), cut to [0, 1]. `u` is the direction of an attack; `v` another direction, a
random one of the same size as a rule.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advcore.attacks import draws, probabilities
from advcore.epsilon import nearest
from advcore.errors import AttackError
from advcore.evaluation.scrub import Scrub

SIDES = (11, 51, 101)
"""Points along each side of a map, from the first look to the whole; each grid holds the points of the one before."""
_AT_ONCE = 256  # points that go through the model at once


@dataclass(frozen=True, eq=False)
class Plane:
    """The images clip(image + a·u + b·v) for a in [−reach[0], reach[0]] and b in [−reach[1], reach[1]].

    `image`, `u` and `v` are C×H×W on one device, the image in [0, 1], u and v within [−1, 1]. Raises AttackError where u and v
    span no plane.
    """

    image: Tensor
    u: Tensor
    v: Tensor
    reach: tuple[float, float]

    def __post_init__(self) -> None:
        if not len(self.box):
            raise AttackError("The two directions of a decision map point the same way; choose another second direction.")

    def at(self, places: Tensor) -> Tensor:
        """The images at `places` (N×2: a and b), N×C×H×W in [0, 1]."""
        a, b = (part.view(-1, 1, 1, 1).to(self.image) for part in places.unbind(1))
        return (self.image + a * self.u + b * self.v).clamp_(0, 1)

    def places(self, images: Tensor) -> Tensor:
        """For images N×C×H×W the nearest a and b, float32 N×2 (least squares, before clipping)."""
        basis = torch.stack([self.u.flatten(), self.v.flatten()], 1).double()
        change = (images - self.image).flatten(1).double().T
        return torch.linalg.lstsq(basis.cpu(), change.cpu()).solution.T.float()

    def path(self, seen: Scrub) -> Tensor:
        """Where an attack's image lies at each ε of its grid, nearest a and b: float32 E×2."""
        if seen.direction is not None:
            return torch.tensor(seen.epsilons)[:, None] * self.places((self.image + seen.direction)[None])
        assert seen.frames is not None
        return self.places(seen.frames.to(self.image).div(255))

    @functools.cached_property
    def box(self) -> np.ndarray:
        """The corners, in order, of the set of (a, b) with ‖a·u + b·v‖∞ ≤ 1, float64 M×2; times ε, those of the ε-box.

        The set is bounded by a line for each pixel: its corners belong to the edges of the convex hull of ±(u_i, v_i). Without
        corners (M = 0) u and v span no plane.
        """
        from scipy.spatial import ConvexHull, QhullError

        pairs = torch.stack([self.u.flatten(), self.v.flatten()], 1).double().cpu().numpy()
        points = np.unique(np.concatenate([pairs, -pairs]).round(6), axis=0)
        try:
            hull = points[ConvexHull(points).vertices]
        except (QhullError, ValueError):  # fewer than three points, or all on one line
            return np.empty((0, 2))
        return np.array(
            [np.linalg.solve(np.stack(edge), [1.0, 1.0]) for edge in zip(hull, np.roll(hull, -1, axis=0), strict=True)]
        )


def attack_direction(seen: Scrub, epsilon: float) -> Tensor:
    """The direction of an attack on one image, C×H×W within [−1, 1]: the point (ε, 0) of the plane is the attacked image.

    For an attack without one direction for all ε it is the one at the ε of its grid that is nearest to `epsilon` and not 0.
    Raises AttackError where the attack changed nothing.
    """
    if seen.direction is not None:
        found = seen.direction
    else:
        place = seen.epsilons.index(nearest(seen.epsilons[1:], epsilon))
        found = ((seen.attacked(place)[0].to(seen.image) - seen.image) / seen.epsilons[place]).clamp(-1, 1)
    if not found.any():
        raise AttackError("The attack changes nothing in this image: its gradient is zero, and there is no direction to draw.")
    return found


def random_direction(like: Tensor, seed: int) -> Tensor:
    """The values of `like` (C×H×W) in a random order with random signs: of the same size in every norm."""
    numbers = draws.uniform(torch.tensor([0, 1]), (like.numel(),), seed=seed)
    signs = torch.where(numbers[1] < 0.5, -1.0, 1.0).to(like)
    return (like.flatten()[numbers[0].argsort().to(like.device)] * signs).view_as(like)


@dataclass(frozen=True, eq=False)
class DecisionMap:
    """The answers on a grid of a plane: the predicted class (int64 S×S) and its probability (float32 S×S).

    Rows go from b = −reach to b = reach, columns from a = −reach to a = reach; S is odd, so that the image is the middle point.
    """

    classes: Tensor
    confidence: Tensor

    @property
    def side(self) -> int:
        """Points along each side."""
        return len(self.classes)

    @property
    def share(self) -> float:
        """The share of the whole map's points that is done."""
        return self.side**2 / SIDES[-1] ** 2

    def first_change(self, plane: Plane) -> float:
        """The smallest |b| at which the answer along ±v (a = 0) is not the image's own; ∞ if it is the same on all points."""
        middle = self.side // 2
        other = (self.classes[:, middle] != self.classes[middle, middle]).nonzero().flatten()
        return float((other - middle).abs().min()) * plane.reach[1] / middle if len(other) else math.inf

    def rows(self, plane: Plane, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """One record per point: a, b, class, confidence."""
        a, b = (np.linspace(-reach, reach, self.side) for reach in plane.reach)
        return [
            {
                "a": round(float(a[column]), 6),
                "b": round(float(b[row]), 6),
                "class": names[int(self.classes[row, column])],
                "confidence": round(float(self.confidence[row, column]), 6),
            }
            for row in range(self.side)
            for column in range(self.side)
        ]


def decision_map(
    model: nn.Module, plane: Plane, sides: tuple[int, ...] = (), known: DecisionMap | None = None
) -> Iterator[DecisionMap | None]:
    """The map on finer and finer grids of `sides` points (left out: SIDES), beginning after `known`; None after each part.

    Points that a coarser grid has are not evaluated again.
    """
    for side in sides or SIDES:
        if known is not None and side <= known.side:
            continue
        step = 0 if known is None or (side - 1) % (known.side - 1) else (side - 1) // (known.side - 1)
        classes, confidence = torch.full((side, side), -1), torch.zeros(side, side)
        if known is not None and step:
            classes[::step, ::step], confidence[::step, ::step] = known.classes, known.confidence
        rows, columns = (classes < 0).nonzero(as_tuple=True)
        a, b = (torch.linspace(-reach, reach, side) for reach in plane.reach)
        for start in range(0, len(rows), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            shares = probabilities(model, plane.at(torch.stack([a[columns[some]], b[rows[some]]], 1))).cpu()
            confidence[rows[some], columns[some]], classes[rows[some], columns[some]] = shares.max(1)
            if start + _AT_ONCE < len(rows):
                yield None
        known = DecisionMap(classes, confidence)
        yield known
