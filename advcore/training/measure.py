"""What a finished training leaves: its provenance and its measured checkpoint."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from advcore import __version__, attacks, data
from advcore.device import Precision, describe, fastest_precision, pick_device
from advcore.evaluation import figures
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training.watch import Evaluation


def provenance(recipe: Recipe, device: torch.device, precision: Precision, seconds: float) -> dict[str, Any]:
    """Where a checkpoint came from: command, date, machine, versions, the data it saw and how long it took."""
    return {
        "command": recipe.command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": describe(device, precision),
        "seconds": round(seconds, 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "advcore": __version__,
        "data": data.find(recipe.dataset, "train").words,
    }


def watched(history: Sequence[Evaluation]) -> dict[str, Any]:
    """The evaluations of a run on its held-out images, for the header: `{"history": [{"step", "clean", "fgsm", …}]}`.

    Empty where no images were held out.
    """
    return {"history": [asdict(item) for item in history]} if history else {}


def finish(
    recipe: Recipe,
    model: nn.Module,
    path: Path | None,
    *,
    seconds: float,
    device: torch.device | None = None,
    precision: Precision | None = None,
    pgd: attacks.PGD | None = None,
    history: Sequence[Evaluation] = (),
) -> checkpoints.Checkpoint:
    """Measure a finished model on the test split and save it as a checkpoint, with the evaluations of its run.

    Without a `path` it joins the user's own.
    """
    device = device or pick_device()
    test = data.load(recipe.dataset, "test")
    metrics = figures.measure(recipe, model, test, device=device, pgd=pgd) | watched(history)
    origin = provenance(recipe, device, precision or fastest_precision(device.type), seconds)
    facts = {"shape": test.shape, "class_names": test.class_names, "metrics": metrics, "provenance": origin}
    if path is None:
        return checkpoints.add(recipe.checkpoint_id, model, recipe, **facts)
    checkpoints.save(path, model, recipe, **facts)
    return checkpoints.read(path)
