"""Jobs in tests: one thread, few figures, and a process that can be claimed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from advcore.evaluation import figures


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("ADVCORE_JOBS", raising=False)
    monkeypatch.setattr(os, "setpriority", lambda *_: None)  # a job run in the tests' own process leaves its priority alone
    monkeypatch.setattr(figures, "PGD_IMAGES", 40)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ignores being asked to end."""
    code = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()
