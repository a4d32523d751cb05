"""Who is at the page: somebody at their own machine, a visitor of a public server, or its host; and what they may do.

A visitor is known by a long random key in a cookie: the browser sends it with its first request, and no link, QR code or
history contains it. A script on the page sets it, since Streamlit cannot send a header. Only its hash is written to the
disk. The token of the host is not kept in the browser: the server remembers who has entered it, until it is restarted.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from advcore.errors import AdvcoreError, LimitError
from advcore.jobs import limits
from advcore.jobs.limits import Rules
from ui.components import mount, reported

COOKIE = "advcore_visitor"
KEY, _COMPONENT, _PROBLEM = "visitor's key", "visitor", "problem with the token"
_FORM = re.compile(r"[\w-]{32}", re.ASCII)
hosts: set[str] = set()
"""The names of the visitors who have entered the host's token."""
counts, _counting, _heavy = limits.Counts(), threading.Lock(), threading.Semaphore()


def rules() -> Rules:
    """What the person at this page may do; in a thread that draws no page, everything."""
    if not limits.public() or get_script_run_ctx() is None or _name() in hosts:
        return limits.FREE
    return limits.visitor()


def owner() -> str | None:
    """Whose trainings and models this page may see and change; None: everybody's."""
    return None if rules().everything else _name()


def group() -> str | None:
    """Whose pages take turns together in the background worker: a visitor's; None: each page takes its own turn."""
    return _name() if limits.public() and get_script_run_ctx() is not None else None


def spend(kind: str) -> None:
    """Count an action of this kind; raises LimitError if a visitor does it too often."""
    allowed = rules()
    if kind in allowed.rates:
        with _counting:
            counts.spend(allowed, _name(), kind, time.monotonic())


@contextlib.contextmanager
def heavy(kind: str) -> Iterator[None]:
    """Around a computation of seconds in a page's own thread: counted as by `spend`, and one at a time on this server."""
    spend(kind)
    with _heavy:
        yield


def _key() -> str:
    """This browser's key, from its cookie; without a cookie a new key, which `keep` stores there."""
    state = st.session_state
    if KEY not in state:
        sent = st.context.cookies.get(COOKIE, "")
        state[KEY] = sent if _FORM.fullmatch(sent) else secrets.token_urlsafe(24)
    # Two tabs that a new browser opened at once: the first cookie counts.
    sent = reported(_COMPONENT, "key")
    if isinstance(sent, str) and _FORM.fullmatch(sent):
        state[KEY] = sent
    return state[KEY]


def _name() -> str:
    """The hash of the key: what is written to the disk."""
    return hashlib.sha256(_key().encode()).hexdigest()[:32]


# --- on the page ---------------------------------------------------------------------------------------------------------


def keep() -> None:
    """On a public server, keep the visitor's key in the browser."""
    if limits.public():
        mount("visitor", {"name": COOKIE, "key": _key()}, key=_COMPONENT, states=("key",))


def foot() -> None:
    """On a public server that has a host's token: a form in which the host enters it."""
    if not limits.public() or not os.environ.get("ADVCORE_HOST_TOKEN"):
        return
    if _name() in hosts:
        st.button("Leave the host's view", icon=":material/logout:", type="tertiary", on_click=lambda: hosts.discard(_name()))
        return
    problem = st.session_state.pop(_PROBLEM, None)
    with st.popover("Host", icon=":material/key:", type="tertiary"), st.form("host", border=False, clear_on_submit=True):
        st.text_input("The host's token", type="password", key="host token", max_chars=200)
        st.form_submit_button("Open the host's view", on_click=_open)
        if problem:
            st.error(problem)


def _open() -> None:
    """Open the host's view if the token is right."""
    given, token = st.session_state.get("host token", ""), os.environ.get("ADVCORE_HOST_TOKEN", "")
    try:
        spend("token")
        if not token or not hmac.compare_digest(given.encode(), token.encode()):
            raise LimitError("This is not the host's token.")
        hosts.add(_name())
    except AdvcoreError as error:
        st.session_state[_PROBLEM] = str(error)
