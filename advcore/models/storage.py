"""Weights in safetensors files: shortened, written, read and loaded into a network. Nothing is ever unpickled."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from advcore.errors import CheckpointError
from advcore.files import write_whole
from advcore.lazy import nn, torch

_SCALE = ".scale"  # the suffix of the tensor that holds the scale of each output of an int8 weight
_INT8_ABOVE = 1 << 16  # values
MAX_BYTES, _MAX_HEADER = 1 << 30, 256 << 10


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write the tensors completely or not at all."""
    from safetensors.torch import save as serialize

    # Not save_file: its temporary file has a random name and stays when the process is killed.
    write_whole(path, serialize(dict(tensors), metadata))


def write_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Replace the metadata of a safetensors file; the bytes of its tensors stay as they are."""
    read_metadata(path)  # raises CheckpointError when it is not a safetensors file
    content = path.read_bytes()
    start = _tensors_at(content)
    entries = json.loads(content[8:start]) | {"__metadata__": dict(metadata)}
    header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of eight bytes
    write_whole(path, len(header).to_bytes(8, "little") + header + content[start:])


def digest(path: Path) -> str:
    """The SHA-256 of a safetensors file's tensors: it stays when only the metadata is written anew."""
    content = path.read_bytes()
    return hashlib.sha256(content[_tensors_at(content) :]).hexdigest()


def _tensors_at(content: bytes) -> int:
    """Where the tensors begin in a safetensors file: after eight bytes of length and the header."""
    return 8 + int.from_bytes(content[:8], "little")


def read_safetensors(path: Path, *, most: int = MAX_BYTES) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """All tensors of a safetensors file, and its metadata. Raises CheckpointError for any other file, or above `most` bytes."""
    with _open(path, most) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_metadata(path: Path, *, most: int = MAX_BYTES) -> dict[str, str]:
    """The metadata of a safetensors file, without reading its tensors. Raises as `read_safetensors` does."""
    with _open(path, most, framework="np") as file:  # which does not import torch
        return file.metadata() or {}


def _open(path: Path, most: int = MAX_BYTES, framework: str = "pt") -> Any:
    try:
        if path.stat().st_size > most:
            raise CheckpointError(f"{path.name} is larger than {most >> 20} MiB, more than any model here; leave it out.")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if _MAX_HEADER < length < path.stat().st_size:  # safe_open refuses a truncated file
            raise CheckpointError(f"{path.name} has a header of more than {_MAX_HEADER >> 10} KiB; leave it out.")
        return safe_open(path, framework=framework, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path.name} is not a readable safetensors file (truncated, or of another kind); copy or train it again."
        ) from error


def as_stored(model: nn.Module) -> nn.Module:
    """A copy with the weights that its checkpoint will hold, so that the model that is measured is the one that is saved.

    Weights of two and more dimensions are stored as float16; those of more than 2¹⁶ values as int8, with a scale for each
    output. Raises CheckpointError when the weights are not finite.
    """
    twin = copy.deepcopy(model)
    twin.load_state_dict({name: _restored(_stored(name, tensor), name) for name, tensor in model.state_dict().items()})
    return twin


def _stored(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """The tensors in which the file holds a weight. Storing what `_restored` returns gives the same tensors again."""
    tensor = tensor.detach().cpu().contiguous()
    # Normalization constants and batch statistics are few and need their precision.
    shortened = tensor.is_floating_point() and tensor.dim() > 1 and "mean" not in name and "std" not in name
    if shortened and tensor.numel() > _INT8_ABOVE:
        # A bfloat16 scale has 8 significant bits, so that 127 · scale is exact in float32.
        scale = (tensor.abs().amax(tuple(range(1, tensor.dim())), keepdim=True) / 127).clamp(min=1e-30).bfloat16()
        stored = {name: (tensor / scale.float()).round().clamp(-127, 127).to(torch.int8), name + _SCALE: scale}
    else:
        stored = {name: tensor.half() if shortened else tensor.clone()}
    if not all(torch.isfinite(part).all() for part in (tensor, *stored.values())):
        raise CheckpointError(f"The weight '{name}' is not finite: the training diverged; lower the learning rate.")
    return stored


def _restored(stored: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    """The weight that `_stored` wrote."""
    scale = stored.get(name + _SCALE)
    return stored[name] if scale is None else stored[name].float() * scale.float()


def stored(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors in which a file holds the model's weights, shortened as `as_stored` says.

    Raises CheckpointError when a weight is not finite, or too large for float16.
    """
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        weights |= _stored(name, tensor)
    return weights


def load_into(blank: nn.Module, path: Path) -> nn.Module:
    """`blank` (on the meta device) with the file's weights: on the CPU, in fp32, in eval mode, frozen.

    Raises CheckpointError when the file is damaged, its weights are not those of `blank`, or not finite.
    """
    wanted = blank.state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    scales = {name + _SCALE: (shape[0], *[1] * (len(shape) - 1)) for name, shape in expected.items() if len(shape) > 1}
    with _open(path) as file:
        names = set(file.keys())
        expected |= {name: shape for name, shape in scales.items() if name in names}
        if names != set(expected):
            odd = sorted(names ^ set(expected))[0]
            raise CheckpointError(f"{path.name} does not fit its own recipe: the weight '{odd[:60]}' is missing or too many.")
        for name in sorted(names):
            shape = tuple(file.get_slice(name).get_shape())
            if shape != expected[name]:
                raise CheckpointError(f"{path.name} does not fit its own recipe: '{name}' is {shape}, not {expected[name]}.")
        stored = {name: file.get_tensor(name) for name in names}
    weights = {name: _restored(stored, name).to(tensor.dtype) for name, tensor in wanted.items()}
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise CheckpointError(f"{path.name} holds weights that are not finite numbers; train it again.")
    if not (weights["0.std"] > 0).all():
        raise CheckpointError(f"{path.name} has a normalization that divides by zero or less; train it again.")
    blank.load_state_dict(weights, assign=True)
    return blank.eval().requires_grad_(False)
