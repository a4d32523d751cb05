"""Checkpoints: weights in safetensors, with their recipe, figures and provenance in the header.

Shipped ones are in `checkpoints/`, a user's own in `runs/models/`; the id is the path below either, without its suffix.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from advcore.data import BUILT_IN, LabeledImages
from advcore.data.readers import size_text
from advcore.defenses import DEFENSES
from advcore.epsilon import write_epsilon
from advcore.errors import CheckpointError, ModelError
from advcore.lazy import nn, torch
from advcore.models import architectures, headers, storage
from advcore.recipe import Recipe

SUFFIX = ".safetensors"
_NAMED = 6  # how many ids a sentence may list
_MAX_NAME = 230  # bytes, without a number and the suffix: file systems take 255
_ID = re.compile(r"[\w][\w.-]{0,63}/[\w][\w.+-]{0,95}")


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk: its file, recipe, figures and origin. `own` is true for the user's, false for shipped ones."""

    id: str
    path: Path
    recipe: Recipe
    shape: architectures.Shape
    class_names: tuple[str, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    own: bool = False

    @property
    def title(self) -> str:
        """The architecture, the defense, and ε or σ; for a renamed checkpoint, the new name with these in brackets."""
        sign, value = self.recipe.strength
        strength = f", {sign} {write_epsilon(value)}" if value else ""
        words = f"{architectures.ARCHITECTURES[self.architecture].title}, {DEFENSES[self.defense].trained}{strength}"
        name, usual = (of.split("/", 1)[1] for of in (self.id, self.recipe.checkpoint_id))
        if name == usual:
            return words
        # Further checkpoints of one recipe have a number after the usual name.
        number = re.fullmatch(re.escape(usual) + r"-(\d+)", name)
        return f"{words} ({number[1]})" if number else f"{name} ({words})"

    @property
    def dataset(self) -> str:
        """The dataset that it was trained on."""
        return self.recipe.dataset

    @property
    def architecture(self) -> str:
        """The name of its architecture."""
        return self.recipe.architecture

    @property
    def defense(self) -> str:
        """The name of its defense."""
        return self.recipe.defense

    @property
    def defended(self) -> bool:
        """Whether it was trained with a defense."""
        return DEFENSES[self.defense].defended

    @property
    def visitor(self) -> str | None:
        """The visitor of a public server whose model it is; None for all other models."""
        name = self.provenance.get("visitor")
        return name if self.own and isinstance(name, str) else None

    def require(self, images: LabeledImages) -> None:
        """Raise CheckpointError unless the model takes these images and was trained on their classes."""
        if images.shape != self.shape:
            raise CheckpointError(
                f"{self.id} takes images of {size_text(self.shape)}, but {images.dataset} has {size_text(images.shape)}; "
                "retrain it on them."
            )
        if images.class_names != self.class_names:
            ours, theirs = self.class_names, images.class_names
            if len(ours) != len(theirs):
                words = f"{len(ours)} classes, not {len(theirs)} as {images.dataset} has"
            else:
                own, other = next(pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1])
                words = f"the class '{own}' where {images.dataset} has '{other}'"
            raise CheckpointError(f"{self.id} was trained on {words}; retrain it on these images.")

    @property
    def parameters(self) -> int:
        """How many weights its network has, computed without reading them; raises CheckpointError if it cannot be built."""
        return _parameters(self.recipe, self.shape, len(self.class_names))

    def model(self) -> nn.Module:
        """The model with its weights, on the CPU, in fp32, eval mode, frozen. Raises CheckpointError when they do not fit."""
        return storage.load_into(_blank(self.recipe, self.shape, len(self.class_names)), self.path)


def app_root() -> Path:
    """The folder with the app and the shipped checkpoints: the checkout or, installed, the package `adversarial_lab`."""
    beside = Path(__file__).resolve().parents[2]
    return beside if (beside / "app.py").is_file() else beside / "adversarial_lab"


def shipped_root() -> Path:
    """The shipped checkpoints: `$ADVCORE_CHECKPOINTS`, else `checkpoints/` beside the app."""
    return Path(os.environ.get("ADVCORE_CHECKPOINTS") or app_root() / "checkpoints")


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
    """The files in the checkpoint folders that cannot be used, with the reason."""
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
                found.setdefault(checkpoint.id, checkpoint)
            except CheckpointError as error:
                refused[path] = str(error)
            except Exception as error:  # a parser of untrusted bytes: one file must not hide the others
                refused[path] = f"{path.name} cannot be read ({type(error).__name__}); leave it out."
    return found, refused


def _listed(path: Path, own: bool) -> Checkpoint:
    """The checkpoint in a file, whose path gives its id; raises CheckpointError when the two do not match."""
    if not _ID.fullmatch(f"{path.parent.name}/{path.name.removesuffix(SUFFIX)}"):
        raise CheckpointError(f"{path.name!r} cannot be a checkpoint's name; rename it with letters, digits, '.', '_' and '-'.")
    try:
        state = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}.") from error
    return _listed_as(path, own, (state.st_mtime_ns, state.st_size, state.st_ino))


@functools.lru_cache(maxsize=2048)
def _listed_as(path: Path, own: bool, _state: tuple[int, int, int]) -> Checkpoint:
    """`_listed`, cached until the file changes: a header is read once and not at every listing."""
    checkpoint = read(path, own=own)
    if checkpoint.recipe.dataset != path.parent.name:
        raise CheckpointError(f"{path.name} was trained on {checkpoint.recipe.dataset}; move it to the folder of that name.")
    try:
        architectures.checked(checkpoint.architecture, checkpoint.shape, checkpoint.recipe.width)
    except ModelError as error:
        raise CheckpointError(f"{path.name} is left out: no model can be built from its header ({error})") from error
    return checkpoint


def visible(known: dict[str, Checkpoint], visitor: str | None) -> dict[str, Checkpoint]:
    """The checkpoints that a visitor of a public server may see: shipped ones and their own; all when `visitor` is None."""
    if visitor is None:
        return known
    return {name: item for name, item in known.items() if not item.own or item.visitor == visitor}


def find(checkpoint_id: str, known: dict[str, Checkpoint] | None = None) -> Checkpoint:
    """The checkpoint with that id, among `known` if given; raises CheckpointError when there is none.

    The id is only looked up and never becomes a path.
    """
    known = catalog() if known is None else known
    if checkpoint_id not in known:
        near = [name for name in known if name.split("/")[0] == checkpoint_id.split("/")[0]] or list(known)
        some = ", ".join(near[:_NAMED]) + (", …" if len(near) > _NAMED else "")
        raise CheckpointError(f"There is no checkpoint '{checkpoint_id[:80]}'; choose one of {some or 'none yet'}.")
    return known[checkpoint_id]


def read(path: Path, *, own: bool = False) -> Checkpoint:
    """The checkpoint in a file, from its header alone. Raises CheckpointError when the file is not a checkpoint."""
    return Checkpoint(f"{path.parent.name}/{path.name.removesuffix(SUFFIX)}", path, **vars(headers.read(path)), own=own)


def _blank(recipe: Recipe, shape: architectures.Shape, classes: int) -> nn.Module:
    """The recipe's network on the meta device, where weights have shapes but no memory."""
    try:
        with torch.device("meta"):
            return build(recipe, shape, classes)
    except ModelError as error:
        raise CheckpointError(f"No model can be built from the header ({error})") from error


@functools.lru_cache(maxsize=1024)
def _parameters(recipe: Recipe, shape: architectures.Shape, classes: int) -> int:
    return architectures.parameter_count(_blank(recipe, shape, classes))


def build(recipe: Recipe, shape: architectures.Shape, classes: int) -> nn.Module:
    """The recipe's model with new weights and its dataset's normalization. Raises ModelError when it cannot be built."""
    info = BUILT_IN.get(recipe.dataset)
    options = {"mean": info.mean, "std": info.std} if info else {}
    return architectures.build(recipe.architecture, shape, classes, width=recipe.width, **options)


def save(
    path: Path,
    model: nn.Module,
    recipe: Recipe,
    *,
    shape: architectures.Shape,
    class_names: tuple[str, ...],
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Write the model completely or not at all, its weights shortened as `storage.as_stored` says.

    Raises CheckpointError when the weights are not finite, or too large for float16.
    """
    header = headers.Header(recipe, shape, class_names, metrics, provenance)
    stored = storage.stored(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_safetensors(path, stored, header.to_metadata())


def add(checkpoint_id: str, model: nn.Module, recipe: Recipe, **facts: Any) -> Checkpoint:
    """Save a user's new checkpoint below the runs, under its id, with -2, -3, … if that is taken; `facts` as for `save`.

    Two processes never take the same id. Raises CheckpointError as `free_path` and `save` do, and when the file cannot be read
    back; it is removed then.
    """
    with _names():
        path = free_path(checkpoint_id)
        save(path, model, recipe, **facts)
    try:
        made = read(path, own=True)
        made.model()
    except CheckpointError:
        path.unlink(missing_ok=True)
        raise
    return made


def _names() -> filelock.FileLock:
    """Held while a free name is looked up and taken."""
    own_root().mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(own_root() / ".lock")


def free_path(checkpoint_id: str) -> Path:
    """The path of a user's new checkpoint: its id below the runs, with -2, -3, … if the id is taken.

    Raises CheckpointError for an id that cannot name a file, or too long with its number.
    """
    taken, number, free = catalog(), 1, checkpoint_id
    while True:
        if not _ID.fullmatch(free) or max(len(part.encode()) for part in checkpoint_id.split("/")) > _MAX_NAME:
            raise CheckpointError(
                f"'{free[:120]}' cannot name a checkpoint; use a few letters, digits, '.', '_' and '-' after 'dataset/'."
            )
        path = own_root() / f"{free}{SUFFIX}"
        if free not in taken and not path.exists():
            return path
        number += 1
        free = f"{checkpoint_id}-{number}"


def rename(checkpoint_id: str, name: str) -> Checkpoint:
    """Give one of the user's checkpoints another name within its dataset.

    Raises CheckpointError for a shipped checkpoint, and for a name that is taken or cannot be one.
    """
    checkpoint = _own(checkpoint_id)
    wanted = f"{checkpoint.recipe.dataset}/{name.strip()}"
    with _names():
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
        raise CheckpointError(f"{checkpoint_id} came with the app and cannot be changed; only your own can.")
    return checkpoint
