"""The last resort: an error of the engine that a page did not foresee is still said in the engine's own sentence."""

from __future__ import annotations

from typing import Any

import streamlit as st

from advcore.errors import AdvcoreError
from ui import state
from ui.words import markdown_safe


def run(page: Any) -> None:
    """Run the page that st.navigation chose."""
    state.turn_to(page.url_path)
    try:
        page.run()
    except AdvcoreError as error:
        st.error(markdown_safe(str(error)))
