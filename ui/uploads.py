"""What visitors may upload, each and all together, and when it is freed.

Streamlit takes any number of files. It keeps them, and what was made of them, for a while after the page was closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

try:
    from starlette.exceptions import HTTPException
except ImportError:  # an earlier Streamlit, which serves through tornado
    from tornado.web import HTTPError as HTTPException  # type: ignore[assignment]

VISITOR_BYTES, ALL_BYTES = 128 << 20, 1 << 30
CLOSED_SECONDS = 110.0
"""How long a page may be disconnected, like one of a phone in the background, before what it held is freed.

After two minutes Streamlit itself does not reconnect it.
"""


def limit() -> None:
    """Limit what is uploaded to this server, and free what this visitor holds after they have left."""
    context = get_script_run_ctx()
    if context is not None and runtime.exists():
        _limited()
        _visit(context.session_id)


@functools.cache
def _limited() -> Limits:
    return Limits(runtime.get_instance().uploaded_file_mgr)


class Limits:
    """Refuses files beyond the limits."""

    def __init__(self, files: Any) -> None:
        self.files = files
        self.keep, files.add_file = files.add_file, self.add_file

    def add_file(self, session_id: str, file: Any) -> None:
        """Keep an uploaded file, or raise HTTPException (413)."""
        held = {known: sum(len(item.data) for item in of.values()) for known, of in self.files.file_storage.items()}
        more = len(file.data)
        if held.get(session_id, 0) + more > VISITOR_BYTES or sum(held.values()) + more > ALL_BYTES:
            raise HTTPException(413, "This page holds too many files, or the server does; remove some and try again.")
        self.keep(session_id, file)


def left(session_id: str, server: Any = None) -> None:
    """Called in the server's event loop when a page lost its connection: free what it holds unless it comes back."""
    server = server or runtime.get_instance()
    session = server.get_app_session(session_id)

    def close() -> None:
        if not server.is_active_session(session_id):
            server.close_session(session_id)
            if session is not None:  # until the next visitor comes, the server still refers to the last one's session
                session.session_state.clear()

    with contextlib.suppress(RuntimeError):  # in no event loop: the cache was cleared by a page
        asyncio.get_running_loop().call_later(CLOSED_SECONDS, close)


@st.cache_resource(scope="session", show_spinner=False, on_release=left)
def _visit(session_id: str) -> str:
    return session_id
