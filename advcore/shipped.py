"""The recipes of the shipped checkpoints: `python -m advcore checkpoints --rebuild [PATTERN]` trains those that are missing."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass

from advcore.recipes import Recipe


@dataclass(frozen=True)
class Shipped:
    """A recipe, and the steps and restarts of the PGD its header's figures are measured with."""

    recipe: Recipe
    steps: int = 20
    restarts: int = 1


def _recipes() -> Iterator[Shipped]:
    # Every image is trained on (nothing held out): these runs are judged on the test split, once, at their end.
    digits = {"dataset": "digits", "architecture": "digits_cnn", "batch_size": 64, "held_out": 0}
    yield Shipped(Recipe(**digits, epochs=40))
    yield Shipped(Recipe(**digits, epochs=60, defense="fgsm", epsilon=0.2))

    # Adam as in the studies; the cosine schedule gives in few epochs what a constant rate gives in many.
    grey = {"schedule": "cosine", "held_out": 0}
    lee = {"dataset": "mnist", "architecture": "lee_cnn", **grey}
    yield Shipped(Recipe(**lee, epochs=5))
    yield Shipped(Recipe(**lee, epochs=6, defense="fgsm", epsilon=0.3))

    for dataset in ("fashion-mnist", "mnist"):
        general = {"dataset": dataset, "architecture": "general_cnn", **grey, "epochs": 8}
        yield Shipped(Recipe(**general))
        yield Shipped(Recipe(**general, defense="fgsm", epsilon=0.1))

    # Few epochs: what two CPU cores manage in half an hour; flips keep the three blocks from learning by heart.
    colour = {"dataset": "cifar10", "architecture": "general_cnn", **grey, "augment": ("flip",)}
    yield Shipped(Recipe(**colour, epochs=6))
    yield Shipped(Recipe(**colour, epochs=5, defense="fgsm", epsilon=0.03))

    # The study's own numbers: batch 128, 10 epochs, and for the defended one 10 more.
    srivathsav = {"dataset": "mnist", "architecture": "srivathsav_cnn", "held_out": 0}
    yield Shipped(Recipe(**srivathsav, epochs=10))
    yield Shipped(Recipe(**srivathsav, epochs=10, defense="fgsm", epsilon=0.1, warm_start="mnist/srivathsav_cnn-standard"))
    # Cyclic schedule and PGD-7, the recipe of Wong et al. 2020 for MNIST at 0.3 with Madry's attack in place of one step.
    yield Shipped(
        Recipe(**srivathsav, epochs=15, defense="pgd", epsilon=0.3, learning_rate=0.003, schedule="cyclic", attack_steps=7),
        steps=50,
        restarts=10,
    )


SHIPPED: tuple[Shipped, ...] = tuple(_recipes())


def matching(pattern: str) -> list[Shipped]:
    """Those whose checkpoint id matches a shell pattern such as `mnist/*` or `*fgsm*`."""
    return [item for item in SHIPPED if fnmatch.fnmatchcase(item.recipe.checkpoint_id, pattern)]
