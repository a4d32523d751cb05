"""What a button does, and what the page says if it fails."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from advcore.errors import AdvcoreError

_PROBLEM = "problem of the last action"


def attempt(what: Callable[..., object], *arguments: object, failed: str = "") -> bool:
    """For a callback: do it. If it fails, the page says why when it is drawn next. Returns whether it succeeded."""
    try:
        what(*arguments)
    except (AdvcoreError, OSError) as error:
        st.session_state[_PROBLEM] = f"{failed}{error}"
        return False
    return True


def failed() -> bool:
    """Whether an action has failed and the page has not said so yet."""
    return _PROBLEM in st.session_state


def problem() -> str | None:
    """Why the last action failed, once; None if it succeeded."""
    return st.session_state.pop(_PROBLEM, None)
