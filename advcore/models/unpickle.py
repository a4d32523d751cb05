"""The process that opens a pickled network: `python -m advcore.models.unpickle PICKLE TARGET NETWORK MEMORY SECONDS`.

It reads tensors and containers only, checks that they are the network's weights, writes them to TARGET as safetensors, and
prints `{"error": null}`, or why not. Beside what it needs itself it may fill MEMORY bytes and take SECONDS of processor time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from advcore.images.child import limit_memory, limit_time
from advcore.models.robust_imagenet import MEAN, STD

_WEIGHTS = "module.model."
_NORMALIZATION = {MEAN: "module.normalizer.new_mean", STD: "module.normalizer.new_std"}


def main(pickle: str, target: str, network: str, memory: int, seconds: int) -> str | None:
    """Open, check and write; what is wrong in a few words, or None."""
    from torchvision.models import get_model

    limit_memory(memory)
    limit_time(seconds)
    try:
        held = torch.load(pickle, map_location="cpu", weights_only=True)["model"]
        weights = _weights(held)
    except Exception:  # the reader of an untrusted file raises many kinds
        return "the file cannot be read, or holds more than weights"
    with torch.device("meta"):
        wanted = {name: (value.shape, value.dtype) for name, value in get_model(network, weights=None).state_dict().items()}
    channels = {name: (torch.Size([3]), torch.float32) for name in (MEAN, STD)}
    if {name: (value.shape, value.dtype) for name, value in weights.items()} != wanted | channels:
        return f"the file does not hold the weights of {network}"
    if not all(torch.isfinite(value).all() for value in weights.values()) or not (weights[STD] > 0).all():
        return "the weights are not finite numbers"
    save_file(weights, target)
    return None


def _weights(held: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's weights by torchvision's names, and its normalization; all else in the file is left out."""
    found = {name.removeprefix(_WEIGHTS): value for name, value in held.items() if name.startswith(_WEIGHTS)}
    found |= {name: held[theirs].flatten() for name, theirs in _NORMALIZATION.items()}
    return {name: value.detach().contiguous().clone() for name, value in found.items()}


if __name__ == "__main__":
    *names, memory, seconds = sys.argv[1:]
    try:
        reason = main(*names, int(memory), int(seconds))
    except MemoryError:
        reason = "opening it takes too much memory"
    print(json.dumps({"error": reason}))
