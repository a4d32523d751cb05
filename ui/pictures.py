"""A row of pictures with what a model says of each."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st
from torch import Tensor

from advcore.images.encode import png
from ui.components.picture_files import picture_files

_CSS = """<style>
.pictures { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 13rem)); gap: 1rem; margin: .4rem 0; }
.pictures figure { margin: 0; }
.pictures img { width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated; border-radius: .6rem;
  border: 3px solid var(--verdict); box-sizing: border-box; }
.pictures figcaption { line-height: 1.35; font-size: .95rem; }
.pictures b { font-size: 1.05rem; }
.pictures .verdict { font-weight: 650; border-bottom: 3px solid var(--verdict); }
.pictures-box { container-type: inline-size; }
@container (max-width: 54rem) {
  .pictures { grid-template-columns: repeat(min(var(--columns), 3), minmax(0, min(11rem, 19vh))); }
}
@media (max-width: 640px) { .pictures { gap: .5rem; } .pictures figcaption { font-size: .8rem; } }
</style>"""


@dataclass(frozen=True)
class Picture:
    """An image (C×H×W), what it is, what is said of it, and a verdict with its colour, if there is one."""

    pixels: Tensor
    what: str
    says: str
    verdict: str = ""
    colour: str = "transparent"


def pictures(shown: Sequence[Picture], file: str = "") -> None:
    """Draw the pictures beside each other, where there is little room three in a row; all text is escaped.

    With the name of a `file`, buttons below save the row as PNG and as SVG.
    """
    drawn = "".join(_figure(picture) for picture in shown)
    with st.container(key=f"pictures {file}" if file else None, gap=None):
        st.html(f'{_CSS}<div class="pictures-box"><div class="pictures" style="--columns: {len(shown)}">{drawn}</div></div>')
        if file:
            picture_files(file)


def _figure(picture: Picture) -> str:
    """The picture with its heading, the model's answer and the verdict, as HTML."""
    image = base64.b64encode(png(picture.pixels)).decode()
    below = f"<br><span class='verdict'>{escape(picture.verdict)}</span>" if picture.verdict else ""
    return (
        f"<figure style='--verdict: {picture.colour}'>"
        f"<img src='data:image/png;base64,{image}' alt='{escape(picture.what, quote=True)}'>"
        f"<figcaption>{escape(picture.what)}<br><b>{escape(picture.says)}</b>{below}</figcaption></figure>"
    )
