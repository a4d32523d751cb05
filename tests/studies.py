"""A study and an open question for the tests, on digits, which are always available."""

from __future__ import annotations

from advcore.papers.study import Claim, Figure, Reading, Study, more, quantity

STANDARD, DEFENDED = "digits/digits_cnn-standard", "digits/digits_cnn-fgsm-0.2"
FIFTH = Study(
    key="P5",
    name="Nobody",
    title="A fifth study",
    authors="Nobody, Noone",
    claim="Digits are hard.",
    conditions="None.",
    pgd_images=60,
    charts=("curves",),
    figures=(
        Figure("before", STANDARD, "clean", 0.0, 94.0),
        Figure("before", STANDARD, "FGSM", 0.5, 62.0),
        Figure("before", STANDARD, "drop", 0.1, 20.0),
        Figure("after", DEFENDED, "PGD", 0.2),
    ),
    readings=(Reading("as written"), Reading("a fifth", 0.2), Reading("not clipped", 0.2, "FGSM, not clipped")),
    claims=(Claim("Training helps.", {"digits": more(quantity(DEFENDED, "FGSM", 0.2), quantity(STANDARD, "FGSM", 0.2))}),),
)
QUESTION = Study(
    key="Q9",
    title="Is it?",
    conditions="Twice.",
    figures=tuple(Figure("plain", STANDARD, attack, 0.1) for attack in ("clean", "FGSM", "C&W")),
    seeds=(0, 1),
)
