"""The recipes of the shipped checkpoints: `python -m advcore checkpoints --rebuild [PATTERN]` trains those that are missing."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass

from advcore.models.architectures import AIRBENCH
from advcore.recipe import Recipe


@dataclass(frozen=True)
class Shipped:
    """A recipe, and the steps and restarts of the PGD its header's figures are measured with."""

    recipe: Recipe
    steps: int = 20
    restarts: int = 1


# Every image is trained on; the cosine schedule gives in few epochs what a constant rate gives in many.
_COSINE = {"schedule": "cosine", "held_out": 0}
# Momentum, weight decay and a cyclic schedule as in Wong et al. 2020.
_RESIDUAL = {
    "architecture": "preact_resnet18",
    "width": 16,
    "optimizer": "sgd",
    "schedule": "cyclic",
    "learning_rate": 0.1,
    "weight_decay": 5e-4,
}
_AIRBENCH = {"architecture": "airbench", **AIRBENCH}
_BASELINE = "mnist/srivathsav_cnn-standard"


def _recipes() -> Iterator[Shipped]:
    # Every image is trained on (nothing held out): these runs are judged on the test split, once, at their end.
    digits = {"dataset": "digits", "architecture": "digits_cnn", "batch_size": 64, "held_out": 0}
    yield Shipped(Recipe(**digits, epochs=40))
    yield Shipped(Recipe(**digits, epochs=60, defense="fgsm", epsilon=0.2))
    yield Shipped(Recipe(**digits, epochs=60, defense="pgd", epsilon=0.2), steps=50, restarts=10)

    # Adam as in the studies.
    lee = {"dataset": "mnist", "architecture": "lee_cnn", **_COSINE}
    yield Shipped(Recipe(**lee, epochs=5))
    yield Shipped(Recipe(**lee, epochs=6, defense="fgsm", epsilon=0.3))

    for dataset in ("fashion-mnist", "mnist"):
        general = {"dataset": dataset, "architecture": "general_cnn", **_COSINE}
        yield Shipped(Recipe(**general, epochs=8))
        watched = {"epochs": 16, "held_out": 1000, "evaluations": 16} if dataset == "fashion-mnist" else {"epochs": 8}
        yield Shipped(Recipe(**general | watched, defense="fgsm", epsilon=0.1))

    # PGD training that goes on from the standard network.
    general = {"dataset": "fashion-mnist", "architecture": "general_cnn", "learning_rate": 0.002, "schedule": "cosine"}
    general |= {"warm_start": "fashion-mnist/general_cnn-standard", "augment": ("flip",)}
    robust = {"defense": "pgd", "attack_steps": 3, "epsilon": 0.1, "averaging": 0.999, "keep_best": True, "held_out": 1000}
    yield Shipped(Recipe(**general, **robust, epochs=22), steps=50, restarts=10)

    # The study's own numbers: batch 128, 10 epochs, and for the defended one 10 more.
    srivathsav = {"dataset": "mnist", "architecture": "srivathsav_cnn", "held_out": 0}
    yield Shipped(Recipe(**srivathsav, epochs=10))
    yield Shipped(Recipe(**srivathsav, epochs=10, defense="fgsm", epsilon=0.1, warm_start=_BASELINE))
    # Cyclic schedule and PGD-7, the recipe of Wong et al. 2020 for MNIST at 0.3 with Madry's attack in place of one step.
    yield Shipped(
        Recipe(**srivathsav, epochs=15, defense="pgd", epsilon=0.3, learning_rate=0.003, schedule="cyclic", attack_steps=7),
        steps=50,
        restarts=10,
    )
    # Zhang et al.'s β for MNIST, from which clean accuracy suffers least; their run is ten times as long, in a larger network.
    trades = {"defense": "trades", "trades_beta": 1.0, "attack_steps": 10, "averaging": 0.999}
    yield Shipped(
        Recipe(**srivathsav | {"held_out": 1000}, **trades, epochs=10, epsilon=0.3, learning_rate=0.003, schedule="cyclic"),
        steps=50,
        restarts=10,
    )

    # Flips reduce the overfitting of the colour networks; the epochs are what two CPU cores do in half an hour.
    for dataset, epochs in (("cifar10", (25, 10)), ("tiny-imagenet", (14, 8))):
        general = {"dataset": dataset, "architecture": "general_cnn", **_COSINE, "augment": ("flip",)}
        yield Shipped(Recipe(**general, epochs=epochs[0]))
        yield Shipped(Recipe(**general, epochs=epochs[1], defense="fgsm", epsilon=0.03))

    residual = {**_RESIDUAL, "width": 32, "augment": ("flip", "crop"), "epochs": 20}
    tiny = Recipe(dataset="tiny-imagenet", **residual, held_out=0)
    yield Shipped(tiny)
    yield Shipped(Recipe(dataset="cifar10", **residual | {"epochs": 15}, held_out=0))
    # The robust ones keep the latest weights whose PGD accuracy is within one standard error of the best.
    robust = residual | {"averaging": 0.998, "keep_best": True, "held_out": 500}
    fgsm_rs = {"defense": "fgsm_rs", "epsilon": 4 / 255, "evaluations": 20, "warm_start": tiny.checkpoint_id}
    yield Shipped(Recipe(dataset="tiny-imagenet", **robust, **fgsm_rs), steps=50, restarts=10)
    n_fgsm = {"defense": "n_fgsm", "epsilon": 8 / 255, "width": 48, "standard_epochs": 6}
    yield Shipped(Recipe(dataset="cifar10", **robust | n_fgsm), steps=50, restarts=10)

    # Flips and rotations as in the study.
    deeper = {"dataset": "cifar10", "architecture": "even_deeper_cnn", **_COSINE, "augment": ("flip", "rotate")}
    yield Shipped(Recipe(**deeper, epochs=30))
    yield Shipped(Recipe(**deeper, epochs=8, defense="fgsm", epsilon=0.03))


def _papers_besides() -> Iterator[Shipped]:
    """What the papers need as well: other readings of their ε, and their open questions."""
    # P2's ε = 0.3 in inputs standardized with MNIST's std of 0.3081.
    yield Shipped(Recipe(dataset="mnist", architecture="lee_cnn", **_COSINE, epochs=5, defense="fgsm", epsilon=0.0924))
    # P1 also names this ε.
    yield Shipped(Recipe(dataset="mnist", architecture="general_cnn", **_COSINE, epochs=8, defense="fgsm", epsilon=0.3))
    # Q1: teacher and student at temperature 20 (Papernot et al. 2016); as P4's defended one, but from and with this teacher.
    srivathsav = {"dataset": "mnist", "architecture": "srivathsav_cnn", "held_out": 0, "epochs": 10}
    teacher = Recipe(**srivathsav, defense="temperature")
    taught = {"defense": "distill", "teacher": teacher.checkpoint_id}
    yield Shipped(teacher)
    yield Shipped(Recipe(**srivathsav, **taught))
    yield Shipped(Recipe(**srivathsav, **taught, epsilon=0.1, warm_start=teacher.checkpoint_id))
    # Q3: the residual network on the simple datasets, with the optimizer it has on the complex ones.
    for dataset in ("mnist", "fashion-mnist"):
        yield Shipped(Recipe(dataset=dataset, **_RESIDUAL, epochs=2, held_out=0))
    # P3's ε = 1.0 and 0.5 in [-1, 1]; evaluated twice in an epoch, so that their curves show when label leaking begins.
    leaking = {"dataset": "cifar10", "architecture": "even_deeper_cnn", "schedule": "cosine", "augment": ("flip", "rotate")}
    leaking |= {"epochs": 8, "held_out": 500, "evaluations": 16, "defense": "fgsm"}
    for epsilon in (0.5, 0.25):
        yield Shipped(Recipe(**leaking, epsilon=epsilon))


def _signs() -> Iterator[Shipped]:
    """Traffic signs, turned and shifted but never mirrored: a mirrored sign is another one."""
    signs = {"dataset": "gtsrb", "architecture": "general_cnn", **_COSINE, "epochs": 20, "augment": ("rotate", "crop")}
    yield Shipped(Recipe(**signs))
    yield Shipped(Recipe(**signs | {"epochs": 8}, defense="fgsm", epsilon=0.03))
    fast = {"dataset": "gtsrb", **_AIRBENCH, "width": 32, "batch_size": 512, "augment": ("rotate", "shift")}
    yield Shipped(Recipe(**fast, epochs=20, held_out=0))
    robust = {"defense": "n_fgsm", "epsilon": 8 / 255, "averaging": 0.99, "held_out": 500, "evaluations": 10}
    yield Shipped(Recipe(**fast, **robust, epochs=30), steps=50, restarts=10)


def _airbench() -> Iterator[Shipped]:
    """A fast accurate CIFAR-10 network and its recipe (Jordan 2024), narrower and for longer than published."""
    fast = {"dataset": "cifar10", **_AIRBENCH, "augment": ("alternate_flip", "shift"), "batch_size": 2000}
    yield Shipped(Recipe(**fast, width=48, epochs=25, held_out=0))


def _smoothed() -> Iterator[Shipped]:
    """Noise-trained networks, for randomized smoothing (Cohen et al. 2019): a plain network often abstains."""
    noise = {"defense": "noise", **_COSINE, "epochs": 8}
    deeper = {"dataset": "cifar10", "architecture": "even_deeper_cnn", "augment": ("flip", "rotate")}
    for sigma in (0.25, 0.5):
        yield Shipped(Recipe(dataset="mnist", architecture="general_cnn", **noise, sigma=sigma))
        yield Shipped(Recipe(**deeper, **noise, sigma=sigma))


SHIPPED: tuple[Shipped, ...] = (*_recipes(), *_papers_besides(), *_signs(), *_airbench(), *_smoothed())


def matching(pattern: str) -> list[Shipped]:
    """Those whose checkpoint id matches a shell pattern such as `mnist/*` or `*fgsm*`."""
    return [item for item in SHIPPED if fnmatch.fnmatchcase(item.recipe.checkpoint_id, pattern)]
