"""The worst case up to ε: an image counts as fooled at ε if the attack fools it at any ε′ ≤ ε.

Work that cannot change the result is left out: at each ε of the ascending grid only the images not yet fooled are attacked, an
image takes no more steps once it is fooled, an attack starts from the images reached at the ε before, and an image that is far
from being fooled is left for the next ε. The search may use bf16; an image only counts as fooled if fp32 is wrong about it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from advcore.attacks import PGD, Attack, Budget, check_epsilon, halve_when_full, loss_gradient
from advcore.attacks.base import unit
from advcore.attacks.losses import LOSSES, margin
from advcore.attacks.pgd import random_start
from advcore.data import LabeledImages
from advcore.device import Precision
from advcore.errors import AdvcoreError
from advcore.evaluation.curves import Predictions, copies, default_batch_size, predictions

# An image is left for the next ε when its label's lead, shrinking as over the last `_WINDOW` steps and `_HOPE` times as fast,
# would last beyond the steps that remain; never before half of the steps.
_WINDOW, _HOPE = 5, 3.0


@dataclass(frozen=True)
class Savings:
    """Which work is left out. All of it by default; `benchmarks/worst_case_vs_peers.py` measures what each one saves."""

    up_the_grid: bool = True
    """An image that is fooled at one ε is not attacked at larger ones."""
    early_stop: bool = True
    """An image takes no more steps once it is fooled."""
    warm_start: bool = True
    """An attack starts from the images it had reached at the ε before, instead of from random ones."""
    leave_far: bool = True
    """An image whose label keeps its lead at the current rate is left for the next ε."""


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

    `epsilons` ascend, in pixel space and in the attack's norm. `precision` is that of the search; what counts as fooled is
    decided in fp32. Without `device` the model's own is taken, without `precision` the fastest one there. On a CPU the result
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
    device, exact, quick = copies(model, device, precision)
    batch_size = batch_size or default_batch_size(data.shape, device)
    for first in range(0, len(data), batch_size):
        part = data[first : first + batch_size]
        search = _Search(exact, quick, attack, part, device, savings)
        with torch.no_grad():
            yield Predictions(grid, part.labels, search.answers(grid), attack.norm, "worst")


class _Search:
    """The search on one batch of images, ε after ε."""

    def __init__(
        self, exact: nn.Module, quick: nn.Module, attack: Attack, part: LabeledImages, device: torch.device, savings: Savings
    ) -> None:
        self.exact, self.quick, self.attack, self.savings = exact, quick, attack, savings
        self.images = part.pixels(device).contiguous(memory_format=torch.channels_last)
        self.labels, self.indices = part.labels.to(device), part.indices.to(device)
        self.reached: Tensor | None = None
        """The images where the attack ended at the ε before, N×C×H×W."""

    def answers(self, grid: Sequence[float]) -> Tensor:
        """The wrong answer of each image from the ε on at which it is first fooled, before that its label; int64 E×N."""
        found = self._exact_answers(self.images)
        rows = []
        for place, epsilon in enumerate(grid):
            held = (found == self.labels).nonzero()[:, 0] if self.savings.up_the_grid else torch.arange(len(found))
            if epsilon and len(held):
                attacked = halve_when_full(lambda which, at=place: self._attacked(which, grid, at), held)
                answers = self._exact_answers(attacked)
                found[held] = torch.where(found[held] == self.labels[held], answers, found[held])
                if self.savings.warm_start:
                    self.reached = self.images.clone() if self.reached is None else self.reached
                    self.reached[held] = attacked
            rows.append(found.clone())
        return torch.stack(rows).cpu()

    def _exact_answers(self, images: Tensor) -> Tensor:
        return halve_when_full(lambda part: self.exact(part).argmax(1), images)

    def _attacked(self, held: Tensor, grid: Sequence[float], place: int) -> Tensor:
        """The attacked images of `held` (int64 M) at that place of the grid."""
        images, labels, indices = self.images[held], self.labels[held], self.indices[held]
        epsilon, before = grid[place], grid[place - 1] if place else 0.0
        start = None
        if self.reached is not None and before:  # as far out in the new budget as in the one before
            start = images + (self.reached[held] - images) * (epsilon / before)
        if isinstance(self.attack, PGD):
            return self._ascend(images, labels, indices, epsilon, start)
        if start is not None and self.attack.warm_start:
            return self.attack.perturb(self.quick, images, labels, epsilon, indices=indices, start=start)
        return self.attack.perturb(self.quick, images, labels, epsilon, indices=indices)

    def _ascend(self, images: Tensor, labels: Tensor, indices: Tensor, epsilon: float, start: Tensor | None) -> Tensor:
        """PGD from `start`, then from random points for its further restarts, each on the images that hold."""
        attack = self.attack
        assert isinstance(attack, PGD)
        result, held = images.clone(), torch.arange(len(images), device=images.device)
        for restart in range(attack.restarts):
            budget = Budget(images[held], epsilon, attack.norm)
            if start is not None and restart == 0:
                first = budget.project(start)
            else:
                first = random_start(budget, indices[held], attack.seed, restart) if attack.random_start else images[held]
            ended, fooled = self._run(attack, images[held], labels[held], epsilon, first, patient=start is None)
            taken = fooled if restart else torch.ones_like(fooled)
            result[held[taken]] = ended[taken]
            held = held[~fooled]
            if not len(held):
                break
        return result

    def _run(
        self, attack: PGD, images: Tensor, labels: Tensor, epsilon: float, attacked: Tensor, *, patient: bool
    ) -> tuple[Tensor, Tensor]:
        """(images where the steps ended, whether the exact model is wrong about each). With `patient` none is left early."""
        result, fooled = attacked.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
        where, size = torch.arange(len(images), device=images.device), attack.step_size or epsilon * 2.5 / attack.steps
        velocity, leads = torch.zeros_like(images) if attack.momentum else None, []
        for step in range(attack.steps):
            budget = Budget(images[where], epsilon, attack.norm)
            aim = labels[where]
            logits, _, gradient = loss_gradient(self.quick, attacked, lambda out, to=aim: LOSSES[attack.loss](out, to))
            lead = -margin(logits, aim)
            leads.append(lead)
            going = torch.ones_like(lead, dtype=torch.bool)
            if self.savings.early_stop and (seems := lead < 0).any():
                done = seems.clone()
                done[seems] = self._exact_answers(attacked[seems]) != aim[seems]
                result[where[done]], fooled[where[done]] = attacked[done], True
                going &= ~done
            if self.savings.leave_far and not patient and step >= max(_WINDOW, attack.steps // 2):
                rate = (leads[step - _WINDOW] - lead) / _WINDOW
                far = lead > _HOPE * rate.clamp(min=0) * (attack.steps - step)
                result[where[far & going]] = attacked[far & going]
                going &= ~far
            if not going.all():
                where, attacked, gradient = where[going], attacked[going], gradient[going]
                leads = [earlier[going] for earlier in leads]
                velocity = None if velocity is None else velocity[going]
                budget = Budget(images[where], epsilon, attack.norm)
                if not len(where):
                    return result, fooled
            if velocity is not None:
                velocity = attack.momentum * velocity + gradient / gradient.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
                gradient = velocity
            attacked = budget.project(attacked + size * unit(gradient, attack.norm))
        result[where] = attacked
        return result, fooled
