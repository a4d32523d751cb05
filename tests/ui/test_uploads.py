"""Uploaded files: limited for each visitor and for all, and freed when the page was closed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from starlette.exceptions import HTTPException
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from ui import uploads


def test_a_visitor_and_all_together_hold_a_limited_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "VISITOR_BYTES", 100)
    monkeypatch.setattr(uploads, "ALL_BYTES", 150)
    files = MemoryUploadedFileManager("/upload")
    uploads.Limits(files)

    def upload(visitor: str, number: int, size: int) -> None:
        files.add_file(visitor, SimpleNamespace(file_id=str(number), name="x", type="image/png", data=bytes(size)))

    upload("a", 1, 60)
    with pytest.raises(HTTPException) as refused:
        upload("a", 2, 60)
    assert refused.value.status_code == 413
    upload("b", 1, 80)
    with pytest.raises(HTTPException):
        upload("b", 2, 15)
    files.remove_file("a", "1")
    upload("b", 2, 15)


@pytest.mark.parametrize("returns", [True, False])
def test_what_a_closed_page_held_is_freed_unless_it_comes_back(returns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "CLOSED_SECONDS", 0.0)
    closed: list[str] = []
    session = SimpleNamespace(session_state={"own pictures": 1})
    server = SimpleNamespace(
        get_app_session=lambda session_id: session, is_active_session=lambda session_id: returns, close_session=closed.append
    )

    async def leave() -> None:
        uploads.left("a", server)
        assert closed == []
        for _ in range(3):  # let the loop come round
            await asyncio.sleep(0)

    with ThreadPoolExecutor(1) as thread:  # this one may already run a loop, a browser's
        thread.submit(asyncio.run, leave()).result()
    assert (closed, session.session_state) == (([], {"own pictures": 1}) if returns else (["a"], {}))


def test_a_cache_that_a_page_clears_closes_nothing() -> None:
    server = SimpleNamespace(get_app_session=lambda session_id: None)
    uploads.left("a", server)
