"""Uploaded files: limited for each visitor and for all, and freed when the page was closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from starlette.exceptions import HTTPException
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from ui import uploads


class Server:
    """A server with visitors, as `runtime.Runtime` has them."""

    def __init__(self) -> None:
        self.uploaded_file_mgr, self.here, self.closed = MemoryUploadedFileManager("/upload"), {"a", "b"}, []

    def is_active_session(self, session_id: str) -> bool:
        return session_id in self.here

    def close_session(self, session_id: str) -> None:
        self.closed.append(session_id)


def upload(server: Server, visitor: str, number: int, size: int) -> None:
    file = SimpleNamespace(file_id=str(number), name="x.png", type="image/png", data=bytes(size))
    server.uploaded_file_mgr.add_file(visitor, file)


def on_a_server(act: Callable[[Server, uploads.Limits], None]) -> None:
    """Carry it out in an event loop, as requests are."""

    async def main() -> None:
        server = Server()
        act(server, uploads.Limits(server))

    asyncio.run(main())


def test_a_visitor_and_all_together_hold_a_limited_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "VISITOR_BYTES", 100)
    monkeypatch.setattr(uploads, "ALL_BYTES", 150)

    def act(server: Server, limits: uploads.Limits) -> None:
        upload(server, "a", 1, 60)
        with pytest.raises(HTTPException) as refused:
            upload(server, "a", 2, 60)
        assert refused.value.status_code == 413
        upload(server, "b", 1, 80)
        with pytest.raises(HTTPException):
            upload(server, "b", 2, 15)
        server.uploaded_file_mgr.remove_file("a", "1")
        upload(server, "b", 2, 15)

    on_a_server(act)


def test_the_files_of_a_closed_page_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(uploads, "time", SimpleNamespace(monotonic=lambda: now))

    def act(server: Server, limits: uploads.Limits) -> None:
        nonlocal now
        upload(server, "a", 1, 10)
        upload(server, "b", 1, 10)
        server.here.remove("a")
        limits.look()
        now = uploads.CLOSED_SECONDS - 1
        server.here.add("a")  # connected again
        limits.look()
        server.here.remove("a")
        now += 2
        limits.look()
        assert server.closed == []
        now += uploads.CLOSED_SECONDS
        limits.look()
        assert server.closed == ["a"]
        assert list(server.uploaded_file_mgr.file_storage) == ["b"]

    on_a_server(act)
