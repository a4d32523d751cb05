"""What surrounds every page: its style, the last-resort error guard, and the state that the URL carries.

A value from the URL is untrusted: it is only ever looked up among what the control offers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

from advcore.errors import AdvcoreError
from ui.words import markdown_safe

T = TypeVar("T")
_KEPT = "kept controls"
_ANSWERED = "answered links"
_CONTROLS = "controls of this page"
_PAGE = "page shown"


def turn_to(page: str) -> None:
    """Say which page is shown. Of a page before only what it remembered stays.

    Streamlit would begin a control of another page that has the same key with its first option, whatever the key's value.
    """
    if st.session_state.get(_PAGE) != page:
        for key in st.session_state.pop(_CONTROLS, ()):
            st.session_state.pop(key, None)
        st.session_state[_PAGE] = page


def chosen(name: str, options: Sequence[T], default: T, *, key: str | None = None, text: Callable[[T], str] = str) -> str:
    """Prepare the widget that is called with the returned key: its value is one of `options`.

    The widget's own value comes first, then what a link asks for as `name`, then what the session last had, then `default`.
    A `key` other than the name is `name:scope` and its value that of the scope alone. A link's value that is none of the
    options is left aside with a word to the user.
    """
    key = _control(key or name)
    if st.session_state.get(key) in options:
        return key
    by_text = {text(option): option for option in options}
    wanted = _asked(name) if key not in st.session_state else None
    if wanted is not None:
        st.session_state.setdefault(_ANSWERED, {})[name] = wanted
        if wanted not in by_text:
            st.session_state.setdefault("left aside", {})[name] = wanted[:60]
    kept = st.session_state.get(_KEPT, {}).get(key)
    value = by_text.get(wanted, kept if kept in options else default)
    st.session_state[key] = value
    return key


def _control(key: str) -> str:
    """The key, noted as one of this page's."""
    st.session_state.setdefault(_CONTROLS, set()).add(key)
    return key


def _asked(name: str) -> str | None:
    """What the link asks for as `name`: None where the URL says what this session wrote there, or has been answered."""
    text = st.query_params.get(name)
    return None if text == st.session_state.get(_ANSWERED, {}).get(name) else text


def chosen_several(name: str, options: Sequence[str], default: Sequence[str], *, key: str | None = None) -> str:
    """As `chosen`, for a widget with several values; the URL joins them with `~`."""
    key = _control(key or name)
    held = st.session_state.get(key)
    if held is not None and all(value in options for value in held):
        return key
    wanted = _asked(name) if key not in st.session_state else None
    for text in (wanted, st.session_state.get(_KEPT, {}).get(key)):
        values = [value for value in str(text or "").split("~") if value in options]
        if values:
            st.session_state[key] = values
            return key
    st.session_state[key] = list(default)
    return key


def number(name: str, low: float, high: float, default: float, *, scope: str) -> float:
    """The number a link says, or the session had in this scope, within [low, high]; else the default."""
    for text in (_asked(name), st.session_state.get(_KEPT, {}).get(f"{name}:{scope}")):
        try:
            value = float(text)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if low <= value <= high:
            return value
    return default


def remember(scope: str = "", /, **values: object) -> None:
    """Put the page's state into the URL and the session; None leaves a name out of the URL.

    With a `scope` (a dataset), it is also what `chosen` and `number` find again in that scope.
    """
    kept, answered = st.session_state.setdefault(_KEPT, {}), st.session_state.setdefault(_ANSWERED, {})
    for name, value in values.items():
        places = (name, f"{name}:{scope}")
        if value is None:
            for place in places:
                kept.pop(place, None)
            if name in st.query_params:
                del st.query_params[name]
        else:
            kept.update(dict.fromkeys(places, value))
            answered[name] = text = f"{value:.6g}" if isinstance(value, float) else str(value)
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


def run(page: Any) -> None:
    """Run the page that st.navigation chose."""
    turn_to(page.url_path)
    try:
        page.run()
    except AdvcoreError as error:
        st.error(markdown_safe(str(error)))


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
