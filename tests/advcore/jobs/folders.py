"""Jobs' folders for the tests, as the queue makes them."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from advcore.jobs import queue
from advcore.recipe import Recipe

TINY = Recipe(
    dataset="digits",
    architecture="digits_cnn",
    images=300,
    held_out=44,
    batch_size=64,
    epochs=2,
    evaluations=2,
    defense="fgsm",
    epsilon=0.2,
)


def make(recipe: Recipe | str = TINY, number: int = 0) -> Path:
    """A job's folder as `start` makes it, not started."""
    folder = queue.root() / f"20260102-030405-{number:06}"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(recipe if isinstance(recipe, str) else recipe.to_json())
    return folder


def claim(folder: Path, pid: int, created: float | None = None) -> None:
    """Note a process as that of the folder."""
    created = psutil.Process(pid).create_time() if created is None else created
    (folder / "process.json").write_text(json.dumps({"pid": pid, "created": created}))
