"""Ways to save an image, and the pixels that are read back afterwards."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from advcore.images.encode import to_bytes


@dataclass(frozen=True)
class Saving:
    """A way to save an image: its title, and the function from pixels (C×H×W in [0, 1]) to the pixels read back."""

    title: str
    apply: Callable[[Tensor], Tensor]


def as_png(pixels: Tensor) -> Tensor:
    """Rounded to 256 levels, as in a PNG file."""
    return to_bytes(pixels).float().div(255)


def as_jpeg(quality: int) -> Callable[[Tensor], Tensor]:
    """Compressed by Pillow's JPEG encoder at a quality from 1 to 95, and decoded again."""

    def compressed(pixels: Tensor) -> Tensor:
        array = to_bytes(pixels).permute(1, 2, 0).cpu().numpy()
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(array.squeeze(2) if array.shape[2] == 1 else array)).save(
            buffer, "JPEG", quality=quality
        )
        opened = torch.from_numpy(np.array(Image.open(buffer))).view(array.shape)
        return opened.permute(2, 0, 1).float().div(255).to(pixels.device)

    return compressed


def as_print(pixels: Tensor) -> Tensor:
    """A simple model of a print that is photographed: blurred (σ = 0.6 pixels), 80 % of the contrast, grain (σ = 0.02)."""
    taps = torch.exp(-0.5 * (torch.arange(-2.0, 3.0, device=pixels.device) / 0.6) ** 2)
    kernel = (taps / taps.sum()).outer(taps / taps.sum())
    padded = F.pad(pixels[:, None], (2, 2, 2, 2), mode="replicate")
    blurred = F.conv2d(padded, kernel[None, None])[:, 0]
    grain = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0)).to(pixels.device)
    return as_png((0.5 + 0.8 * (blurred - 0.5) + 0.02 * grain).clamp(0, 1))


SAVINGS = (
    Saving("PNG", as_png),
    Saving("JPEG quality 90", as_jpeg(90)),
    Saving("JPEG quality 50", as_jpeg(50)),
    Saving("JPEG quality 20", as_jpeg(20)),
    Saving("simulated print", as_print),
)
