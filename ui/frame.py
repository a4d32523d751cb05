"""What surrounds every page: its style, the last error guard, and the state that the URL carries.

A value from the URL is untrusted: it is only looked up among the values that the control offers.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from advcore.errors import AdvcoreError
from ui.words import markdown_safe

T = TypeVar("T")
APP = Path(__file__).parents[1] / "app.py"
_KEPT = "kept values"
_ANSWERED = "link values already used"
_REFUSED = "link values not available"
_CONTROLS = "controls of this page"
_PAGE = "page shown"


def run() -> None:
    """Run the whole app from the file of one page.

    Until the first session has called `st.navigation`, Streamlit runs the file in `pages/` that a link names by itself.
    """
    runpy.run_path(str(APP), run_name="__main__")


def show(page: Any) -> None:
    """Run the page that `st.navigation` chose, with the app's style."""
    st.html(_CSS)
    _turn_to(page.url_path)
    guard(page.run)


def guard(draw: Callable[[], None]) -> None:
    """Draw; an error of the engine becomes a message."""
    try:
        draw()
    except AdvcoreError as error:
        st.error(markdown_safe(str(error)))


def link(label: str, path: str, *, icon: str, **query: str) -> None:
    """A link to another page of the app (`path` as in the URL), in this browser tab and session, with what it shows there."""
    page = st.Page(_another_page, title=label, url_path=path, default=not path)
    st.page_link(page, label=label, icon=icon, query_params=query)


def _another_page() -> None:
    """Stands for the function of a page that `link` leads to: Streamlit knows a page by its path alone."""


def _turn_to(page: str) -> None:
    """Note which page is shown, and drop the controls of the page before."""
    if st.session_state.get(_PAGE) != page:
        drop_controls()
        st.session_state[_PAGE] = page


def drop_controls(*, keep: str | None = None) -> None:
    """Drop the values of all controls that `chosen` set, except the one with the key `keep`.

    For a page, or a part of one, that takes another's place: Streamlit gives a control that has the same key as an earlier one
    its first option, not the key's value.
    """
    for key in st.session_state.get(_CONTROLS, set()) - {keep}:
        st.session_state.pop(key, None)


def chosen(name: str, options: Sequence[T], default: T, *, key: str | None = None, text: Callable[[T], str] = str) -> str:
    """Set the value of the control that is drawn next and return its key; the value is one of `options`.

    The first that is available of: the control's own value, the URL's value of `name`, the session's last value, `default`.
    `text` is how the URL writes an option. A `key` of the form `name:scope` keeps a value for each scope (a dataset).
    """
    key = _control(key or name)
    if st.session_state.get(key) in options:
        return key
    by_text = {text(option): option for option in options}
    asked = _asked(name) if key not in st.session_state else None
    if asked is not None:
        st.session_state.setdefault(_ANSWERED, {})[name] = asked
        if asked not in by_text:
            st.session_state.setdefault(_REFUSED, {})[name] = asked[:60]
    kept = st.session_state.get(_KEPT, {}).get(key)
    st.session_state[key] = by_text.get(asked, kept if kept in options else default)
    return key


def chosen_several(name: str, options: Sequence[str], default: Sequence[str], *, key: str | None = None) -> str:
    """As `chosen`, for a control with several values; the URL joins them with `~`."""
    key = _control(key or name)
    held = st.session_state.get(key)
    if held is not None and all(value in options for value in held):
        return key
    asked = _asked(name) if key not in st.session_state else None
    for text in (asked, st.session_state.get(_KEPT, {}).get(key)):
        values = [value for value in str(text or "").split("~") if value in options]
        if values:
            st.session_state[key] = values
            return key
    st.session_state[key] = list(default)
    return key


def _control(key: str) -> str:
    """The key, noted as one of this page's."""
    st.session_state.setdefault(_CONTROLS, set()).add(key)
    return key


def _asked(name: str) -> str | None:
    """The URL's value of `name`; None if this session wrote it there or has already used it."""
    text = st.query_params.get(name)
    return None if text == st.session_state.get(_ANSWERED, {}).get(name) else text


def number(name: str, low: float, high: float, default: float, *, scope: str) -> float:
    """The number that the URL gives, or that the session last had in this scope, if within [low, high]; else the default."""
    for text in (_asked(name), st.session_state.get(_KEPT, {}).get(f"{name}:{scope}")):
        try:
            value = float(text)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if low <= value <= high:
            return value
    return default


def remember(scope: str = "", /, **values: object) -> None:
    """Write the page's state into the URL and the session; None removes a name from the URL.

    `chosen` and `number` find it again in the same `scope` (a dataset).
    """
    kept, answered = st.session_state.setdefault(_KEPT, {}), st.session_state.setdefault(_ANSWERED, {})
    for name, value in values.items():
        keys = (name, f"{name}:{scope}")
        if value is None:
            for key in keys:
                kept.pop(key, None)
            if name in st.query_params:
                del st.query_params[name]
        else:
            kept.update(dict.fromkeys(keys, value))
            answered[name] = text = f"{value:.6g}" if isinstance(value, float) else str(value)
            if st.query_params.get(name) != text:
                st.query_params[name] = text


def report_unavailable() -> None:
    """Say once which values of the link are not available."""
    for name, value in st.session_state.pop(_REFUSED, {}).items():
        st.warning(
            f"The link asks for {name} “{_plain(value)}”, which is not available here; the page shows its default instead."
        )


def _plain(text: str) -> str:
    """Untrusted text without the characters that Markdown interprets."""
    return "".join(sign for sign in text if sign.isalnum() or sign in " ._-/+,:")


_CSS = """
<style>
[data-testid="stMainBlockContainer"] { padding-top: 4.2rem; padding-bottom: 3rem; max-width: 80rem; }
[data-testid="stSidebarHeader"] { height: 2.5rem; margin-bottom: 0; }
[data-testid="stSidebar"] [data-testid="stSelectbox"] input { font-size: .8125rem; text-overflow: ellipsis; }
h2 { font-size: clamp(1.35rem, 2.1vw, 1.9rem) !important; padding-top: 0 !important; }
@media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding: 3.6rem .8rem 2rem; } }
</style>
"""
