"""Importing a user's model: a checkpoint of this app or a plain state dict, tried and measured before it is kept.

A name that a user types is checked by `checkpoints.add` before it becomes part of a path.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from advcore import __version__, data
from advcore.errors import CheckpointError
from advcore.evaluation import figures
from advcore.models import architectures, checkpoints, pickles, storage
from advcore.models.checkpoints import Checkpoint
from advcore.models.layers import Normalize
from advcore.recipe import Recipe

Normalization = Literal["dataset", "none", "half"]
NORMALIZATIONS: dict[str, str] = {
    "dataset": "normalized with the dataset's mean and standard deviation",
    "none": "in [0, 1], as they are",
    "half": "in [−1, 1]: mean 0.5, standard deviation 0.5",
}
TRIAL_IMAGES = 1000
"""How many test images an imported model is measured on."""


def import_checkpoint(source: Path, *, name: str | None = None, visitor: str | None = None) -> Checkpoint:
    """Add a checkpoint in this app's format to the user's own, after its weights have been tried on its recipe.

    `visitor` becomes its owner on a public server.
    Raises CheckpointError when the file is not a checkpoint, is damaged, or its weights do not fit its header.
    """
    found = checkpoints.read(source)
    model = found.model()
    _answers(model, found.shape)
    # The job and the visitor of another machine mean nothing here.
    origin = {key: value for key, value in found.provenance.items() if key not in {"job", "visitor"}} | _brought(visitor)
    # Only what was read is written: nothing else of the uploaded file is kept.
    return checkpoints.add(
        _id(found.recipe, name),
        model,
        found.recipe,
        shape=found.shape,
        class_names=found.class_names,
        metrics=found.metrics,
        provenance=origin,
    )


def import_weights(
    source: Path,
    recipe: Recipe,
    *,
    normalization: Normalization = "dataset",
    name: str | None = None,
    visitor: str | None = None,
) -> Checkpoint:
    """Add a plain state dict to the user's own checkpoints, with the recipe's dataset and architecture.

    It comes in safetensors, or as a pickle (`.pt`, `.pth`, `.ckpt`) such as RobustBench's, which another process opens. Weights
    are matched by their names where these are this app's, else by their shapes, in the order of their names. The
    model is measured on test images: a wrong match or normalization shows at once in its accuracy. Raises CheckpointError
    when the weights do not fit the architecture, DataError when the dataset's test images are not here.
    """
    if normalization not in get_args(Normalization):
        raise CheckpointError(f"There is no normalization '{normalization}'; choose one of {', '.join(NORMALIZATIONS)}.")
    test = data.load(recipe.dataset, "test", limit=TRIAL_IMAGES)
    model = checkpoints.build(recipe, test.shape, len(test.class_names))
    tensors = _tensors(source)
    own = {"0.mean", "0.std"} <= tensors.keys()
    model.load_state_dict(_matched(tensors, model.state_dict(), source.name))
    _normalize(model, normalization)
    if not (model.state_dict()["0.std"] > 0).all():
        raise CheckpointError(f"{source.name} has a normalization that divides by zero or less; correct its '0.std'.")
    _answers(model, test.shape)
    origin = {
        "weights": source.name[:100],
        "normalization": "as the file says" if own and normalization == "dataset" else NORMALIZATIONS[normalization],
        "advcore": __version__,
        "torch": torch.__version__,
    } | _brought(visitor)
    wanted = _id(recipe, name)
    checkpoints.free_path(wanted)  # refuses a bad name before the model is measured
    return checkpoints.add(
        wanted,
        model,
        recipe,
        shape=test.shape,
        class_names=test.class_names,
        metrics=figures.measure(recipe, model, test),
        provenance=origin,
    )


def _brought(visitor: str | None) -> dict[str, str]:
    """When a model was imported, and by which visitor."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"imported": today} | ({"visitor": visitor} if visitor else {})


def _tensors(source: Path) -> dict[str, Tensor]:
    """The tensors of a file; a pickle is first written as safetensors beside it."""
    if source.suffix.lower() in pickles.SUFFIXES:
        opened = source.with_suffix(checkpoints.SUFFIX)
        try:
            pickles.as_safetensors(source, opened)
        except RuntimeError as error:
            raise CheckpointError(f"{source.name} is not opened: {error}; give its state dict alone.") from error
        source = opened
    tensors = storage.read_safetensors(source)[0]
    if any(tensor.is_complex() for tensor in tensors.values()):
        raise CheckpointError(f"{source.name} holds complex numbers, which no network here has; export its weights as float32.")
    # Not every operation knows float8.
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _id(recipe: Recipe, name: str | None) -> str:
    """The id of the imported model: its dataset, and the name that the user gave or its recipe's."""
    return f"{recipe.dataset}/{name.strip()}" if name else recipe.checkpoint_id


def _matched(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """The file's tensors under the names of this app's network."""
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise CheckpointError(f"{file} holds weights that are not finite numbers; export it again.")
    own = {name: tensor for name, tensor in wanted.items() if not name.startswith("0.")}  # 0 is the normalization
    if own.keys() <= tensors.keys() <= wanted.keys():
        chosen = {name: tensors[name] for name in own}
    else:
        chosen = _by_shape({name: tensor for name, tensor in tensors.items() if name not in wanted or name in own}, own, file)
    for name, tensor in own.items():
        if chosen[name].shape != tensor.shape:
            raise CheckpointError(f"{file} does not fit: '{name}' is {_size(chosen[name])}, not {_size(tensor)}.")
    # A normalization in the file takes precedence over the dataset's.
    normalization = {name: tensors.get(name, tensor) for name, tensor in wanted.items() if name not in own}
    if any(tensor.shape != wanted[name].shape for name, tensor in normalization.items()):
        raise CheckpointError(f"{file} has a normalization for other images; name the dataset it was trained on.")
    return normalization | chosen


def _by_shape(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """Tensors of equal shape go together in the natural order of their names (conv2 before conv10)."""
    spare = sorted(tensors, key=_natural)
    chosen = {}
    for name, tensor in wanted.items():
        kind = name.rsplit(".", 1)[1]
        # weight to weight and bias to bias, where shapes alone (those of a normalization layer) leave it open
        fitting = [item for item in spare if tensors[item].shape == tensor.shape]
        fitting = [item for item in fitting if item.rsplit(".", 1)[-1] == kind] or fitting
        if not fitting:
            raise CheckpointError(f"{file} has no weight of {_size(tensor)} for '{name}'; name the architecture it belongs to.")
        chosen[name] = tensors[fitting[0]]
        spare.remove(fitting[0])
    if spare:
        raise CheckpointError(
            f"{file} has more weights than the architecture ('{spare[0][:60]}' is left over); name the one it belongs to."
        )
    return chosen


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers by their value: the longer one is larger. A name may hold more digits than `int` takes."""
    parts = ((part, part.lstrip("0")) for part in re.split(r"([0-9]+)", name))
    return [(len(digits), digits) if part.isdecimal() else (-1, part) for part, digits in parts]


def _size(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"


def _normalize(model: nn.Module, normalization: str) -> None:
    """Set the first layer to what the weights were trained with; "dataset" is what it has already."""
    if normalization == "dataset":
        return
    layer = next(item for item in model.modules() if isinstance(item, Normalize))
    mean, std = (0.0, 1.0) if normalization == "none" else (0.5, 0.5)
    layer.mean.fill_(mean)
    layer.std.fill_(std)


def _answers(model: nn.Module, shape: architectures.Shape) -> None:
    """Raise CheckpointError unless the model answers an image with finite numbers."""
    with torch.no_grad():
        logits = model(torch.full((1, *shape), 0.5))
    if not torch.isfinite(logits).all():
        raise CheckpointError("This model's answer to a grey image is not a finite number; its weights are damaged.")
