"""Which device, which precision, how many threads."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import time
from typing import Literal, get_args

import torch
from torch import nn

from advcore.errors import AdvcoreError

Precision = Literal["fp32", "bf16"]
# malloc.h of the GNU C library
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def pick_device(name: str | None = None) -> torch.device:
    """The device called `name`, or the best one this machine has (CUDA, then Apple's MPS, then the CPU).

    Raises AdvcoreError when `name` is no device of this machine.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # what is computed there can be read back: `meta` is a device in name only
    except (RuntimeError, AssertionError) as error:
        raise AdvcoreError(f"This machine has no device '{name}'; use 'cpu', or leave it out to take the best one.") from error
    return device


def cores() -> int:
    """How many cores this process may run on: fewer than the machine has where a container says so."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, for the next layer to use (Linux; elsewhere nothing happens).

    The C library hands every large buffer back to the kernel and gets it again, zeroed page by page, at each layer of each
    step: keeping it makes CPU training a third faster.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest it takes
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_M_TOP_PAD, 64 << 20)


def describe(device: torch.device, precision: Precision) -> str:
    """The device and precision in words, for example `CPU (2 cores), fp32`."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"CPU ({cores()} core{'s' if cores() != 1 else ''})" if device.type == "cpu" else device.type.upper()
    return f"{name}, {precision}"


def check_precision(precision: str) -> Precision:
    """`precision` itself if there is such a one; raises AdvcoreError otherwise."""
    if precision not in PRECISIONS:
        raise AdvcoreError(f"There is no precision '{precision}'; choose one of {', '.join(PRECISIONS)}.")
    return precision  # type: ignore[return-value]


@functools.cache
def fastest_precision(device_type: str) -> Precision:
    """The faster of fp32 and bf16 for a small CNN, measured once per process (about 0.1 s).

    Many CPUs accept bf16 and emulate it, several times slower than fp32: asking what the chip supports is not enough.
    """
    if device_type == "mps":
        return "fp32"
    if device_type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    seconds = {precision: _probe(precision) for precision in PRECISIONS}
    # A tenth in favour of fp32, so that a tie on a noisy machine falls to the exact one.
    return "bf16" if seconds["bf16"] < 0.9 * seconds["fp32"] else "fp32"


def _probe(precision: Precision) -> float:
    """Seconds of the fastest of four forward passes of a small convolution on the CPU."""
    dtype = torch_dtype(precision)
    layer = nn.Conv2d(32, 64, 3).to(dtype=dtype, memory_format=torch.channels_last)
    images = torch.ones(32, 32, 14, 14, dtype=dtype).to(memory_format=torch.channels_last)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(5):
            start = time.perf_counter()
            layer(images)
            best = min(best, time.perf_counter() - start)
    return best


def torch_dtype(precision: Precision) -> torch.dtype:
    """The torch type of a precision's weights and activations."""
    return torch.bfloat16 if precision == "bf16" else torch.float32
