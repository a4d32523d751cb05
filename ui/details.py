"""What stands behind a heading until a person opens it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st


def details(label: str, draw: Callable[[], None], *, icon: str, key: str) -> None:
    """A heading, and below it, once it is opened, what `draw` draws: charts and code cost the browser a third of a second."""
    with st.expander(label, icon=f":material/{icon}:", key=key, on_change="rerun") as box:
        if box.open:
            draw()
