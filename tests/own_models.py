"""Small checkpoints among the user's own, for the tests of what can be done with them."""

from __future__ import annotations

import torch

from advcore import data
from advcore.models import architectures, checkpoints
from advcore.recipe import Recipe

RECIPE = Recipe(dataset="digits", architecture="digits_cnn")


def own(name: str = "mine", recipe: Recipe = RECIPE) -> checkpoints.Checkpoint:
    """A small checkpoint among the user's own."""
    torch.manual_seed(0)
    path = checkpoints.own_root() / recipe.dataset / f"{name}.safetensors"
    names = data.dataset(recipe.dataset).class_names
    model = architectures.build(recipe.architecture, (1, 8, 8), 10)
    checkpoints.save(
        path, model, recipe, shape=(1, 8, 8), class_names=names, metrics={"clean": 0.5}, provenance={"date": "today"}
    )
    return checkpoints.read(path, own=True)


def files() -> list[str]:
    """The files below the runs, without locks."""
    root = checkpoints.runs_root()
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != ".lock")
