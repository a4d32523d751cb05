"""What visitors may upload, each and all together, and when it is freed.

Streamlit keeps a visitor's files, and all that was made of them, until some later moment after the page was closed, and takes
any number of files.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import time
from typing import Any

from streamlit import runtime

try:
    from starlette.exceptions import HTTPException
except ImportError:  # an earlier Streamlit, which serves through tornado
    from tornado.web import HTTPError as HTTPException  # type: ignore[assignment]

VISITOR_BYTES, ALL_BYTES = 128 << 20, 1 << 30
CLOSED_SECONDS = 60.0
"""How long a page may be disconnected, as on a train, before its files are freed. After two minutes Streamlit forgets it."""
_LOOK_SECONDS = 15.0


class Limits:
    """Refuses files beyond the limits, and closes the sessions of visitors who have left files behind."""

    def __init__(self, server: Any) -> None:
        self.server, self.files = server, server.uploaded_file_mgr
        self.left: dict[str, float] = {}  # when a session was first seen without a connection
        self.looking = False
        self.keep, self.files.add_file = self.files.add_file, self.add_file

    def add_file(self, session_id: str, file: Any) -> None:
        """Keep an uploaded file, in the server's event loop; raises HTTPException (413) beyond the limits."""
        held = {known: sum(len(item.data) for item in of.values()) for known, of in self.files.file_storage.items()}
        more = len(file.data)
        if held.get(session_id, 0) + more > VISITOR_BYTES or sum(held.values()) + more > ALL_BYTES:
            raise HTTPException(413, "This page holds too many files, or the server does; remove some and try again.")
        self.keep(session_id, file)
        if not self.looking:
            self._look_later()

    def _look_later(self) -> None:
        self.looking = bool(self.files.file_storage)
        if self.looking:
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self.look)

    def look(self) -> None:
        """Close the sessions that hold files and have had no connection for a while; called in the event loop."""
        now, here = time.monotonic(), list(self.files.file_storage)
        away = {
            session_id: self.left.get(session_id, now) for session_id in here if not self.server.is_active_session(session_id)
        }
        gone = [session_id for session_id, since in away.items() if now - since >= CLOSED_SECONDS]
        for session_id in gone:
            self.server.close_session(session_id)
            self.files.remove_session_files(session_id)
        self.left = {session_id: since for session_id, since in away.items() if session_id not in gone}
        if gone:
            gc.collect()  # a session refers to itself
        self._look_later()


@functools.cache
def limit() -> Limits | None:
    """Set the limits, once for a server; nothing happens without one."""
    return Limits(runtime.get_instance()) if runtime.exists() else None
