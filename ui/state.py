"""A control's value over reloads, links and page changes: the URL carries it, the session remembers it.

A value from the URL is untrusted: it is only ever looked up among what the control offers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

T = TypeVar("T")
_KEPT = "kept controls"


def chosen(name: str, options: Sequence[T], default: T, *, key: str | None = None, text: Callable[[T], str] = str) -> str:
    """Prepare the widget that is called with the returned key: its value is one of `options`.

    The widget's own value comes first, then the URL's `name`, then what the session last had, then `default`. A URL value
    that is none of the options is left aside with a word to the user.
    """
    key = key or name
    if st.session_state.get(key) in options:
        return key
    by_text = {text(option): option for option in options}
    wanted = st.query_params.get(name)
    fresh = key not in st.session_state and name not in st.session_state.get("left aside", {})
    if fresh and wanted is not None and wanted not in by_text:
        st.session_state.setdefault("left aside", {})[name] = wanted[:60]
    kept = st.session_state.get(_KEPT, {}).get(key)
    value = by_text[wanted] if fresh and wanted in by_text else kept if kept in options else default
    st.session_state[key] = value
    return key


def chosen_several(name: str, options: Sequence[str], default: Sequence[str], *, key: str | None = None) -> str:
    """As `chosen`, for a widget with several values; the URL joins them with `~`."""
    key = key or name
    held = st.session_state.get(key)
    if held is not None and all(value in options for value in held):
        return key
    fresh = key not in st.session_state
    for text in (st.query_params.get(name) if fresh else None, st.session_state.get(_KEPT, {}).get(name)):
        values = [value for value in str(text or "").split("~") if value in options]
        if values:
            st.session_state[key] = values
            return key
    st.session_state[key] = list(default)
    return key


def number(name: str, low: float, high: float, default: float) -> float:
    """The number a link or the session says, within [low, high]; else the default."""
    for text in (st.query_params.get(name), st.session_state.get(_KEPT, {}).get(name)):
        try:
            value = float(text)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if low <= value <= high:
            return value
    return default


def remember(**values: object) -> None:
    """Put the page's state into the URL and the session; None leaves a name out of the URL."""
    kept = st.session_state.setdefault(_KEPT, {})
    for name, value in values.items():
        if value is None:
            kept.pop(name, None)
            if name in st.query_params:
                del st.query_params[name]
        else:
            kept[name] = value
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            if st.query_params.get(name) != text:
                st.query_params[name] = text


def report_left_aside() -> None:
    """Say once which values of the link could not be used."""
    for name, value in st.session_state.pop("left aside", {}).items():
        st.warning(
            f"The link asks for {name} “{_plain(value)}”, which is not available here; the page shows its default instead."
        )


def _plain(text: str) -> str:
    """Text of a stranger without what Markdown would take for more."""
    return "".join(sign for sign in text if sign.isalnum() or sign in " ._-/+,:")
