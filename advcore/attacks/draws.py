"""Random numbers that belong to an image: drawn from (seed, index of the image in its dataset, stream), always on the CPU.

An image therefore gets the same numbers in any batch, in any order, in any process and on any device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def uniform(indices: Tensor, shape: Sequence[int], *, seed: int, stream: int = 0) -> Tensor:
    """Uniform numbers in [0, 1): float32 N×shape on the CPU, a row for each of `indices` (int64 N).

    `stream` separates draws that must be independent, such as the restarts of one attack.
    """
    rows = [torch.rand(shape, generator=generator) for generator in _generators(indices, seed, stream)]
    return torch.stack(rows) if rows else torch.empty(0, *shape)


def normal(indices: Tensor, shape: Sequence[int], *, seed: int, stream: int = 0) -> Tensor:
    """Standard normal numbers: float32 N×shape on the CPU; otherwise as `uniform`."""
    rows = [torch.randn(shape, generator=generator) for generator in _generators(indices, seed, stream)]
    return torch.stack(rows) if rows else torch.empty(0, *shape)


def _generators(indices: Tensor, seed: int, stream: int) -> Iterator[torch.Generator]:
    generator = torch.Generator()
    for index in indices.tolist():
        digest = hashlib.blake2b(f"{seed} {index} {stream}".encode(), digest_size=8).digest()
        yield generator.manual_seed(int.from_bytes(digest, "little", signed=True))
