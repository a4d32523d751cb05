"""What all charts share: their layout, and how a page draws one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from ui.components.chart_files import chart_files

GREY = "rgba(128,128,128,0.25)"
HEIGHT = 430
"""Of a chart, in pixels, where nothing else is said."""
SLIDE = {"width": 960, "height": 540, "scale": 2}
"""A saved chart has 1920 × 1080 pixels, with letters twice as large as on the page."""
_BELOW_HEADING = 480  # pixels of a chart that fits below a heading and a row of controls on a projector of 720 lines


def show(figure: go.Figure, *, key: str, **more: Any) -> Any:
    """Draw the chart, and the buttons that save it; `more` and the result are those of `st.plotly_chart`."""
    options = SLIDE | {"filename": re.sub(r"\W+", "-", key)}
    if st.context.is_embedded:  # a screen of a presentation
        margin = {side: 1.5 * figure.layout.margin[side] for side in "lr"}
        height = max(figure.layout.height, min(1.3 * figure.layout.height, _BELOW_HEADING))
        figure.update_layout(height=height, margin=margin, font_size=18, legend_font_size=18)
        figure.update_xaxes(tickfont_size=18, title_font_size=20).update_yaxes(tickfont_size=18, title_font_size=20)
        figure.update_annotations(font_size=16)
        figure.for_each_annotation(lambda text: text.update(xshift=1.5 * (text.xshift or 0)))
        return st.plotly_chart(figure, key=key, **more)
    with st.container(key=f"figure {key}", gap=None):
        found = st.plotly_chart(figure, key=key, **more)
        chart_files(options, key=f"files {key}")
    return found


def layout(figure: go.Figure, *, x: str, y: str, height: int = HEIGHT, **more: Any) -> go.Figure:
    """The layout that all charts share: light grid, legend below the chart, margins for touch screens; `more` is added."""
    shared = {
        "margin": {"l": 8, "r": 12, "t": 16, "b": 8},
        "hovermode": "x unified",
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
        "uirevision": "keep",
    }
    figure.update_layout(shared, height=height).update_layout(**more)
    figure.update_xaxes(title=x, gridcolor=GREY, zeroline=False, automargin=True)
    figure.update_yaxes(title=y, gridcolor=GREY, zeroline=False, automargin=True)
    return figure


def faint(colour: str, opacity: float) -> str:
    """A colour `#rrggbb` with an opacity, as Plotly writes it."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def plain(names: Sequence[str]) -> list[str]:
    """Untrusted names, escaped: Plotly interprets tags for bold type, line breaks and links."""
    return [escape(name, quote=False) for name in names]
