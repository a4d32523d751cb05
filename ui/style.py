"""The few rules of look that Streamlit's theme has no setting for."""

from __future__ import annotations

import streamlit as st

_CSS = """
<style>
[data-testid="stMainBlockContainer"] { padding-top: 4.2rem; padding-bottom: 3rem; max-width: 80rem; }
[data-testid="stSidebarHeader"] { height: 2.5rem; margin-bottom: 0; }
[data-testid="stSidebar"] [data-testid="stSelectbox"] input { font-size: .8125rem; text-overflow: ellipsis; }
h2 { font-size: clamp(1.35rem, 2.1vw, 1.9rem) !important; padding-top: 0 !important; }
@media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding: 3.6rem .8rem 2rem; } }
</style>
"""


def apply() -> None:
    """Put the app's own rules into the page."""
    st.html(_CSS)
