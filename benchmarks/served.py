"""A server of the app for the benchmarks, with runs of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def server(**environment: str) -> Iterator[tuple[str, int]]:
    """The address of a server that has just started, and the number of its process; its runs are in a temporary folder."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as runs:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [sys.executable, "-m", "advcore", "app", "--port", str(port), "--address", "127.0.0.1"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        whole = os.environ | {"ADVCORE_RUNS": runs} | environment
        process = subprocess.Popen(command, cwd=REPOSITORY, env=whole, **quiet)
        try:
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            process.wait()
