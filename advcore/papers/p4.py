"""P4: Srivathsav et al., FGSM and PGD on MNIST, with two faults in its listing."""

from __future__ import annotations

from advcore.papers.study import Claim, Figure, Reading, Study, more, quantity

STANDARD, FGSM = "mnist/srivathsav_cnn-standard", "mnist/srivathsav_cnn-fgsm-0.1"
LEAKED = "mnist/srivathsav_cnn-leaked-0.1"
"""The model as its listing trains it, on attacked test images. No checkpoint: `replication` trains it when needed."""

P4 = Study(
    key="P4",
    name="Srivathsav et al.",
    title="Adversarial Defense for MNIST: Investigating Adversarial Training and FGSM",
    authors="Srivathsav, Pulakonti, Anudeep, Srinivas, Poojitha",
    charts=("curves",),
    pgd_images=1000,
    claim="At ε = 0.1 FGSM halves a CNN's accuracy, and adversarial training recovers 14 points.",
    conditions=(
        "MNIST in [0, 1], Keras, two convolutions with pooling. Adam, batches of 128, 10 epochs and 10 more on clean + "
        "adversarial images. ε = 0.1, clipped to [0, 1]; steps and ε of PGD are not given (PGD-20 at 0.1 here)."
    ),
    figures=(
        Figure("CNN", STANDARD, "clean", 0.0, 99.23),
        Figure("CNN", STANDARD, "FGSM", 0.1, 46.5),
        Figure("CNN", STANDARD, "PGD", 0.1, 7.8),
        Figure("+ adversarial training", FGSM, "clean", 0.0, 99.02),
        Figure("+ adversarial training", FGSM, "FGSM", 0.1, 60.1),
        Figure("+ adversarial training", FGSM, "PGD", 0.1, 38.5),
        Figure("in its prose, CNN", STANDARD, "FGSM", 0.1, 10.0),
        Figure("in its prose, + adversarial training", FGSM, "FGSM", 0.1, 50.0),
    ),
    readings=(
        Reading("as its text says: the loss's gradient, training images"),
        Reading("as its listing says: the output's gradient", 1.0, "FGSM, output gradient"),
        Reading("as its listing says: trained on attacked test images", instead={FGSM: LEAKED}),
        Reading("both of its listing's faults", 1.0, "FGSM, output gradient", {FGSM: LEAKED}),
        Reading("ε three times as large (0.3, usual on MNIST)", 3.0),
    ),
    claims=(
        *(
            Claim(
                f"Adversarial training helps against {attack} at ε = 0.1.",
                {"MNIST": more(quantity(FGSM, attack, 0.1), quantity(STANDARD, attack, 0.1))},
            )
            for attack in ("FGSM", "PGD")
        ),
        Claim(
            "The gradient that its listing takes makes an attack: it costs at least half of what FGSM costs.",
            {"MNIST": more(quantity(STANDARD, "drop", 0.1, "FGSM, output gradient"), quantity(STANDARD, "drop", 0.1), 0.5)},
        ),
        Claim(
            "Training on attacked test images, as its listing does, raises the clean accuracy it reports.",
            {"MNIST": more(quantity(LEAKED, "clean"), quantity(FGSM, "clean"))},
        ),
    ),
    remarks=(
        "Its listing takes the gradient of the model's output instead of its loss. The outputs of a softmax sum to one, so "
        "this gradient is zero but for rounding errors: adding their sign is no attack. Measured as a separate reading.",
        "Its listing makes the images of the adversarial training from the test set, so the model is trained on the same "
        "images it is tested on. Measured as a separate reading.",
        "The table and the prose of the same study disagree (46.5 and about 10 before, 60.1 and about 50 after).",
        "It names three families of defenses, adversarial training, detection and certification, and advises combining them "
        "with input preprocessing, architectural changes and ensembles.",
    ),
)
