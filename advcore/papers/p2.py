"""P2: Lee, accuracy on MNIST against ε, before and after adversarial training."""

from __future__ import annotations

from advcore.papers.study import Claim, Figure, Reading, Study, confirmed, more, quantity

STANDARD, FGSM, STANDARDIZED = "mnist/lee_cnn-standard", "mnist/lee_cnn-fgsm-0.3", "mnist/lee_cnn-fgsm-0.0924"
_BEFORE = (91.68, 82.2, 67.9, 50.1, 38.09, 29.46, 24.82, 22.62)
_AFTER = (97.9, 96.33, 93.75, 90.52, 85.53, 78.34, 69.27, 60.31)
# Lee gives no space for ε. Added to inputs standardized with MNIST's std of 0.3081 it is 0.3081 times as large in pixels.
_STD = 0.3081

P2 = Study(
    key="P2",
    name="Lee",
    title="Understanding Adversarial Vulnerabilities and Defenses in Machine Learning: A Practical Approach Using FGSM",
    authors="Lee",
    charts=(),
    claim="A plain CNN keeps 68 % at ε = 0.3, and adversarial training lifts that to 94 %.",
    conditions=(
        "MNIST, two convolutions without pooling, PyTorch. Accuracy against ε, before and after training on clean + FGSM "
        "images. The space of ε is not given; neither is the ε of the training (0.3 here)."
    ),
    figures=(
        Figure("before", STANDARD, "clean", 0.0, 98.88),
        *(Figure("before", STANDARD, "FGSM", tenths / 10, percent) for tenths, percent in enumerate(_BEFORE, 1)),
        Figure("after", FGSM, "clean"),
        *(Figure("after", FGSM, "FGSM", tenths / 10, percent) for tenths, percent in enumerate(_AFTER, 1)),
    ),
    readings=(
        Reading("ε as written, in pixels"),
        Reading("ε in standardized inputs (× 0.3081)", _STD, instead={FGSM: STANDARDIZED}),
        Reading("ε in standardized inputs, not clipped", _STD, "FGSM, not clipped", {FGSM: STANDARDIZED}),
    ),
    claims=(
        Claim(
            "Adversarial training at ε = 0.3 (pixels) helps against FGSM at that ε.",
            {"MNIST": more(quantity(FGSM, "FGSM", 0.3), quantity(STANDARD, "FGSM", 0.3))},
        ),
        Claim(
            "PGD leaves at least half of what FGSM leaves.",
            {
                "ε = 0.3 in pixels": confirmed(FGSM, 0.3),
                "ε = 0.3 in standardized inputs": confirmed(STANDARDIZED, 0.3 * _STD),
            },
        ),
    ),
)
