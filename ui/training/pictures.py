"""One picture, attacked on the model before and on the model after a training."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import streamlit as st
from torch import Tensor

from advcore import attacks
from advcore.images.encode import png
from advcore.models import checkpoints
from ui import load
from ui.words import DEFENDED, FOOLED, percent

_CSS = """<style>
.before-after { display: grid; grid-template-columns: repeat(3, minmax(0, 13rem)); gap: 1rem; margin: .4rem 0; }
.before-after figure { margin: 0; }
.before-after img { width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated; border-radius: .6rem;
  border: 3px solid var(--verdict); }
.before-after figcaption { line-height: 1.35; font-size: .95rem; }
.before-after b { font-size: 1.05rem; }
.before-after .verdict { font-weight: 650; border-bottom: 3px solid var(--verdict); }
@media (max-width: 640px) { .before-after { gap: .5rem; } .before-after figcaption { font-size: .8rem; } }
</style>"""


def pictures(models: Sequence[checkpoints.Checkpoint], attack: attacks.Attack, epsilon: float, index: int) -> None:
    """Draw the test image unchanged, then attacked on the first of two models and on the second, with their answers."""
    names = load.dataset(models[0].recipe.dataset).class_names
    with load.interactive():
        found = [load.outcome(load.image_attack(item, index, attack), (0.0, epsilon), epsilon) for item in models]
    label, drawn = found[0].label, [_figure(found[0].clean[0], "The picture", names[found[0].label], "", "transparent")]
    for when, seen in zip(("Before", "After"), found, strict=True):
        answer = int(seen.after.argmax())
        verdict, colour = ("✓ HELD", DEFENDED) if answer == label else ("✗ FOOLED", FOOLED)
        says = f"{names[answer]} · {percent(float(seen.after[answer]))}"
        drawn.append(_figure(seen.attacked[0], f"{when}: attacked", says, verdict, colour))
    st.html(f"{_CSS}<div class='before-after'>{''.join(drawn)}</div>")
    st.caption(
        f"Test image {index}, the first one that {attacks.title(attack)} at ε = {epsilon:.3g} fools the model on before the "
        "training and not after it. Each model is attacked with its own gradient."
    )


def _figure(pixels: Tensor, what: str, says: str, verdict: str, colour: str) -> str:
    """A picture with its heading, the model's answer and the verdict, as HTML."""
    image = base64.b64encode(png(pixels)).decode()
    below = f"<br><span class='verdict'>{verdict}</span>" if verdict else ""
    return (
        f"<figure style='--verdict: {colour}'><img src='data:image/png;base64,{image}' alt='{escape(what, quote=True)}'>"
        f"<figcaption>{escape(what)}<br><b>{escape(says)}</b>{below}</figcaption></figure>"
    )
