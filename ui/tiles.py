"""Tiles with large numbers, in a row that wraps on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

GREY = "rgba(128,128,128,.4)"
_CSS = """<style>
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(6.4rem, 1fr)); gap: .6rem; margin: .1rem 0 .4rem; }
.tile { border: 1px solid rgba(128,128,128,.28); border-left: 4px solid var(--tile); border-radius: .6rem;
  padding: .5rem .75rem .55rem; min-width: 0; }
.tile .what { font-size: .8rem; opacity: .75; overflow-wrap: anywhere; line-height: 1.3; }
.tile .value { font-size: clamp(1.2rem, 1.55vw, 1.5rem); font-weight: 650; line-height: 1.25; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tile .note { font-size: .78rem; opacity: .75; font-variant-numeric: tabular-nums; min-height: 1.2em; }
</style>"""


@dataclass(frozen=True)
class Tile:
    """What is counted, its value, a note below it, and the colour of its edge."""

    what: str
    value: str
    note: str = ""
    colour: str = GREY


def tiles(shown: Sequence[Tile]) -> None:
    """Draw the tiles; all text is escaped."""
    parts = [
        f'<div class="tile" style="--tile: {escape(tile.colour)}"><div class="what">{escape(tile.what)}</div>'
        f'<div class="value">{escape(tile.value)}</div><div class="note">{escape(tile.note)}</div></div>'
        for tile in shown
    ]
    st.html(f'{_CSS}<div class="tiles">{"".join(parts)}</div>')
