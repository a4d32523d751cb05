"""The state of a training on disk: saved whole or not at all, and read without unpickling."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from advcore import distributed
from advcore.device import Precision
from advcore.errors import CheckpointError, RecipeError
from advcore.models import storage
from advcore.recipe import Recipe
from advcore.training.watch import Evaluation

STATE_FILE = "state.safetensors"
_MOST_BYTES = 1 << 40  # unlike a checkpoint it never comes from outside, and it holds the weights four times
Weights = dict[str, Tensor]


class DamagedState(CheckpointError):
    """A file does not hold the state of the training that it belongs to."""


@dataclass(frozen=True)
class State:
    """Where a run stands after `step` steps and `seconds` of work.

    `model`, `average` and `best` are state dicts (the last two empty where the recipe keeps none), `optimizer` the memory of
    each trained parameter by its index.
    """

    step: int
    seconds: float
    precision: Precision
    history: tuple[Evaluation, ...]
    model: Weights
    average: Weights
    best: Weights
    optimizer: dict[int, Weights]


def save(folder: Path, recipe: Recipe, state: State) -> None:
    """Write the state of a run of `recipe` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = {"model": state.model, "average": state.average, "best": state.best}
    groups |= {f"optimizer.{index}": values for index, values in state.optimizer.items()}
    tensors = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    facts = {
        "recipe": recipe.to_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "precision": state.precision,
        "history": [asdict(item) for item in state.history],
        "checksum": _checksum(tensors),
    }
    storage.write_safetensors(folder / STATE_FILE, tensors, {"training": json.dumps(facts)})


def load(folder: Path | None, recipe: Recipe) -> State | None:
    """The state in `folder`, on the CPU; None where there is none. The first process reads it for all.

    Raises RecipeError when it belongs to another recipe and DamagedState when it is damaged.
    """
    if folder is None:
        return None
    path = folder / STATE_FILE
    exists = distributed.world().rank == 0 and path.exists()
    try:
        found = distributed.from_first(storage.read_safetensors(path, most=_MOST_BYTES) if exists else None)
    except CheckpointError as error:
        raise damaged(folder) from error
    if found is None:
        return None
    tensors, metadata = found
    facts = _facts(path, metadata)
    if "checksum" in facts and facts["checksum"] != _checksum(tensors):
        raise damaged(folder)
    if facts["recipe"] != recipe.to_dict():
        raise RecipeError(f"{folder} holds the state of another recipe; choose another folder or delete that one.")
    try:
        if facts["precision"] not in get_args(Precision):
            raise ValueError("no such precision")
        groups = {name: _group(tensors, name) for name in ("model", "average", "best")}
        moments: dict[int, Weights] = {}
        for name, value in _group(tensors, "optimizer").items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = value
        history = tuple(_evaluation(item) for item in facts["history"])
        return State(facts["step"], float(facts["seconds"]), facts["precision"], history, optimizer=moments, **groups)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise damaged(folder) from error


def state_step(folder: Path) -> int:
    """The step of the state saved in `folder`, read from the file's header alone; 0 when there is none.

    Raises DamagedState when the file is damaged.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return 0
    try:
        return _facts(path, storage.read_metadata(path, most=_MOST_BYTES))["step"]
    except CheckpointError as error:
        raise damaged(folder) from error


def damaged(folder: Path) -> DamagedState:
    """The error for a state that cannot be used."""
    return DamagedState(
        f"{folder.name}/{STATE_FILE} does not hold the state of this training; delete it to start again from the beginning."
    )


def _checksum(tensors: Weights) -> int:
    """CRC-32 of the tensors' bytes, in the order of their names."""
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].contiguous().flatten().view(torch.uint8).numpy(), total)
    return total


def laid_out_like(values: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> Weights:
    """`values` on the devices and with the types and memory layouts of `model`'s tensors; raises ValueError unless they fit."""
    if values.keys() != model.keys() or any(values[name].shape != tensor.shape for name, tensor in model.items()):
        raise ValueError("weights of another network")
    return {name: torch.empty_like(tensor).copy_(values[name]) for name, tensor in model.items()}


def moments_like(moments: Mapping[int, Weights], parameters: Sequence[Tensor]) -> dict[int, Weights]:
    """The optimizer's memory, laid out like its parameters, which fused steps rely on; raises ValueError unless it fits."""
    if moments and moments.keys() != set(range(len(parameters))):
        raise ValueError("moments are missing or too many")
    found: dict[int, Weights] = {}
    for index, values in moments.items():
        parameter = parameters[index]
        if any(value.dim() and value.shape != parameter.shape for value in values.values()):
            raise ValueError("a moment of another shape")
        found[index] = {
            key: torch.empty_like(parameter).copy_(value) if value.dim() else value for key, value in values.items()
        }
    return found


def _evaluation(values: Any) -> Evaluation:
    """An evaluation from JSON: whole numbers stay whole."""
    if not isinstance(values, dict):
        raise ValueError("not an evaluation")
    return Evaluation(**{item.name: (int if item.type == "int" else float)(values[item.name]) for item in fields(Evaluation)})


def _facts(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The description of the run in a state's header."""
    try:
        facts = json.loads(metadata["training"])
        if not {"recipe", "step", "seconds", "precision", "history"} <= set(facts) or type(facts["step"]) is not int:
            raise ValueError("an incomplete header")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path.parent) from error
    return facts


def _group(tensors: Weights, group: str) -> Weights:
    return {name.split(".", 1)[1]: value for name, value in tensors.items() if name.startswith(f"{group}.")}
