"""The header of a checkpoint file: written as JSON into the safetensors metadata, and checked strictly when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcore.data import class_names
from advcore.errors import CheckpointError, RecipeError
from advcore.models.architectures import ARCHITECTURES, Shape
from advcore.models.storage import read_metadata
from advcore.recipe import Recipe

FORMAT = 1
_MAX_COMPONENTS, _MAX_CHECKS = 20, 50
_MAX_ROWS, _MAX_HISTORY = 200, 1000
_MAX_DEPTH, _MAX_VALUES, _MAX_TEXT = 8, 20_000, 2000
# The provenance that training and importing write.
_ORIGIN = ("command", "date", "device", "seconds", "torch", "python", "advcore", "data", "job")
_ORIGIN += ("imported", "weights", "normalization", "visitor")


@dataclass(frozen=True)
class Header:
    """What a checkpoint file says about its model. `shape` is C×H×W; `metrics` and `provenance` are plain JSON values."""

    recipe: Recipe
    shape: Shape
    class_names: tuple[str, ...]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def to_metadata(self) -> dict[str, str]:
        """The header as safetensors metadata."""
        values = {
            "format": FORMAT,
            "recipe": self.recipe.to_dict(),
            "shape": list(self.shape),
            "class_names": list(self.class_names),
            "metrics": dict(self.metrics),
            "provenance": dict(self.provenance),
        }
        return {"advcore": json.dumps(values, sort_keys=True, ensure_ascii=False)}


def read(path: Path) -> Header:
    """The header of a checkpoint file; no weight is read. Raises CheckpointError when it is not a header of this app."""
    header = _values(path)
    try:
        recipe = Recipe.from_dict(header["recipe"])
        shape, names = header["shape"], header["class_names"]
    except (KeyError, RecipeError) as error:
        reason = str(error) if isinstance(error, RecipeError) else "its header is incomplete"
        raise CheckpointError(f"{path.name} is not a checkpoint of this app ({reason}); retrain it or leave it out.") from error
    if recipe.architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"{path.name} has the architecture '{recipe.architecture}', which this app does not know; leave it out."
        )
    whole = isinstance(shape, list) and all(type(size) is int for size in shape)
    if not whole or len(shape) != 3 or shape[0] not in (1, 3) or not all(1 <= size <= 224 for size in shape):
        raise CheckpointError(f"{path.name} says its images are {str(shape)[:60]}, which no model here takes; leave it out.")
    if not isinstance(names, list) or class_names.problem(names):
        raise CheckpointError(f"{path.name} has no usable class names; leave it out.")
    metrics, provenance = header.get("metrics", {}), header.get("provenance", {})
    if not _usable_metrics(metrics):
        raise CheckpointError(f"{path.name} has figures in its header that are not numbers, or out of range; leave it out.")
    if not isinstance(provenance, dict):
        raise CheckpointError(f"{path.name} has a header that this app cannot read; leave it out.")
    origin = {name: provenance[name] for name in _ORIGIN if name in provenance and _is_short(provenance[name])}
    return Header(recipe, tuple(shape), tuple(names), metrics, origin)


def rows_in(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a header for attacks in L∞, AutoAttack's last; a row that names no norm is in L∞."""
    found, last = metrics.get("autoattack"), []
    if found:
        last = [{"attack": "AutoAttack", **{name: found[name] for name in ("epsilon", "norm", "images", "accuracy")}}]
    return [row for row in [*metrics.get("attacks", []), *last] if row.get("norm", "linf") == "linf"]


def _values(path: Path) -> dict[str, Any]:
    """The app's own part of a safetensors header."""
    text = read_metadata(path).get("advcore", "")
    try:
        header = json.loads(text)
        known = header["format"] == FORMAT
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{path.name} holds weights but no recipe: it is not a checkpoint of this app.") from error
    if not known:
        raise CheckpointError(
            f"{path.name} was written by another version of this app (format {ascii(header['format'])[:20]})."
        )
    return header


def _is_plain(metrics: dict[str, Any]) -> bool:
    """Whether all figures, also unknown ones, can be copied, stored and shown: limited depth, length and numbers."""
    left, seen = [(metrics, 0)], 0
    while left:
        value, depth = left.pop()
        seen += 1
        if depth > _MAX_DEPTH or seen > _MAX_VALUES:
            return False
        if isinstance(value, dict):
            left += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list):
            left += [(item, depth + 1) for item in value]
        elif not _is_short(value):
            return False
    return True


def _is_short(value: object) -> bool:
    """Whether it is a text of one printable line, or a number that fits a float."""
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT and value.isprintable()
    return value is None or (isinstance(value, int | float) and abs(value) < 1e300)  # false for NaN


def _printable(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable()


def _usable_metrics(metrics: object) -> bool:
    """Whether the figures that pages and commands print have the types and ranges that measuring gives them."""
    if not isinstance(metrics, dict) or not _is_plain(metrics):
        return False
    rows, history = metrics.get("attacks", []), metrics.get("history", [])
    return (
        isinstance(rows, list)
        and len(rows) <= _MAX_ROWS
        and isinstance(history, list)
        and len(history) <= _MAX_HISTORY
        and all(_is_evaluation(seen) for seen in history)
        and _is_share(metrics.get("clean", 0))
        and ("autoattack" not in metrics or _is_robust_accuracy(metrics["autoattack"]))
        and ("diagnosis" not in metrics or _is_diagnosis(metrics["diagnosis"]))
        and _is_count(metrics.get("images", 0))
        and all(
            isinstance(row, dict)
            and all(_is_count(row.get(name, 0)) for name in ("images", "steps", "restarts"))
            and _printable(row.get("attack"))
            and _is_epsilon(row.get("epsilon"), row.get("norm", "linf"))
            and _is_share(row.get("accuracy"))
            for row in rows
        )
    )


def _is_evaluation(seen: object) -> bool:
    """Whether it is an evaluation during a run, as `training.Evaluation` records it."""
    if not isinstance(seen, dict) or not all(_is_share(seen.get(name)) for name in ("clean", "fgsm", "pgd", "epsilon")):
        return False
    return isinstance(step := seen.get("step"), int | float) and 0 <= step < 1e12


def _is_robust_accuracy(found: object) -> bool:
    """Whether it is what `RobustAccuracy.to_dict` gives: the accuracy left by AutoAttack, and by each of its components."""
    return (
        isinstance(found, dict)
        and _is_budget(found)
        and _is_share(found.get("accuracy"))
        and isinstance(left := found.get("survivors"), dict)
        and 1 <= len(left) <= _MAX_COMPONENTS
        and all(_printable(name) and _is_count(count) and count <= found["images"] for name, count in left.items())
    )


def _is_diagnosis(found: object) -> bool:
    """Whether it has the form that `Diagnosis.to_dict` gives: counts of images by check."""
    if not isinstance(found, dict) or not _is_budget(found) or not isinstance(checks := found.get("counts"), dict):
        return False
    return (
        len(checks) <= _MAX_CHECKS
        and all(_is_count(found.get(name)) for name in ("classes", "robust"))
        and found["robust"] <= found["images"]
        and isinstance(found.get("defended"), bool)
        and all(
            _printable(key)
            and isinstance(counts, dict)
            and len(counts) <= _MAX_CHECKS
            and all(_printable(name) and _is_count(count) and count <= found["images"] for name, count in counts.items())
            for key, counts in checks.items()
        )
    )


def _is_budget(found: dict[str, Any]) -> bool:
    """Whether it names an ε, a norm and a number of images."""
    return _is_epsilon(found.get("epsilon"), found.get("norm")) and _is_count(found.get("images")) and found["images"] > 0


def _is_epsilon(value: object, norm: object) -> bool:
    """Whether the value is a budget in that norm: up to 1 in L∞ and L0, up to 10⁶ in L2."""
    limit = {"linf": 1, "l0": 1, "l2": 1e6}.get(norm) if isinstance(norm, str) else None
    return limit is not None and isinstance(value, int | float) and 0 <= value <= limit


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 10**12


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1
