"""Pages run offline: digits, foolbox's samples and the shipped checkpoints."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from advcore.training import estimate
from ui import load
from ui.worker import worker

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ADVCORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ADVCORE_RUNS", str(tmp_path / "runs"))
    for name in ("CHECKPOINTS", "PUBLIC", "PUBLIC_ALLOW", "HOST_TOKEN"):
        monkeypatch.delenv(f"ADVCORE_{name}", raising=False)
    monkeypatch.setattr(estimate, "_TRIAL_SECONDS", 0.05)
    monkeypatch.chdir(REPOSITORY)
    # Every AppTest would search all installed packages for components.
    monkeypatch.setattr(importlib.metadata, "distributions", lambda **_: iter(()))
    # What these list depends on the folders; all else that is cached names the file and its date.
    load.available.clear()
    load.read_again()
    yield
    worker().close()
    worker.cache_clear()


def open_page(name: str, *, opened: tuple[str, ...] = (), **query: str) -> AppTest:
    """The page `name` after its first run, as if opened by a link with `query`; no exception reached it.

    The boxes with the keys `opened` are open.
    """
    page = AppTest.from_string(
        f"from pages import {name}\nfrom ui import frame\n\nframe.guard({name}.page)", default_timeout=60
    )
    for key, value in query.items():
        page.query_params[key] = value
    for key in opened:
        page.session_state[key] = True
    return checked(page.run())


def checked(page: AppTest) -> AppTest:
    """The page, which no exception reached."""
    assert not page.exception, (page.query_params, page.exception)
    return page


def finish(page: AppTest, part: str) -> AppTest:
    """The page once the background worker has done what it asks for; it asks again with every run, as a browser's does."""
    owner = (part, page.session_state["session"])
    for _ in range(60):
        if not worker().wanted(owner):
            break
        with worker().changed:
            worker().changed.wait_for(lambda: not worker().wanted(owner), 2)
        page.run()
    assert not checked(page).error
    return page


def press(page: AppTest, words: str) -> AppTest:
    """The page after a click on the first button of that label or that help."""
    return checked(next(button for button in page.button if words in (button.label, button.help)).click().run())


def opened(page: AppTest, key: str) -> str:
    """The code behind the heading with that key, opened as if by a click."""
    page.session_state[key] = True
    return checked(page.run()).code[0].value


def labels(page: AppTest) -> list[str]:
    """The labels of the page's buttons."""
    return [button.label for button in page.button]
