"""Accuracies on held-out images during a training, and what they say about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from advcore import data, distributed
from advcore.attacks import FGSM, PGD
from advcore.device import Precision
from advcore.errors import RecipeError
from advcore.evaluation.curves import accuracy
from advcore.evaluation.masking import masked
from advcore.recipe import Recipe

EVALUATION_STEPS = 10
"""Steps of the PGD that measures the held-out images."""


@dataclass(frozen=True)
class Evaluation:
    """Held-out accuracies, shares in [0, 1], after `step` steps; FGSM and PGD-10 at `epsilon` in pixel space."""

    step: int
    clean: float
    fgsm: float
    pgd: float
    epsilon: float
    images: int


def evaluate(
    model: nn.Module,
    held_out: data.LabeledImages,
    recipe: Recipe,
    step: int,
    *,
    device: torch.device,
    precision: Precision,
) -> Evaluation:
    """Clean, FGSM and PGD-10 accuracy of the model, at the recipe's ε or else the dataset's; processes share the images."""
    world, epsilon = distributed.world(), recipe.epsilon or data.dataset(recipe.dataset).epsilon
    mine = held_out[world.rank :: world.size]

    def share(attack: FGSM | PGD, budget: float) -> float:
        right = accuracy(model, mine, attack, budget, device=device, precision=precision) * len(mine) if len(mine) else 0
        return sum(distributed.gather(round(right))) / len(held_out)

    pgd = PGD(steps=EVALUATION_STEPS)
    return Evaluation(step, share(FGSM(), 0.0), share(FGSM(), epsilon), share(pgd, epsilon), epsilon, len(held_out))


def evaluation_steps(recipe: Recipe, steps: int) -> set[int]:
    """After which of the run's steps its accuracies are measured."""
    count = min(recipe.evaluations, steps) if recipe.held_out else 0
    return {round(steps * (index + 1) / count) for index in range(count)}


def overfitting(history: Sequence[Evaluation]) -> str | None:
    """A sentence when the last evaluation shows single-step robustness that PGD does not confirm, else None.

    Catastrophic overfitting (Wong et al. 2020) and label leaking (Kurakin et al. 2017) look alike: FGSM accuracy stays or
    rises while PGD accuracy collapses, because the network recognizes the single step instead of resisting it.
    """
    if not history or not masked(history[-1].fgsm, history[-1].pgd):
        return None
    last, best = history[-1], max(item.pgd for item in history)
    figures = f"FGSM {100 * last.fgsm:.0f} %, PGD {100 * last.pgd:.0f} % at ε = {last.epsilon:.3g}"
    if last.fgsm > last.clean + 0.02:
        return f"FGSM images are easier than clean ones ({figures}): the perturbation gives the label away (label leaking)."
    if collapsed(history):
        return f"PGD accuracy has collapsed from {100 * best:.0f} % ({figures}): catastrophic overfitting to the single step."
    return f"The model resists FGSM but not PGD ({figures}): its robustness is masked, not real."


def collapsed(history: Sequence[Evaluation]) -> bool:
    """Whether PGD accuracy has fallen below half its best while FGSM accuracy has not followed."""
    if not history or not masked(history[-1].fgsm, history[-1].pgd):
        return False
    return history[-1].pgd < 0.5 * max(item.pgd for item in history)


def as_good_as_its_best(history: Sequence[Evaluation]) -> bool:
    """Whether the last PGD accuracy is at most one standard error below the best one so far.

    On a few hundred held-out images a smaller difference is noise, and the clean accuracy of the later weights is higher:
    the one-standard-error rule (Breiman et al. 1984).
    """
    best = max(item.pgd for item in history)
    return history[-1].pgd >= best - math.sqrt(best * (1 - best) / history[-1].images)


def kept_of(history: Sequence[Evaluation]) -> Evaluation:
    """The evaluation of the weights that a run with `keep_best` keeps: the latest that was as good as the best before it."""
    return next(history[last - 1] for last in range(len(history), 0, -1) if as_good_as_its_best(history[:last]))


def trained_on(count: int, recipe: Recipe) -> int:
    """How many of `count` images are left to train on; raises RecipeError when all are held out."""
    left = count - recipe.held_out
    if left <= 0:
        raise RecipeError(f"{recipe.held_out} of {count} images held out leave none to train on; hold out fewer, or 0.")
    return left


def split_held_out(images: data.LabeledImages, recipe: Recipe) -> tuple[data.LabeledImages, data.LabeledImages]:
    """(to train on, held out): the recipe's first `images`, of which a fixed random `held_out` are kept apart.

    Images of one group are never on both sides: what is left of the groups held out is not used at all.
    """
    images = images[: recipe.images]
    trained_on(len(images), recipe)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    apart = order[: recipe.held_out]
    left = order[recipe.held_out :]
    if images.groups is not None:
        # By whole groups: the first of them in a random order, until there are enough images.
        shuffled = torch.randperm(int(images.groups.max()) + 1, generator=torch.Generator().manual_seed(0))[images.groups]
        apart = shuffled.argsort(stable=True)[: recipe.held_out]
        left = order[~torch.isin(shuffled[order], shuffled[apart])]
        trained_on(len(left) + recipe.held_out, recipe)
    return images[left], images[apart]
