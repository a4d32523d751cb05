"""Links between the pages of the app."""

from __future__ import annotations

import streamlit as st


def link(label: str, path: str, *, icon: str, **query: str) -> None:
    """A link to another page of the app (`path` as in the URL) with its `query`, in this browser tab and session."""
    page = st.Page(_another_page, title=label, url_path=path, default=not path)
    st.page_link(page, label=label, icon=icon, query_params=query)


def _another_page() -> None:
    """Stands for the linked page's function: Streamlit identifies a page by its path."""
