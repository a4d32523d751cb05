"""Random changes of training images, on the device and for a whole batch at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 2
"""Pixels by which `shift` moves an image at most."""
CUTOUT = 3 / 8
"""The side of the square of `cutout`, as a share of the image's height."""


def augment(images: Tensor, names: Collection[str], generator: torch.Generator) -> Tensor:
    """Float images N×C×H×W, changed at random as `recipe.AUGMENTATIONS` says; all draws come from `generator`.

    `alternate_flip` is left to the training loop, because it depends on the epoch.
    """
    count, device = len(images), images.device

    def draw() -> Tensor:
        return torch.empty(count, device=generator.device).uniform_(-1, 1, generator=generator).to(device)

    if "flip" in names:
        images = mirrored(images, draw() > 0)
    if "shift" in names:
        corners = [((draw() + 1) * (SHIFT + 0.5)).long().clamp_(max=2 * SHIFT) for _ in range(2)]
        images = windows(images, corners)
    if "cutout" in names:
        images = cut_out(images, (draw() + 1) / 2, (draw() + 1) / 2)
    if not {"rotate", "crop"} & set(names):
        return images
    angle = draw() * (math.pi / 12) if "rotate" in names else torch.zeros(count, device=device)
    offset = [draw() / 4 if "crop" in names else torch.zeros(count, device=device) for _ in range(2)]
    if "rotate" not in names:  # whole pixels, so that nothing is blurred
        offset = [torch.round(part * size / 2) * 2 / size for part, size in zip(offset, images.shape[:1:-1], strict=True)]
    ratio = images.shape[2] / images.shape[3]
    rows = [
        torch.stack([angle.cos(), -angle.sin() * ratio, offset[0]], 1),
        torch.stack([angle.sin() / ratio, angle.cos(), offset[1]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def mirrored(images: Tensor, which: Tensor) -> Tensor:
    """The images N×C×H×W, those where `which` (bool N) is true mirrored left-right."""
    return torch.where(which[:, None, None, None], images.flip(3), images)


def cut_out(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """The images N×C×H×W with a grey square around the place (`down`, `across`), each a share N of the side in [0, 1].

    The square is cut off at the border (DeVries & Taylor 2017, arXiv 1708.04552).
    """
    sides = [torch.arange(size, device=images.device) for size in images.shape[2:]]
    reach = CUTOUT * images.shape[2] / 2
    inside = [
        ((side + 0.5 - (share * len(side))[:, None]).abs() < reach) for side, share in zip(sides, (down, across), strict=True)
    ]
    return torch.where((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.5, images)


def windows(images: Tensor, corners: Sequence[Tensor]) -> Tensor:
    """Windows of the images N×C×H×W, mirrored at the border; their corners lie at rows and columns N from 0 to 2 · SHIFT."""
    height, width = images.shape[2:]
    padded = F.pad(images, (SHIFT,) * 4, "reflect").permute(0, 2, 3, 1)
    rows = corners[0][:, None] + torch.arange(height, device=images.device)
    columns = corners[1][:, None] + torch.arange(width, device=images.device)
    each = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
