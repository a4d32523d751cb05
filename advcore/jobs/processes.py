"""Processes that belong to folders: a folder's `process.json` holds the id of its process and when that was created."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from advcore.files import read_object, with_package, write_whole

_SAME_SECONDS = 2.0  # a correction of the clock may change the recorded time of creation a little
STARTED = b"--- started\n"
"""A line of a job's log before what each attempt prints."""


def running(folder: Path) -> psutil.Process | None:
    """The running process of the folder, or None.

    The time of creation distinguishes it from a later process with the same id. A zombie (a process that ended but whose
    parent has not read its exit code) counts as ended.
    """
    record = read_object(folder / "process.json")
    pid, created = record.get("pid"), record.get("created")
    if type(pid) is not int or not isinstance(created, int | float) or not 0 < pid < 2**31:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < _SAME_SECONDS and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if same else None


def record(folder: Path, pid: int) -> None:
    """Record that the process `pid` belongs to the folder."""
    write_whole(folder / "process.json", json.dumps({"pid": pid, "created": psutil.Process(pid).create_time()}))


def launch(folder: Path, *words: str) -> None:
    """Start `python WORDS` for the folder, in a new process session, so that it outlives the terminal and the server.

    What it prints goes to the folder's `log.txt`.
    """
    # Waiting threads sleep: when those of two programs spin instead, both programs take ten times as long.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **with_package(), "PYTHONUNBUFFERED": "1"}
    with (folder / "log.txt").open("ab") as log:
        log.write(STARTED)
        log.flush()
        process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    record(folder, process.pid)
    # The parent must read the exit code of a child that ended, or it stays a zombie.
    threading.Thread(target=process.wait, daemon=True).start()


def end(folder: Path, *, gently: bool) -> None:
    """Ask the folder's process to end or, not `gently`, kill it. Does nothing when no process runs."""
    process = running(folder)
    if process is None or (gently and sys.platform == "win32"):  # Windows cannot ask: the stop file must do
        return
    with contextlib.suppress(psutil.NoSuchProcess):  # it may have just ended
        process.terminate() if gently else process.kill()
