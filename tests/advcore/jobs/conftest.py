"""Jobs in tests: one thread, few figures, and a process that can be claimed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from advcore.evaluation import figures
from advcore.jobs import processes, worker
from tests.advcore.jobs.folders import claim


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("ADVCORE_JOBS", raising=False)
    monkeypatch.setattr(worker, "_give_way", lambda: None)  # a job run in the tests' own process leaves its priority alone
    monkeypatch.setattr(figures, "PGD_IMAGES", 10)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ignores being asked to end."""
    code = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders whose processes would have been started: they seem to run in this process."""
    started: list[str] = []

    def launch(folder: Path, *_: str) -> None:
        started.append(folder.name)
        claim(folder, os.getpid())

    monkeypatch.setattr(processes, "launch", launch)
    return started
