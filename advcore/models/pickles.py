"""Pickled weights, opened in a separate process with limited memory and time, and written as safetensors.

The process is `python -m advcore.models.pickles PICKLE TARGET NETWORK MEMORY SECONDS`. It reads tensors and containers only,
writes the weights to TARGET, and prints `{"error": null}`, or with a few words instead of `null`. For one of torchvision's
networks it takes a file of the Hub's robust ones and checks that it holds that network; for `-`, any state dict, also one
inside a checkpoint. Beside its own memory it may use MEMORY bytes, and SECONDS of processor time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from advcore.files import with_package
from advcore.images.child import limit_memory, limit_time

MEAN, STD = "normalizer.mean", "normalizer.std"
"""The names of an ImageNet network's normalization in its safetensors file."""
ANY = "-"
"""In the place of a network: whatever state dict the file holds."""
MEMORY_BYTES, CPU_SECONDS, SECONDS = 2 << 30, 120, 600.0
"""The limits of the process: memory beside its own, processor time, and time on the clock."""
SUFFIXES = (".pt", ".pth", ".ckpt")
_WEIGHTS = "module.model."
_NORMALIZATION = {MEAN: "module.normalizer.new_mean", STD: "module.normalizer.new_std"}
# Where checkpoints keep their state dict, and how RobustBench's name the normalization.
_INSIDE = ("state_dict", "model_state_dict", "model", "net", "last", "best")
_THEIRS = {"mu": "0.mean", "sigma": "0.std"} | {name: name for name in ("0.mean", "0.std")}


def as_safetensors(pickle: Path, target: Path, network: str = ANY) -> None:
    """Write the weights in a pickle as safetensors. Raises RuntimeError, in a few words, when it holds something else.

    `network` is torchvision's name of the network in a file of the Hub's robust ones, or `ANY`.
    """
    limits = (str(MEMORY_BYTES), str(CPU_SECONDS))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "advcore.models.pickles", str(pickle), str(target), network, *limits],
            capture_output=True,
            timeout=SECONDS,
            env=with_package(),
        )
        reason = json.loads(done.stdout)["error"]
    except (subprocess.TimeoutExpired, ValueError, LookupError, TypeError) as error:
        raise RuntimeError("opening it takes too long or too much memory") from error
    if reason is not None:
        raise RuntimeError(reason)


def convert(pickle: str, target: str, network: str) -> str | None:
    """Open, check and write in this process; returns what is wrong in a few words, or None."""
    try:
        held = torch.load(pickle, map_location="cpu", weights_only=True)
        weights = _any(held) if network == ANY else _weights(held["model"])
    except Exception:  # the reader of an untrusted file raises many kinds
        return "the file cannot be read, or holds more than weights"
    if network != ANY and (reason := _wrong(weights, network)):
        return reason
    try:
        save_file(weights, target)
    except Exception:  # a type of number that safetensors does not know, a full disk
        return "its weights cannot be kept"
    return None


def _wrong(weights: Mapping[str, Tensor], network: str) -> str | None:
    """Why these are not the network's weights, or None."""
    from torchvision.models import get_model

    with torch.device("meta"):
        wanted = {name: (value.shape, value.dtype) for name, value in get_model(network, weights=None).state_dict().items()}
    channels = {name: (torch.Size([3]), torch.float32) for name in (MEAN, STD)}
    if {name: (value.shape, value.dtype) for name, value in weights.items()} != wanted | channels:
        return f"the file does not hold the weights of {network}"
    if not all(torch.isfinite(value).all() for value in weights.values()) or not (weights[STD] > 0).all():
        return "the weights are not finite numbers"
    return None


def _any(held: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, or of the one inside a checkpoint, without the prefix of a wrapper.

    Their names begin with their position: safetensors does not keep the order, which is that of the network's layers.
    """
    inside = next((held[name] for name in _INSIDE if isinstance(held.get(name), Mapping)), held)
    found = {name: value for name, value in inside.items() if isinstance(value, Tensor)}
    while found and all("." in name for name in found) and len({name.split(".")[0] for name in found}) == 1:
        found = {name.split(".", 1)[1]: value for name, value in found.items()}
    if not found:
        raise ValueError("no tensors")
    names = [_THEIRS.get(name, f"{place:05}.{name}") for place, name in enumerate(found)]
    return {name: value.detach().contiguous().clone() for name, value in zip(names, found.values(), strict=True)}


def _weights(held: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's weights by torchvision's names, and its normalization; all else in the file is left out."""
    found = {name.removeprefix(_WEIGHTS): value for name, value in held.items() if name.startswith(_WEIGHTS)}
    found |= {name: held[theirs].flatten() for name, theirs in _NORMALIZATION.items()}
    return {name: value.detach().contiguous().clone() for name, value in found.items()}


if __name__ == "__main__":
    *names, memory, seconds = sys.argv[1:]
    limit_memory(int(memory))
    limit_time(int(seconds))
    try:
        reason = convert(*names)
    except MemoryError:
        reason = "opening it takes too much memory"
    print(json.dumps({"error": reason}))
