"""Pixels to bytes: 8-bit images, PNG files with a note, thumbnails."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor
from torch.nn import functional as F

from advcore.images.levels import NOTE_KEY


def encode_png(pixels: Tensor, note: dict[str, Any] | None = None) -> bytes:
    """PNG bytes of uint8 C×H×W pixels, with `note` as JSON in a text chunk, from which `decode` reads it."""
    array = pixels.permute(1, 2, 0).cpu().numpy()
    extra = PngImagePlugin.PngInfo()
    if note is not None:
        extra.add_text(NOTE_KEY, json.dumps(note))
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array))
    # Attacked photographs hardly shrink at any level, and at a high one several megapixels take seconds.
    image.save(buffer, "PNG", pnginfo=extra, compress_level=6 if array.size < 3_000_000 else 1)
    return buffer.getvalue()


def to_bytes(pixels: Tensor) -> Tensor:
    """Pixel space [0, 1] to uint8, rounded to the nearest of 256 levels."""
    return pixels.mul(255).round().clamp(0, 255).to(torch.uint8)


def png(pixels: Tensor) -> bytes:
    """One image, C×H×W uint8 or float in [0, 1], as PNG bytes at its own size."""
    return encode_png(pixels if pixels.dtype == torch.uint8 else to_bytes(pixels))


def thumbnails(images: Tensor, side: int = 64) -> Tensor:
    """Images uint8 N×C×H×W scaled down to at most `side` pixels high and wide; smaller ones are unchanged."""
    if max(images.shape[2:]) <= side:
        return images.contiguous()
    scale = side / max(images.shape[2:])
    size = [max(1, round(edge * scale)) for edge in images.shape[2:]]
    return to_bytes(F.interpolate(images.float() / 255, size=size, mode="area"))


def amplification(largest: float) -> int:
    """The factor by which a perturbation of at most `largest` is multiplied to draw it around mid-grey: 1, 2, 3, 5, …, 100.

    It is the largest that keeps the drawing within 0.35 of mid-grey, which leaves room for somewhat larger perturbations.
    """
    return max(factor for factor in (1, 2, 3, 5, 10, 20, 30, 50, 100) if factor == 1 or factor * largest <= 0.35)
