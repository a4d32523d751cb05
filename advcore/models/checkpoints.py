"""Checkpoints: weights in safetensors, with their recipe, figures and provenance in the header. Nothing is ever unpickled.

Shipped ones live in `checkpoints/`, a user's own in `runs/models/`; the id is the path below either, without its suffix.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import nn

from advcore.data import BUILT_IN, LabeledImages
from advcore.data.readers import size_text
from advcore.defenses import DEFENSES
from advcore.errors import CheckpointError, ModelError, RecipeError
from advcore.files import write_whole
from advcore.models import architectures
from advcore.recipe import Recipe

FORMAT = 1
SUFFIX = ".safetensors"
_SCALE = ".scale"  # of the rows of an int8 matrix, beside it in the file
_INT8_ABOVE = 1 << 20  # values
_NAMED = 6  # how many ids a sentence may list
_ID = re.compile(r"[\w][\w.-]{0,63}/[\w][\w.+-]{0,95}")
_MAX_BYTES = 1 << 30
_MAX_CLASSES = 10_000


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk: where, trained how, measured at what. `own` is true for the user's, false for shipped ones."""

    id: str
    path: Path
    recipe: Recipe
    shape: architectures.Shape
    class_names: tuple[str, ...]
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    own: bool = False

    @property
    def title(self) -> str:
        """What people call it: the architecture and the defense with its ε."""
        budget = f" {self.recipe.epsilon:.3g}" if self.recipe.epsilon else ""
        name = f"{architectures.ARCHITECTURES[self.recipe.architecture].title} · {self.recipe.defense}{budget}"
        # A user's file may bear any name; where it says more than the recipe does, it is shown.
        return name if self.id == self.recipe.checkpoint_id else f"{name} ({self.id.split('/', 1)[1]})"

    @property
    def dataset(self) -> str:
        return self.recipe.dataset

    @property
    def architecture(self) -> str:
        return self.recipe.architecture

    @property
    def defense(self) -> str:
        return self.recipe.defense

    @property
    def defended(self) -> bool:
        return DEFENSES[self.defense].defended

    def require(self, images: LabeledImages) -> None:
        """Raise CheckpointError unless the model takes these images and has an answer for each of their classes."""
        if images.shape != self.shape:
            raise CheckpointError(
                f"{self.id} takes images of {size_text(self.shape)}, but {images.dataset} has {size_text(images.shape)}; "
                "retrain it on them."
            )
        if len(images.class_names) != len(self.class_names):
            raise CheckpointError(
                f"{self.id} knows {len(self.class_names)} classes, not {len(images.class_names)} as {images.dataset} has them; "
                "retrain it on them."
            )

    @property
    def parameters(self) -> int:
        """How many weights its network has; none of them is read for it."""
        return architectures.parameter_count(_blank(self.recipe, self.shape, len(self.class_names)))

    def model(self) -> nn.Module:
        """The model with its weights, on the CPU, in fp32, eval mode, frozen. Raises CheckpointError when they do not fit."""
        return _load_model(self.path, _blank(self.recipe, self.shape, len(self.class_names)))


def shipped_root() -> Path:
    """The shipped checkpoints: `$ADVCORE_CHECKPOINTS`, else `checkpoints/` beside the package."""
    return Path(os.environ.get("ADVCORE_CHECKPOINTS") or Path(__file__).resolve().parents[2] / "checkpoints")


def runs_root() -> Path:
    """The user's own runs: `$ADVCORE_RUNS`, else `runs/` in the working directory."""
    return Path(os.environ.get("ADVCORE_RUNS") or "runs")


def own_root() -> Path:
    """The user's own checkpoints, `models/` below the runs."""
    return runs_root() / "models"


def catalog(dataset: str | None = None) -> dict[str, Checkpoint]:
    """Every readable checkpoint by id, shipped ones first; with `dataset`, only that dataset's."""
    return _scan(dataset)[0]


def problems() -> dict[Path, str]:
    """The files among the checkpoints that are none, with the reason."""
    return _scan(None)[1]


def _scan(dataset: str | None) -> tuple[dict[str, Checkpoint], dict[Path, str]]:
    found: dict[str, Checkpoint] = {}
    refused: dict[Path, str] = {}
    for root, own in ((shipped_root(), False), (own_root(), True)):
        for path in sorted(root.glob(f"*/*{SUFFIX}")):
            if dataset is not None and path.parent.name != dataset:
                continue
            try:
                checkpoint = _listed(path, own)
            except CheckpointError as error:
                refused[path] = str(error)
                continue
            found.setdefault(checkpoint.id, checkpoint)
    return found, refused


def _listed(path: Path, own: bool) -> Checkpoint:
    """The checkpoint in a file whose place gives it an id; raises CheckpointError when id and file do not go together."""
    if not _ID.fullmatch(f"{path.parent.name}/{path.name.removesuffix(SUFFIX)}"):
        raise CheckpointError(f"{path.name!r} cannot be a checkpoint's name; rename it with letters, digits, '.', '_' and '-'.")
    checkpoint = read(path, own=own)
    if checkpoint.recipe.dataset != path.parent.name:
        raise CheckpointError(f"{path.name} was trained on {checkpoint.recipe.dataset}; move it to the folder of that name.")
    return checkpoint


def find(checkpoint_id: str) -> Checkpoint:
    """The checkpoint with that id; raises CheckpointError when there is none. The id never becomes a path by itself."""
    known = catalog()
    if checkpoint_id not in known:
        near = [name for name in known if name.split("/")[0] == checkpoint_id.split("/")[0]] or list(known)
        some = ", ".join(near[:_NAMED]) + (", …" if len(near) > _NAMED else "")
        raise CheckpointError(f"There is no checkpoint '{checkpoint_id[:80]}'; choose one of {some or 'none yet'}.")
    return known[checkpoint_id]


def read(path: Path, *, own: bool = False) -> Checkpoint:
    """What a checkpoint file says of itself, from its header alone. Raises CheckpointError when it is none."""
    header = _header(path)
    try:
        recipe = Recipe.from_dict(header["recipe"])
        shape, names = header["shape"], header["class_names"]
    except (KeyError, RecipeError) as error:
        reason = str(error) if isinstance(error, RecipeError) else "its header is incomplete"
        raise CheckpointError(f"{path.name} is not a checkpoint of this app ({reason}); retrain it or leave it out.") from error
    if recipe.architecture not in architectures.ARCHITECTURES:
        raise CheckpointError(
            f"{path.name} has the architecture '{recipe.architecture}', which this app does not; leave it out."
        )
    whole = isinstance(shape, list) and all(type(size) is int for size in shape)
    if not whole or len(shape) != 3 or shape[0] not in (1, 3) or not all(1 <= size <= 1024 for size in shape):
        raise CheckpointError(f"{path.name} says its images are {str(shape)[:60]}, which no model here takes; leave it out.")
    if not isinstance(names, list) or not 2 <= len(names) <= _MAX_CLASSES or not all(_printable(name) for name in names):
        raise CheckpointError(f"{path.name} has no usable class names; leave it out.")
    metrics, provenance = header.get("metrics", {}), header.get("provenance", {})
    if not _usable_metrics(metrics):
        raise CheckpointError(f"{path.name} has figures in its header that are none; leave it out.")
    if not isinstance(provenance, dict):
        raise CheckpointError(f"{path.name} has a header that this app cannot read; leave it out.")
    checkpoint_id = f"{path.parent.name}/{path.name.removesuffix(SUFFIX)}"
    return Checkpoint(checkpoint_id, path, recipe, tuple(shape), tuple(names), metrics, provenance, own)


def _printable(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable()


def _usable_metrics(metrics: object) -> bool:
    """Whether the figures that pages and commands print have the types and ranges that `results.measure` gives them."""
    if not isinstance(metrics, dict) or not isinstance(rows := metrics.get("attacks", []), list):
        return False
    if not isinstance(history := metrics.get("history", []), list) or not all(_is_evaluation(seen) for seen in history):
        return False
    return (
        _is_share(metrics.get("clean", 0))
        and _is_count(metrics.get("images", 0))
        and all(
            isinstance(row, dict)
            and all(_is_count(row.get(name, 0)) for name in ("images", "steps", "restarts"))
            and _printable(row.get("attack"))
            and _is_share(row.get("epsilon"))
            and _is_share(row.get("accuracy"))
            for row in rows
        )
    )


def _is_evaluation(seen: object) -> bool:
    """Whether it is a moment of a run as `training.Evaluation` records it."""
    if not isinstance(seen, dict) or not all(_is_share(seen.get(name)) for name in ("clean", "fgsm", "pgd", "epsilon")):
        return False
    return isinstance(step := seen.get("step"), int | float) and 0 <= step < 1e12


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 10**12


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _open(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointError(f"{path.name} is larger than {_MAX_BYTES >> 20} MiB, more than any model here; leave it out.")
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path.name} is not a readable safetensors file (truncated, or of another kind); copy or train it again."
        ) from error


def _header(path: Path) -> dict[str, Any]:
    """The app's own part of a safetensors header."""
    with _open(path) as file:
        text = (file.metadata() or {}).get("advcore")
    try:
        header = json.loads(text or "")
        known = header["format"] == FORMAT
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{path.name} holds weights but no recipe: it is not a checkpoint of this app.") from error
    if not known:
        raise CheckpointError(f"{path.name} was written by another version of this app (format {str(header['format'])[:20]}).")
    return header


def _blank(recipe: Recipe, shape: architectures.Shape, classes: int) -> nn.Module:
    """The recipe's architecture on the meta device: shapes without memory, to hold a file's weights against."""
    try:
        with torch.device("meta"):
            return build(recipe, shape, classes)
    except ModelError as error:
        raise CheckpointError(f"No model can be built from the header ({error})") from error


def build(recipe: Recipe, shape: architectures.Shape, classes: int) -> nn.Module:
    """A fresh model as the recipe wants it, with the dataset's normalization. Raises ModelError when it cannot be built."""
    info = BUILT_IN.get(recipe.dataset)
    options = {"mean": info.mean, "std": info.std} if info else {}
    return architectures.build(recipe.architecture, shape, classes, width=recipe.width, **options)


def _load_model(path: Path, blank: nn.Module) -> nn.Module:
    """`blank` (on the meta device) filled with the file's weights, in fp32 and frozen."""
    wanted = blank.state_dict()
    with _open(path) as file:
        names = set(file.keys())
        scales = {name + _SCALE for name, tensor in wanted.items() if tensor.dim() == 2} & names
        if names != set(wanted) | scales:
            odd = sorted(names ^ (set(wanted) | scales))[0]
            raise CheckpointError(f"{path.name} does not fit its own recipe: the weight '{odd[:60]}' is missing or too many.")
        for name in sorted(names):
            shape = tuple(file.get_slice(name).get_shape())
            expected = (len(wanted[name.removesuffix(_SCALE)]), 1) if name in scales else tuple(wanted[name].shape)
            if shape != expected:
                raise CheckpointError(f"{path.name} does not fit its own recipe: '{name}' is {shape}, not {expected}.")
        stored = {name: file.get_tensor(name) for name in names}
    weights = {name: _restored(stored, name).to(tensor.dtype) for name, tensor in wanted.items()}
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise CheckpointError(f"{path.name} holds weights that are not finite numbers; train it again.")
    if not (weights["0.std"] > 0).all():
        raise CheckpointError(f"{path.name} has a normalization that divides by zero or less; train it again.")
    blank.load_state_dict(weights, assign=True)
    return blank.eval().requires_grad_(False)


def save(
    path: Path,
    model: nn.Module,
    recipe: Recipe,
    *,
    shape: architectures.Shape,
    class_names: tuple[str, ...],
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
    half: bool = True,
) -> None:
    """Write the model so that the file is whole or not there at all; `half` stores large weights as `as_stored` says.

    Raises CheckpointError when the weights are not finite, or too large for float16 where that is asked for.
    """
    weights = {}
    for name, tensor in model.state_dict().items():
        weights |= _stored(name, tensor, half)
    header = {
        "format": FORMAT,
        "recipe": recipe.to_dict(),
        "shape": list(shape),
        "class_names": list(class_names),
        "metrics": dict(metrics),
        "provenance": dict(provenance),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, weights, {"advcore": json.dumps(header, sort_keys=True, ensure_ascii=False)})


def as_stored(model: nn.Module) -> nn.Module:
    """A copy with the weights that its checkpoint will give back: what is measured is what is shipped.

    Weights of two and more dimensions are stored as float16; matrices of more than 2²⁰ values as int8, with a scale for each
    row. Raises CheckpointError when the weights are not finite.
    """
    twin = copy.deepcopy(model)
    weights = model.state_dict()
    twin.load_state_dict({name: _restored(_stored(name, tensor, half=True), name) for name, tensor in weights.items()})
    return twin


def _stored(name: str, tensor: torch.Tensor, half: bool) -> dict[str, torch.Tensor]:
    """What the file holds of a weight; storing what `_restored` gives once more changes nothing."""
    tensor = tensor.detach().cpu().contiguous()
    # Normalization constants and batch statistics are few and precise: they stay as they are.
    shortened = half and tensor.is_floating_point() and tensor.dim() > 1 and "mean" not in name and "std" not in name
    if shortened and tensor.dim() == 2 and tensor.numel() > _INT8_ABOVE:
        # bfloat16 has so few digits that 127 · scale is exact.
        scale = (tensor.abs().amax(1, keepdim=True) / 127).clamp(min=1e-30).bfloat16()
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


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write the tensors so that the file is complete or not there at all."""
    # Not save_file: it writes to a temporary file of its own, which a killed process leaves behind under a random name.
    write_whole(path, serialize(tensors, metadata))


def read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """All tensors of a safetensors file, and its metadata. Raises CheckpointError when it is none."""
    with _open(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """A safetensors file's metadata, without its tensors. Raises CheckpointError when it is none."""
    with _open(path) as file:
        return file.metadata() or {}


def free_path(checkpoint_id: str) -> Path:
    """Where a user's new checkpoint goes: its id below the runs, with -2, -3, … where that id is taken."""
    if not _ID.fullmatch(checkpoint_id):
        raise CheckpointError(
            f"'{checkpoint_id[:80]}' cannot name a checkpoint; use letters, digits, '.', '_' and '-' after 'dataset/'."
        )
    taken, number, free = catalog(), 1, checkpoint_id
    while free in taken or (own_root() / f"{free}{SUFFIX}").exists():
        number += 1
        free = f"{checkpoint_id}-{number}"
    return own_root() / f"{free}{SUFFIX}"


def rename(checkpoint_id: str, name: str) -> Checkpoint:
    """Give one of the user's checkpoints another name within its dataset.

    Raises CheckpointError for a shipped checkpoint, and for a name that is taken or cannot be one.
    """
    checkpoint = _own(checkpoint_id)
    wanted = f"{checkpoint.recipe.dataset}/{name.strip()}"
    path = free_path(wanted)
    if path.name != f"{name.strip()}{SUFFIX}":
        raise CheckpointError(f"There is a checkpoint '{wanted}' already; choose another name.")
    checkpoint.path.replace(path)
    return read(path, own=True)


def delete(checkpoint_id: str) -> None:
    """Remove one of the user's checkpoints from the disk. Raises CheckpointError for a shipped one."""
    _own(checkpoint_id).path.unlink(missing_ok=True)


def _own(checkpoint_id: str) -> Checkpoint:
    checkpoint = find(checkpoint_id)
    if not checkpoint.own:
        raise CheckpointError(f"{checkpoint_id} came with the app and stays as it is; only your own can be changed.")
    return checkpoint
