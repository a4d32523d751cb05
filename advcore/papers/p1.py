"""P1: Chowdhury, four datasets, one CNN, trained, attacked, retrained and attacked again."""

from __future__ import annotations

import math
from collections.abc import Iterator

from advcore.data import BUILT_IN
from advcore.models import checkpoints
from advcore.papers import grid
from advcore.papers.record import Record, Sum
from advcore.papers.study import Claim, Figure, Reading, Study, more, quantity

EPSILONS = {"mnist": 0.1, "fashion-mnist": 0.1, "cifar10": 0.03, "tiny-imagenet": 0.03}
SIMPLE, COMPLEX = ("mnist", "fashion-mnist"), ("cifar10", "tiny-imagenet")
NAMES = {
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10 (JPEG copy)",
    "tiny-imagenet": "ImageNet (here Tiny ImageNet)",
}


def general(dataset: str, epsilon: float | None = None) -> str:
    """The id of the study's network, undefended or trained with FGSM at ε."""
    return f"{dataset}/general_cnn-" + ("standard" if epsilon is None else f"fgsm-{epsilon:g}")


def _cycle(dataset: str, clean: float, drop: float, after: float) -> Iterator[Figure]:
    """The four phases on a dataset: trained, attacked, trained on clean + FGSM, attacked again."""
    epsilon, row = EPSILONS[dataset], NAMES[dataset]
    yield Figure(row, general(dataset), "clean", 0.0, clean)
    yield Figure(row, general(dataset), "drop", epsilon, drop)
    yield Figure(row, general(dataset, epsilon), "clean")
    yield Figure(row, general(dataset, epsilon), "FGSM", epsilon, after)


def _clean(dataset: str, epsilon: float | None = None) -> Sum:
    return quantity(general(dataset, epsilon), "clean")


def _drop(dataset: str) -> Sum:
    return quantity(general(dataset), "drop", EPSILONS[dataset])


def _after(dataset: str) -> Sum:
    epsilon = EPSILONS[dataset]
    return quantity(general(dataset, epsilon), "FGSM", epsilon)


def _found(record: Record) -> list[str]:
    """The path of the Fashion-MNIST training, and where the published figures lie on the map."""
    return [*_path(record), *grid.sentences(P1)]


def _path(record: Record) -> list[str]:
    """In which epoch the Fashion-MNIST network reached the published figure on held-out images, and its PGD accuracy there."""
    name = general("fashion-mnist", 0.1)
    item = checkpoints.catalog("fashion-mnist").get(name)
    history = item.metrics.get("history", []) if item and not item.own else []
    published = next(figure.percent for figure in P1.figures if (figure.model, figure.measures) == (name, "FGSM"))
    met = next((seen for seen in history if published and 100 * seen["fgsm"] >= published), None)
    if item is None or met is None:
        return []
    last, epochs = history[-1], item.recipe.epochs
    fgsm, pgd, end_fgsm, end_pgd = (
        f"{100 * share:.1f}\u00a0%" for share in (met["fgsm"], met["pgd"], last["fgsm"], last["pgd"])
    )
    earlier = max(seen["pgd"] for seen in history)
    epoch = math.ceil(epochs * met["step"] / last["step"])
    return [
        f"Fashion-MNIST, watched on {met['images']:,} held-out images: FGSM accuracy reaches the published "
        f"{published:g}\u00a0% in epoch {epoch} of {epochs} ({fgsm}), where PGD-10 leaves {pgd}. Its best under PGD-10 was "
        f"{100 * earlier:.1f}\u00a0%; at the end FGSM leaves {end_fgsm} and PGD-10 {end_pgd}."
    ]


P1 = Study(
    key="P1",
    name="Chowdhury",
    title="Adversarial Machine Learning: Attacking and Safeguarding Image Datasets",
    authors="Chowdhury",
    arxiv="2502.05203",
    charts=("curves", "training", "map"),
    mapped=SIMPLE,
    findings=_found,
    claim="FGSM takes 20 to 29 points of accuracy; training on clean + FGSM images recovers most of it.",
    conditions=(
        "One generalized CNN on four datasets. Adam, clean batch concatenated with its FGSM batch. ε = 0.1 on MNIST and "
        "Fashion-MNIST, 0.03 on CIFAR-10 and ImageNet. Layer counts, widths and epochs are not given; ours are a choice."
    ),
    figures=(
        *_cycle("mnist", 86.22, 20.35, 80.25),
        *_cycle("fashion-mnist", 87.27, 26.82, 81.82),
        *_cycle("cifar10", 78.19, 28.87, 71.17),
        *_cycle("tiny-imagenet", 74.26, 27.56, 70.01),
        Figure("MNIST, other account", general("mnist"), "clean", 0.0, 99.0),
        Figure("MNIST, other account", general("mnist"), "FGSM", 0.3, 10.0, up_to=15.0),
        Figure("MNIST, other account", general("mnist", 0.3), "clean"),
        Figure("MNIST, other account", general("mnist", 0.3), "FGSM", 0.3, 95.0),
        Figure("CIFAR-10 (JPEG copy), other account", general("cifar10"), "clean", 0.0, 85.0),
    ),
    readings=(
        Reading("ε as written, in pixels"),
        Reading(
            "ε in standardized inputs (× the dataset's standard deviation)",
            {name: sum(BUILT_IN[name].std) / len(BUILT_IN[name].std) for name in EPSILONS},
        ),
    ),
    stand_ins={"tiny-imagenet": "ImageNet"},
    claims=(
        Claim(
            "Complex colour datasets lose more than grey ones, each at the ε of the study (0.03 and 0.1).",
            {f"{NAMES[hard]} against {NAMES[easy]}": more(_drop(hard), _drop(easy)) for hard in COMPLEX for easy in SIMPLE},
        ),
        Claim(
            "Adversarial training recovers most of the loss under FGSM.",
            {NAMES[name]: more(_drop(name), more(_clean(name), _after(name)), 2.0) for name in EPSILONS},
        ),
        Claim("It does not recover all of it.", {NAMES[name]: more(_clean(name), _after(name)) for name in EPSILONS}),
        Claim(
            "It costs clean accuracy.",
            {NAMES[name]: more(_clean(name), _clean(name, epsilon)) for name, epsilon in EPSILONS.items()},
        ),
    ),
    remarks=(
        "Tiny ImageNet (50 classes, 64 × 64 pixels) is measured in the place of ImageNet. It is another dataset, so its "
        "figures cannot be compared with the published ones. The study does not say which images or which size it used.",
        "The study exists in two accounts that contradict each other. The rows called “other account” hold the second "
        "(ε = 0.3; MNIST about 99, 10 to 15 under FGSM, about 95 after adversarial training; CIFAR-10 about 85).",
    ),
)
