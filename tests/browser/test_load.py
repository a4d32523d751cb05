"""Several people at once, without browsers: each is shown what they asked for."""

from __future__ import annotations

import argparse
import asyncio
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.browser.conftest import REPOSITORY


def test_nobody_is_shown_what_another_asked_for(app_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the script finds its neighbours there
    monkeypatch.delenv("ADVCORE_DATA", raising=False)
    script = runpy.run_path(str(REPOSITORY / "benchmarks" / "load.py"))
    options = argparse.Namespace(sessions=3, seconds=1.0, think=0.2, dataset=["digits"], images=2)
    with ThreadPoolExecutor(1) as pool:  # the browser's own loop runs in this thread
        found = pool.submit(lambda: asyncio.run(script["measured"](options, app_url, psutil.Process()))).result()
    assert found["wrong"] == []
    assert found["first load"]["n"] == found["own link"]["n"] == 3
    assert found["all actions"]["n"] >= 3
    script["table"](found)
