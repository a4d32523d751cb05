"""One picture, attacked on the model before and on the model after a training."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from advcore import attacks
from advcore.models import checkpoints
from ui import load
from ui.pictures import Picture, pictures
from ui.words import DEFENDED, FOOLED, percent


def before_and_after(models: Sequence[checkpoints.Checkpoint], attack: attacks.Attack, epsilon: float, index: int) -> None:
    """Draw the test image unchanged, then attacked on the first of two models and on the second, with their answers."""
    names = load.dataset(models[0].recipe.dataset).class_names
    with load.interactive():
        asked = [load.image_attack(item, index, attack) for item in models]
        found = [load.outcome(one, epsilon, load.scrubbed(one, (0.0, epsilon))) for one in asked]
    label, drawn = found[0].label, [Picture(found[0].clean[0], "The picture", names[found[0].label])]
    for when, seen in zip(("Before", "After"), found, strict=True):
        answer = int(seen.after.argmax())
        verdict, colour = ("✓ HELD", DEFENDED) if answer == label else ("✗ FOOLED", FOOLED)
        says = f"{names[answer]} · {percent(float(seen.after[answer]))}"
        drawn.append(Picture(seen.attacked[0], f"{when}: attacked", says, verdict, colour))
    pictures(drawn, "before-and-after")
    st.caption(
        f"Test image {index}: the first on which {attacks.title(attack)} at ε = {epsilon:.3g} fools the model before the "
        "training and not after it. Each model is attacked with its own gradient."
    )
