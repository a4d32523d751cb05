"""A study and a question of the tests' own, on digits, which are always at hand."""

from __future__ import annotations

from advcore.papers.studies import Claim, Comparison, Figure, Question, Reading, Reason, Study, Subject, Term

STANDARD, DEFENDED = "digits/digits_cnn-standard", "digits/digits_cnn-fgsm-0.2"
FIFTH = Study(
    key="P5",
    name="Nobody",
    title="A fifth study",
    authors="Nobody, Noone",
    claim="Digits are hard.",
    conditions="None.",
    figures=(
        Figure("before", STANDARD, "clean", 0.0, 94.0),
        Figure("before", STANDARD, "FGSM", 0.5, 62.0),
        Figure("before", STANDARD, "drop", 0.1, 20.0),
        Figure("after", DEFENDED, "PGD", 0.2),
    ),
    readings=(Reading("as written", 1.0), Reading("a fifth", 0.2), Reading("not clipped", 0.2, fgsm="FGSM, not clipped")),
    reasons=(Reason("always", "nobody knows."),),
    claims=(
        Claim(
            "Training helps.",
            (Comparison("digits", (Term(DEFENDED, "FGSM", 0.2),), (Term(STANDARD, "FGSM", 0.2),)),),
        ),
    ),
)
QUESTION = Question(
    key="Q9",
    title="Is it?",
    asked_by="P5",
    how="Twice.",
    subjects=(Subject(STANDARD, 0.1, "plain"),),
    attacks=("clean", "FGSM", "C&W"),
    claims=(),
    seeds=(0, 1),
)
