"""Pickled weights, opened in a process of their own, `advcore.models.unpickle`, whose memory and time are limited."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from advcore.files import with_package

MEAN, STD = "normalizer.mean", "normalizer.std"
"""What the safetensors file of an ImageNet network calls its normalization."""
ANY = "-"
"""In the place of a network: whatever state dict the file holds."""
MEMORY_BYTES, CPU_SECONDS, SECONDS = 2 << 30, 120, 600.0
"""What opening a pickle may take beside torch itself: memory, processor time, and time on a busy machine."""
SUFFIXES = (".pt", ".pth", ".ckpt")


def as_safetensors(pickle: Path, target: Path, network: str = ANY) -> None:
    """Write the weights in a pickle as safetensors. Raises RuntimeError, in a few words, when it holds something else.

    `network` is one of torchvision's, for a file of `robust_imagenet`, or `ANY`.
    """
    limits = (str(MEMORY_BYTES), str(CPU_SECONDS))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "advcore.models.unpickle", str(pickle), str(target), network, *limits],
            capture_output=True,
            timeout=SECONDS,
            env=with_package(),
        )
        reason = json.loads(done.stdout)["error"]
    except (subprocess.TimeoutExpired, ValueError, LookupError, TypeError) as error:
        raise RuntimeError("opening it takes too long or too much memory") from error
    if reason is not None:
        raise RuntimeError(reason)
