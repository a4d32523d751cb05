"""The worst case up to ε: an image counts as fooled at ε if the attack fools it at any ε′ ≤ ε.

At each ε of the ascending grid only the images not yet fooled are attacked, an image takes no more steps once it is fooled, and
an attack starts from the images reached at the ε before. Only the last of these changes the result, in either direction: the
curve is an upper bound, as any attack's is. The search may use bf16; an image only counts as fooled if fp32 is wrong about it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from advcore.attacks import PGD, Attack, check_epsilon, halve_when_full
from advcore.data import LabeledImages
from advcore.device import Precision
from advcore.errors import AdvcoreError
from advcore.evaluation.curves import Predictions, copies, default_batch_size, predictions


@dataclass(frozen=True)
class Savings:
    """Which work is left out. All of it by default; `benchmarks/worst_case_vs_peers.py` measures what each one saves."""

    up_the_grid: bool = True
    """An image that is fooled at one ε is not attacked at larger ones."""
    early_stop: bool = True
    """An image takes no more steps once it is fooled."""
    warm_start: bool = True
    """An attack starts from the images it had reached at the ε before, instead of from random ones."""


def worst_case(
    model: nn.Module,
    data: LabeledImages,
    attack: Attack,
    epsilons: Sequence[float],
    *,
    device: torch.device | None = None,
    precision: Precision | None = None,
    batch_size: int | None = None,
    savings: Savings = Savings(),
) -> Iterator[Predictions]:
    """Predictions under the reading "worst", one batch of images after another (disjoint; add them up).

    `epsilons` ascend, in pixel space and in the attack's norm. `precision` is that of the search; fp32
    decides what counts as fooled (for an attack in one step: `predictions`). Without `device` the model's own is taken, without
    `precision` the fastest one there. On a CPU the result
    does not depend on the batch size or the order of the images. Raises AdvcoreError for a targeted attack or a grid that does
    not ascend, AttackError for an ε out of range.
    """
    grid = tuple(check_epsilon(epsilon, attack.norm) for epsilon in epsilons)
    if attack.sign < 0 or any(low >= high for low, high in itertools.pairwise(grid)):
        raise AdvcoreError("The worst case up to ε needs an untargeted attack and values of ε in ascending order.")
    if attack.single_run:
        # The clean image is within every ε: an image that is wrong without an attack counts as fooled everywhere.
        with_clean = grid if grid and grid[0] == 0 else (0.0, *grid)
        options = {"device": device, "precision": precision, "batch_size": batch_size}
        for part in predictions(model, data, attack, with_clean, **options):  # type: ignore[arg-type]
            worst = part.worst_case()
            yield replace(worst, epsilons=grid, predicted=worst.predicted[len(with_clean) - len(grid) :])
        return
    if isinstance(attack, PGD):
        attack = replace(attack, stop_early=savings.early_stop)
    device, exact, quick = copies(model, device, precision)
    batch_size = batch_size or default_batch_size(data.shape, device)
    for first in range(0, len(data), batch_size):
        part = data[first : first + batch_size]
        with torch.no_grad():
            answers = _answers(exact, quick, attack, part, grid, device, savings)
        yield Predictions(grid, part.labels, answers, attack.norm, "worst")


def _answers(
    exact: nn.Module,
    quick: nn.Module,
    attack: Attack,
    part: LabeledImages,
    grid: Sequence[float],
    device: torch.device,
    savings: Savings,
) -> Tensor:
    """The wrong answer to each image from the ε on at which it is first fooled, before that its label; int64 E×N."""

    def exactly(images: Tensor) -> Tensor:
        return halve_when_full(lambda some: exact(some).argmax(1), images)

    images = part.pixels(device).contiguous(memory_format=torch.channels_last)
    labels, indices = part.labels.to(device), part.indices.to(device)
    found, rows = exactly(images), []
    reached: Tensor | None = None  # the images where the attack ended at the ε before
    for before, epsilon in itertools.pairwise((0.0, *grid)):
        held = (found == labels).nonzero()[:, 0] if savings.up_the_grid else torch.arange(len(found))
        if epsilon and len(held):
            clean, start = images[held], None
            if reached is not None and attack.warm_start:  # as far out in the new budget as in the one before
                start = clean + (reached[held] - clean) * (epsilon / before)
            attacked = attack.perturb(quick, clean, labels[held], epsilon, indices=indices[held], start=start)
            found[held] = torch.where(found[held] == labels[held], exactly(attacked), found[held])
            if savings.warm_start:
                reached = images.clone() if reached is None else reached
                reached[held] = attacked
        rows.append(found.clone())
    return torch.stack(rows).cpu()
