"""The app's browser components: one folder each, with a .py, a .js and a .css file."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent


@functools.cache
def source(name: str, suffix: str) -> str:
    """The text of a component's `.js` or `.css` file; a script that saves a figure has what it needs for that with it."""
    text = (_HERE / name / f"{name}{suffix}").read_text()
    return text + (_HERE / "figure.js").read_text() if "figureButtons(" in text else text


@st.cache_resource(show_spinner=False)
def _registered(name: str) -> Any:
    return st.components.v2.component(
        f"adversarial_lab_{name}", html='<div class="lab"></div>', css=source(name, ".css"), js=source(name, ".js")
    )


def mount(
    name: str,
    data: Mapping[str, Any],
    *,
    key: str,
    states: Mapping[str, Any],
    callbacks: Mapping[str, Callable[[], None]] | None = None,
) -> Any:
    """Show the component `name` with `data`; returns its states, which begin with the defaults in `states`.

    `callbacks` name states or triggers and what is called when the browser reports one, before the page is drawn again.
    """
    heard = dict.fromkeys(states, _nothing) | dict(callbacks or {})
    reports = {f"on_{event}_change": call for event, call in heard.items()}
    component = _registered(name)
    # A list might be a table to Streamlit, which imports pandas to find out; a tuple is none, and the browser gets the same.
    sent = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return component(data=sent, key=key, default=dict(states), **reports)


def _nothing() -> None:
    """Streamlit keeps only the states that have a callback."""
