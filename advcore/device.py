"""The device and the precision to compute in, and a memory setting of the C library."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Literal, get_args

from advcore.errors import AdvcoreError
from advcore.files import read_object, write_whole
from advcore.lazy import nn, torch

Precision = Literal["fp32", "bf16"]
# malloc.h of the GNU C library
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def pick_device(name: str | None = None) -> torch.device:
    """The device called `name`, or the best one this machine has: CUDA, else the CPU.

    Apple's MPS is taken only by name: it has no float64, which the L2 attacks need.
    Raises AdvcoreError when this machine has no device of that name.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # fails for `meta`, a valid name without values
    except (RuntimeError, AssertionError, ImportError) as error:
        raise AdvcoreError(f"This machine has no device '{name}'; use 'cpu', or leave it out to take the best one.") from error
    return device


def cores() -> int:
    """How many cores this process may use; a container may allow fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_freed_memory(keep: bool = True) -> None:
    """Make this process keep freed memory for later use, or return it (Linux with glibc; elsewhere this does nothing).

    By default the C library returns every large buffer to the kernel and gets a new, zeroed one at each layer of each step.
    Keeping the buffers makes CPU training a third faster.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest allowed value
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1 if keep else 64 << 20)
        library.mallopt(_M_TOP_PAD, 64 << 20 if keep else 128 << 10)
        if not keep:
            library.malloc_trim(0)


def describe(device: torch.device, precision: Precision) -> str:
    """The device and precision in words, for example `CPU (2 cores), fp32`."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"CPU ({cores()} core{'s' if cores() != 1 else ''})" if device.type == "cpu" else device.type.upper()
    return f"{name}, {precision}"


@functools.cache
def fastest_precision(device_type: str) -> Precision:
    """The faster of fp32 and bf16 for a small CNN, measured once on a machine (about 0.1 s) and kept in the user's cache.

    It is measured because many CPUs accept bf16 and emulate it, several times slower than fp32. It is kept because two
    measurements on a busy machine can differ, and equal recipes must give equal weights. With several processes, pass it
    through `distributed.from_first`, so that all use the same.
    """
    if device_type == "mps":
        return "fp32"
    if device_type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    file = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adversarial-lab" / "precision.json"
    machine = f"{platform.node()} {torch.backends.cpu.get_cpu_capability()} torch {torch.__version__}"
    known = read_object(file)
    if known.get(machine) in PRECISIONS:
        return known[machine]
    seconds = {precision: _probe(precision) for precision in PRECISIONS}
    # bf16 must be a tenth faster, so that in a tie the exact one is used.
    faster: Precision = "bf16" if seconds["bf16"] < 0.9 * seconds["fp32"] else "fp32"
    with contextlib.suppress(OSError):  # if it cannot be kept, each process measures
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(known | {machine: faster}))
    return faster


def _probe(precision: Precision) -> float:
    """Seconds of the fastest of 16 forward passes of a small convolution on the CPU."""
    dtype = torch_dtype(precision)
    layer = nn.Conv2d(32, 64, 3).to(dtype=dtype, memory_format=torch.channels_last)
    images = torch.ones(32, 32, 14, 14, dtype=dtype).to(memory_format=torch.channels_last)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(16):
            start = time.thread_time()  # of this thread alone, whatever other processes do
            layer(images)
            best = min(best, time.thread_time() - start)
    return best


def torch_dtype(precision: Precision) -> torch.dtype:
    """The torch type of a precision's weights and activations."""
    return torch.bfloat16 if precision == "bf16" else torch.float32
