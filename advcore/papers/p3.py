"""P3: Deepthi S et al., adversarial training on CIFAR-10 with a very large ε."""

from __future__ import annotations

from advcore.papers.study import Claim, Figure, Reading, Study, confirmed, more, quantity

STANDARD, HALF, QUARTER, USUAL = (
    f"cifar10/even_deeper_cnn-{end}" for end in ("standard", "fgsm-0.5", "fgsm-0.25", "fgsm-0.03")
)

P3 = Study(
    key="P3",
    name="Deepthi S et al.",
    title="Robust Training of Convolutional Neural Networks Against Adversarial Attacks Using Fast Gradient Sign Method",
    authors="Deepthi S, Kuragayala, Pamu, Sharma, Salapakshi",
    charts=("training",),
    claim="FGSM training makes a network better under attack than on clean images: 97 % against 83 %.",
    conditions=(
        "CIFAR-10, six convolutions and three linear layers; widths and epochs are not given. Every channel is normalized "
        "with mean 0.5 and std 0.5, so inputs span [−1, 1] and ε = 1.0 is 0.5 in pixels. Flips, rotations, Adam. Our "
        "networks were trained on all images (but 500 of those for ε = 1.0 and 0.5): 8 epochs, the undefended one 30. "
        "Experiments 2 and 3 differ in nothing that the study says, so both are compared with one network."
    ),
    figures=(
        Figure("experiment 1 (no defense)", STANDARD, "clean", 0.0, 80.58),
        Figure("experiment 1 (no defense)", STANDARD, "FGSM", 1.0, 13.85),
        Figure("experiment 2", HALF, "clean", 0.0, 76.42),
        Figure("experiment 2", HALF, "FGSM", 1.0, 81.72),
        Figure("experiment 3", HALF, "clean", 0.0, 82.31),
        Figure("experiment 3", HALF, "FGSM", 1.0, 94.47),
        Figure("experiment 4 (deeper)", QUARTER, "clean", 0.0, 82.8),
        Figure("experiment 4 (deeper)", QUARTER, "FGSM", 0.5, 97.13),
        Figure("for scale: a usual ε", USUAL, "clean"),
        Figure("for scale: a usual ε", USUAL, "FGSM", 0.06),
    ),
    readings=(
        Reading("ε in [−1, 1], as its normalization says (× 0.5)", 0.5),
        Reading("ε in [−1, 1], not clipped", 0.5, "FGSM, not clipped"),
    ),
    claims=(
        Claim(
            "FGSM images are easier than clean ones for a model trained on them at a huge ε.",
            {
                "ε = 1.0 in [−1, 1]": more(quantity(HALF, "FGSM", 0.5), quantity(HALF, "clean")),
                "ε = 0.5 in [−1, 1]": more(quantity(QUARTER, "FGSM", 0.25), quantity(QUARTER, "clean")),
            },
        ),
        Claim(
            "It is robustness: PGD leaves at least half of what FGSM leaves.",
            {
                f"trained at {epsilon:g}": confirmed(model, epsilon)
                for model, epsilon in ((HALF, 0.5), (QUARTER, 0.25), (USUAL, 0.03))
            },
        ),
    ),
    remarks=(
        "Better under attack than without is the mark of label leaking (Kurakin et al. 2017) or catastrophic overfitting "
        "(Wong et al. 2020): the model reads the label from the single step. PGD shows whether such a model is robust.",
        "For scale: the best published accuracy on CIFAR-10 at 8/255 is 73.71 % (AutoAttack, WideResNet-94-16), and 43.21 % "
        "for a PreActResNet-18 with fast adversarial training (Wong et al. 2020).",
    ),
)
