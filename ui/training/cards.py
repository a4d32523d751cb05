"""Cards of which one is chosen: the whole card is a button."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

_CSS = """<style>
[class*="st-key-card-"] { position: relative; border-radius: .8rem; transition: border-color .15s; }
[class*="st-key-card-"]:hover { border-color: #0072B2; }
[class*="st-key-card-chosen-"] { border: 2px solid #0072B2 !important; background: rgba(0,114,178,.07); }
[class*="st-key-pick-"] { position: absolute !important; inset: 0; width: 100% !important; height: 100%; z-index: 1; }
[class*="st-key-pick-"] div, [class*="st-key-pick-"] button { width: 100%; height: 100%; }
[class*="st-key-pick-"] button * { font-size: 0 !important; }
[class*="st-key-pick-"] button, [class*="st-key-pick-"] button:hover, [class*="st-key-pick-"] button:active {
  background: transparent; border-color: transparent; color: transparent; border-radius: .8rem; }
[class*="st-key-pick-"] button:focus-visible { outline: 3px solid #0072B2; outline-offset: 2px; }
</style>"""


def cards(offered: Sequence[tuple[str, str, str, str]], picked: str, *, key: str) -> None:
    """Draw (name, icon, title, about) as cards; a click sets the session's value of `key` to the name."""
    st.html(_CSS)

    def pick(name: str) -> None:
        st.session_state[key] = name

    for column, (name, icon, title, about) in zip(st.columns(len(offered)), offered, strict=True):
        chosen = "chosen-" if name == picked else ""
        with column.container(border=True, key=f"card-{chosen}{name}", height="stretch"):
            st.markdown(f"**:material/{icon}: {title}**" + (" &nbsp; :blue-badge[:material/check: chosen]" if chosen else ""))
            st.caption(about)
            st.button(title, key=f"pick-{name}", on_click=pick, args=(name,))
