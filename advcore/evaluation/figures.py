"""The figures in a checkpoint's header: the accuracies that `measure` finds, and how they are looked up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from advcore import attacks, data
from advcore.device import pick_device
from advcore.evaluation.curves import robustness_curve
from advcore.models import storage
from advcore.models.checkpoints import Checkpoint
from advcore.models.headers import rows_in
from advcore.recipe import Recipe

PGD_IMAGES = 1000
"""On how many test images, the first ones, iterative attacks and noise are measured."""


def claimed_epsilon(checkpoint: Checkpoint) -> float | None:
    """The ε (L∞, pixel space) that a checkpoint is judged at: the one it was trained at, else the first in its header."""
    return checkpoint.recipe.epsilon or next((row["epsilon"] for row in rows_in(checkpoint.metrics)), None)


def strongest(metrics: Mapping[str, Any], epsilon: float | None) -> dict[str, Any] | None:
    """The row of the attack that leaves least at one ε (L∞), among PGD, AutoAttack and all checks of the header's diagnosis."""
    rows, found = rows_in(metrics), metrics.get("diagnosis")
    if found and found["norm"] == "linf" and found["images"]:
        accuracy = found["robust"] / found["images"]
        rows.append({"attack": "all checks", "epsilon": found["epsilon"], "images": found["images"], "accuracy": accuracy})
    strong = [row for row in rows if row["attack"].startswith(("PGD", "AutoAttack", "all checks"))]
    here = [row for row in strong if epsilon is not None and math.isclose(row["epsilon"], epsilon, abs_tol=1e-6)]
    return min(here, key=lambda row: row["accuracy"], default=None)


def measure(
    recipe: Recipe,
    model: nn.Module,
    test: data.LabeledImages,
    *,
    pgd: attacks.PGD | None = None,
    device: torch.device | None = None,
    watch: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """The accuracies for a header, shares in [0, 1], at the dataset's usual ε and at the recipe's.

    Clean and FGSM on all images of `test`, noise and PGD on the first thousand. PGD is PGD-20; at the recipe's ε (else the
    usual one) it is `pgd` if given.

    `{"clean": …, "images": N, "precision": …, "attacks": [{"attack", "epsilon", "images", "accuracy", …}]}`; ε is L∞ in
    pixel space, and every PGD figure names its steps and restarts. Measured in fp32, with the weights as a checkpoint keeps
    them (`storage.as_stored`). `watch` is called with the share of the work that is done.
    """
    model, usual = storage.as_stored(model), data.dataset(recipe.dataset).epsilon
    claimed = recipe.epsilon or usual
    epsilons = sorted({usual, claimed})
    few, noise = test[:PGD_IMAGES], attacks.UniformNoise()
    # Each with its cost in passes through the network; a gradient is about three.
    parts: list[tuple[attacks.Attack, data.LabeledImages, list[float], int]]
    parts = [(attacks.FGSM(), test, [0.0, *epsilons], 4 + len(epsilons))]
    for epsilon in epsilons:
        strong = pgd if pgd and epsilon == claimed else attacks.PGD(steps=20)
        parts.append((strong, few, [epsilon], 3 * strong.steps * strong.restarts + 1))
    parts += [(noise, few, [epsilon], 1) for epsilon in epsilons]
    work, done = sum(len(some) * passes for _, some, _, passes in parts), 0
    rows, clean = [], 0.0
    for attack, some, grid, passes in parts:
        for curve in robustness_curve(model, some, attack, grid, device=device or pick_device(), precision="fp32"):
            if watch:
                watch((done + curve.total * passes) / work)
        done += len(some) * passes
        shares = list(zip(grid, curve.accuracy, strict=True))
        if grid[0] == 0.0:
            clean = shares.pop(0)[1]
        rows += [_row(attack, epsilon, len(some), share) for epsilon, share in shares]
    return {"clean": clean, "images": len(test), "precision": "fp32", "attacks": rows}


def _row(attack: attacks.Attack, epsilon: float, images: int, share: float) -> dict[str, Any]:
    row = {"attack": attacks.title(attack), "epsilon": epsilon, "images": images, "accuracy": share}
    if isinstance(attack, attacks.PGD):
        row |= {"steps": attack.steps, "restarts": attack.restarts}
    return row


def under(metrics: Mapping[str, Any], attack: str, epsilon: float | None = None) -> dict[str, Any] | None:
    """The first L∞ row of a header for an attack whose title starts with `attack` (at `epsilon`, if given), or None."""
    for row in rows_in(metrics):
        if row["attack"].startswith(attack) and (epsilon is None or math.isclose(row["epsilon"], epsilon, abs_tol=1e-6)):
            return row
    return None


def accuracy_under(metrics: Mapping[str, Any], attack: str, epsilon: float | None = None) -> float | None:
    """The accuracy in the row that `under` finds, a share in [0, 1], or None."""
    row = under(metrics, attack, epsilon)
    return None if row is None else row["accuracy"]
