"""Two buttons below a Plotly chart that save it as PNG and SVG at the size of a slide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ui.components import mount


def chart_files(options: Mapping[str, Any], *, key: str) -> None:
    """Draw the buttons for the chart in the same container; `options` are Plotly's of a saved image."""
    mount("chart_files", options, key=key)
