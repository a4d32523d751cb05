"""What a finished training leaves: its figures on the test split, its provenance, its checkpoint."""

from __future__ import annotations

import datetime
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from advcore import __version__, attacks, data
from advcore.device import Precision, describe, fastest_precision, pick_device
from advcore.evaluation.curves import robustness_curve
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training.loop import Evaluation

PGD_IMAGES = 1000


def measure(
    model: nn.Module,
    images: data.LabeledImages,
    epsilons: Sequence[float],
    *,
    strong: Mapping[float, attacks.PGD] | None = None,
    device: torch.device | None = None,
    watch: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Accuracies, shares in [0, 1]: clean and FGSM on all images, noise and PGD on the first thousand.

    PGD is PGD-20, but at the ε that `strong` names another for.

    `{"clean": …, "images": N, "precision": …, "attacks": [{"attack", "epsilon", "images", "accuracy", …}]}`; ε is L∞ in
    pixel space, and every PGD figure names its steps and restarts. Measured in fp32. `watch` is told, time and again, the
    share of the work that is done.
    """
    few, noise = images[:PGD_IMAGES], attacks.UniformNoise()
    # Each with its cost in passes through the network; a gradient is about three.
    parts: list[tuple[attacks.Attack, data.LabeledImages, list[float], int]]
    parts = [(attacks.FGSM(), images, [0.0, *epsilons], 4 + len(epsilons))]
    for epsilon in epsilons:
        pgd = (strong or {}).get(epsilon, attacks.PGD(steps=20))
        parts.append((pgd, few, [epsilon], 3 * pgd.steps * pgd.restarts + 1))
    parts += [(noise, few, [epsilon], 1) for epsilon in epsilons]
    work, done = sum(len(some) * passes for _, some, _, passes in parts), 0
    rows, clean = [], 0.0
    for attack, some, grid, passes in parts:
        for curve in robustness_curve(model, some, attack, grid, device=device or pick_device(), precision="fp32"):
            if watch:
                watch((done + curve.total * passes) / work)
        done += len(some) * passes
        shares = dict(zip(grid, curve.accuracy, strict=True))
        clean = shares.pop(0.0, clean)
        rows += [_row(attack, epsilon, len(some), share) for epsilon, share in shares.items()]
    return {"clean": clean, "images": len(images), "precision": "fp32", "attacks": rows}


def _row(attack: attacks.Attack, epsilon: float, images: int, share: float) -> dict[str, Any]:
    row = {"attack": attacks.title(attack), "epsilon": epsilon, "images": images, "accuracy": share}
    if isinstance(attack, attacks.PGD):
        row |= {"steps": attack.steps, "restarts": attack.restarts}
    return row


def measured(metrics: dict[str, Any], attack: str, epsilon: float | None = None) -> dict[str, Any] | None:
    """What a header records of an attack whose title starts so (at `epsilon`, else at its first), or None."""
    for row in metrics.get("attacks", []):
        if str(row.get("attack", "")).startswith(attack) and epsilon in (None, row.get("epsilon")):
            return row
    return None


def figure(metrics: dict[str, Any], attack: str, epsilon: float | None = None) -> float | None:
    """The accuracy that `measured` finds, a share in [0, 1], or None."""
    row = measured(metrics, attack, epsilon)
    return None if row is None else float(row["accuracy"])


def masking(metrics: dict[str, Any]) -> str | None:
    """A sentence when the header's figures show robustness that one step sees and many steps do not, else None.

    Thirty points between FGSM and PGD at one ε are the mark of masked gradients (Athalye et al. 2018, arXiv 1802.00420).
    """
    rows = [row for row in metrics.get("attacks", []) if {"attack", "epsilon", "accuracy", "images"} <= set(row)]
    pairs = [
        (fgsm, pgd)
        for fgsm in rows
        for pgd in rows
        if fgsm["attack"] == "FGSM" and str(pgd["attack"]).startswith("PGD") and pgd["epsilon"] == fgsm["epsilon"]
    ]
    fgsm, pgd = max(pairs, key=lambda pair: pair[0]["accuracy"] - pair[1]["accuracy"], default=(None, None))
    if fgsm is None or pgd is None or fgsm["accuracy"] - pgd["accuracy"] < 0.3:
        return None
    return (
        f"holds {fgsm['accuracy']:.1%} of {fgsm['images']:,} test images under FGSM at ε = {fgsm['epsilon']:.3g}, "
        f"but {pgd['accuracy']:.1%} of {pgd['images']:,} under {pgd['attack']}: its robustness is masked, not real"
    )


def command(recipe: Recipe) -> str:
    """The command line that carries the recipe out."""
    words = ["python", "-m", "advcore", "train"]
    for name, value in recipe.to_dict().items():
        option = f"--{name.replace('_', '-')}"
        values = [] if value is True else value if isinstance(value, list) else [value]
        words += [option, *(str(item) for item in values)]
    return shlex.join(words)


def provenance(recipe: Recipe, device: torch.device, precision: Precision, seconds: float) -> dict[str, Any]:
    """Where a checkpoint came from: command, date, machine, versions, the data it saw and how long it took."""
    return {
        "command": command(recipe),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": describe(device, precision),
        "seconds": round(seconds, 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "advcore": __version__,
        "data": data.find(recipe.dataset, "train").words.split(" in ")[0],
    }


def figures(
    recipe: Recipe,
    model: nn.Module,
    test: data.LabeledImages,
    *,
    device: torch.device | None = None,
    pgd: attacks.PGD | None = None,
    watch: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """What `measure` finds for a recipe's model on the test split, at the dataset's ε and at its own, there with `pgd`.

    Measured with the weights as a checkpoint keeps them: the large ones in half precision.
    """
    usual = data.dataset(recipe.dataset).epsilon
    epsilons = sorted({usual, recipe.epsilon} - {0.0})
    strong = {recipe.epsilon or usual: pgd} if pgd else None
    return measure(checkpoints.as_stored(model), test, epsilons, strong=strong, device=device, watch=watch)


def watched(history: Sequence[Evaluation]) -> dict[str, Any]:
    """What a run saw of itself on its held-out images, for the header: `{"history": [{"step", "clean", "fgsm", …}]}`.

    Empty where nothing was held out.
    """
    return {"history": [asdict(item) for item in history]} if history else {}


def finish(
    recipe: Recipe,
    model: nn.Module,
    path: Path,
    *,
    seconds: float,
    device: torch.device | None = None,
    precision: Precision | None = None,
    pgd: attacks.PGD | None = None,
    history: Sequence[Evaluation] = (),
) -> checkpoints.Checkpoint:
    """Measure a finished model on the test split and save it as a checkpoint, with what its run saw of itself."""
    device = device or pick_device()
    test = data.load(recipe.dataset, "test")
    metrics = figures(recipe, model, test, device=device, pgd=pgd) | watched(history)
    origin = provenance(recipe, device, precision or fastest_precision(device.type), seconds)
    shape, names = test.shape, test.class_names
    checkpoints.save(path, model, recipe, shape=shape, class_names=names, metrics=metrics, provenance=origin)
    return checkpoints.read(path)
