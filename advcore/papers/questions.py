"""The questions that the studies leave open: Q1 distillation, Q2 iterative attacks, Q3 deeper networks."""

from __future__ import annotations

import math
from collections.abc import Iterable

from advcore.papers import p2, p3, p4
from advcore.papers.p1 import COMPLEX, EPSILONS, NAMES, general
from advcore.papers.record import Record, add, value
from advcore.papers.study import Claim, Figure, Measures, Study, confirmed, more, quantity

_ALL: tuple[Measures, ...] = ("clean", "FGSM", "PGD", "C&W")


def _figures(models: Iterable[tuple[str, str, float]], attacks: tuple[Measures, ...] = _ALL) -> tuple[Figure, ...]:
    """Nothing published: every model, with its group and ε, under every attack."""
    return tuple(
        Figure(group, model, attack, 0.0 if attack in ("clean", "zero gradient") else epsilon)
        for group, model, epsilon in models
        for attack in attacks
    )


_TEACHER, _DISTILLED, _BOTH = (f"mnist/srivathsav_cnn-{name}" for name in ("temperature-20", "distill", "distill-0.1"))
_UNDER: tuple[Measures, ...] = ("FGSM", "PGD", "margin")


def _gradients(record: Record) -> list[str]:
    """Q1: how many images the distilled network gives a gradient of zero, and what that does to each attack."""
    found = {kind: value(record, quantity(_DISTILLED, kind, 0.1)) for kind in ("zero gradient", *_UNDER)}
    plain = value(record, quantity(p4.STANDARD, "zero gradient"))
    if plain is None or None in found.values():
        return []
    zero, fgsm, pgd, margin = (f"{item.percent:.1f}\u00a0%" for item in found.values() if item)
    return [
        f"Distillation alone: for {zero} of the images the gradient of the loss is exactly zero in fp32 (undefended: "
        f"{plain.percent:.1f}\u00a0%). FGSM leaves {fgsm} and PGD-20 {pgd}; the same PGD-20 on the margin between the logits, "
        f"which no softmax saturates, leaves {margin}."
    ]


Q1 = Study(
    key="Q1",
    title="Does adversarial training combined with defensive distillation beat adversarial training alone?",
    pgd_images=1000,
    seeds=(0, 1, 2, 3, 4),
    conditions=(
        "Asked by P1. MNIST, the network of P4, ε = 0.1, five seeds. Defensive distillation as Papernot et al. (2016) define "
        "it: a teacher trained at temperature 20, a student trained at 20 on the teacher's answers, tested at 1; 10 epochs "
        "each. Adversarial training: 10 more epochs on clean + FGSM images from the undefended network. Both together: the "
        "same from the teacher, with the teacher's answers at 20 as labels."
    ),
    figures=_figures(
        (
            ("undefended", p4.STANDARD, 0.1),
            ("the teacher, at temperature 20", _TEACHER, 0.1),
            ("distillation", _DISTILLED, 0.1),
            ("adversarial training", p4.FGSM, 0.1),
            ("adversarial training + distillation", _BOTH, 0.1),
        ),
        ("clean", *_UNDER, "zero gradient"),
    ),
    claims=(
        *(
            Claim(
                f"Distillation adds to adversarial training under {words}.",
                {"MNIST": more(quantity(_BOTH, attack, 0.1), quantity(p4.FGSM, attack, 0.1))},
            )
            for attack, words in zip(_UNDER, ("FGSM", "PGD-20", "PGD-20 on the margin"), strict=True)
        ),
        Claim(
            "Distillation alone helps under PGD-20 on the margin.",
            {"MNIST": more(quantity(_DISTILLED, "margin", 0.1), quantity(p4.STANDARD, "margin", 0.1))},
        ),
    ),
    findings=_gradients,
)

_TRAINED_WITH_FGSM = {
    general("mnist", 0.1): 0.1,
    general("mnist", 0.3): 0.3,
    p4.FGSM: 0.1,
    p2.STANDARDIZED: 0.0924,
    p2.FGSM: 0.3,
    general("fashion-mnist", 0.1): 0.1,
    general("cifar10", 0.03): 0.03,
    p3.USUAL: 0.03,
    p3.QUARTER: 0.25,
    p3.HALF: 0.5,
    general("tiny-imagenet", 0.03): 0.03,
}


def _undefended(model: str) -> str:
    """The undefended model of the same dataset and architecture."""
    return f"{model.split('-fgsm')[0]}-standard"


def _beside_the_undefended() -> dict[str, float]:
    """The ε of every model trained with FGSM and, before the first of a network, of the undefended one."""
    models: dict[str, float] = {}
    for model, epsilon in _TRAINED_WITH_FGSM.items():
        models.setdefault(_undefended(model), EPSILONS[model.split("/")[0]])
        models[model] = epsilon
    return models


Q2 = Study(
    key="Q2",
    title="Does robustness gained against FGSM carry over to iterative attacks?",
    pgd_images=1000,
    conditions=(
        "Asked by P1. Every model trained with FGSM, at the ε it was trained at, under FGSM, PGD-20 and Carlini & Wagner's "
        "attack, beside the undefended model of the same network, at the dataset's ε. Carlini & Wagner's attack (3 searches "
        "from a weight of 0.1, 200 steps each) searches the smallest change in L2; its figure counts the images that are "
        "correct within an L2 budget (1.5 on grey images, 0.5 on CIFAR-10, 1.0 on Tiny ImageNet). One seed each."
    ),
    figures=_figures((model.split("/")[0], model, epsilon) for model, epsilon in _beside_the_undefended().items()),
    claims=(
        Claim(
            "PGD leaves at least half of what FGSM leaves.",
            {model: confirmed(model, epsilon) for model, epsilon in _TRAINED_WITH_FGSM.items()},
        ),
        Claim(
            "Under C&W it holds more images than the undefended network.",
            {model: more(quantity(model, "C&W"), quantity(_undefended(model), "C&W")) for model in _TRAINED_WITH_FGSM},
        ),
    ),
)


def _deeper(dataset: str) -> str:
    return f"{dataset}/preact_resnet18-standard"


def _relative_drops(record: Record) -> list[str]:
    """Q3's answer, from the share of the clean accuracy that FGSM and PGD-20 take."""
    lost: dict[tuple[str, str], list[float]] = {}
    for attack in ("FGSM", "PGD"):
        for name, epsilon in EPSILONS.items():
            for model in (general(name), _deeper(name)):
                clean, left = value(record, quantity(model, "clean")), value(record, quantity(model, attack, epsilon))
                if clean is None or left is None:
                    return []
                lost.setdefault((attack, name), []).append(100 * (1 - left.percent / clean.percent))
    told = []
    for attack in ("FGSM", "PGD"):
        shares = ", ".join(f"{NAMES[name]} {lost[attack, name][0]:.0f} → {lost[attack, name][1]:.0f} %" for name in EPSILONS)
        told.append(f"Share of the clean accuracy that {attack} takes (plain → deeper network): {shares}.")
    if all(deeper >= plain for plain, deeper in lost.values()):
        least = math.floor(min(lost["FGSM", name][0] for name in COMPLEX))
        told.append(
            "On no dataset does the deeper network lose a smaller share than the plain one, under either attack (one seed, one "
            f"width, one ε each; others were not tested). On the complex datasets FGSM already takes {least} % or more of "
            "the plain network's accuracy, so a narrower gap in points does not show more robustness (a ceiling effect)."
        )
    return told


Q3 = Study(
    key="Q3",
    title="Do deeper architectures narrow the gap between simple and complex datasets?",
    conditions=(
        "Asked by P1. The plain CNN of P1 against a PreActResNet-18 (16 channels in its first stage on grey images, 32 on "
        "colour images), both undefended, on all four datasets at the dataset's ε. One seed each."
    ),
    figures=_figures(
        (
            (group, model(name), epsilon)
            for group, model in (("plain CNN", general), ("PreActResNet-18", _deeper))
            for name, epsilon in EPSILONS.items()
        ),
        _ALL[:3],
    ),
    claims=(
        Claim(
            "The deeper network loses less to FGSM.",
            {
                NAMES[name]: more(quantity(general(name), "drop", epsilon), quantity(_deeper(name), "drop", epsilon))
                for name, epsilon in EPSILONS.items()
            },
        ),
        Claim(
            "The gap in points between complex and simple datasets is narrower for it.",
            {
                "mean drop, complex minus simple": add(
                    *(
                        (side * (0.5 if name in COMPLEX else -0.5), quantity(model(name), "drop", EPSILONS[name]))
                        for name in EPSILONS
                        for side, model in ((1, general), (-1, _deeper))
                    )
                )
            },
        ),
    ),
    findings=_relative_drops,
)
