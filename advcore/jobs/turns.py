"""Which jobs run and which wait, read from their folders alone. Imports no torch, so that the waiting process is small.

`advance` starts the oldest waiting jobs while there is room, one for each visitor of a public server. Everything that starts,
stops or lists jobs calls it, and so does every job that ends. While jobs wait, one small process (`python -m
advcore.jobs.turns ROOT`) also calls it whenever a running job has ended, so that a killed job does not block the others.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from pathlib import Path

import filelock
import psutil

from advcore.files import read_object
from advcore.jobs import processes

GRACE_SECONDS = 20.0
"""How long a job that was asked to stop may take to save its state before it is killed."""
STAMP = "%Y%m%d-%H%M%S-%f"
"""A job's id is the moment it was made, in local time."""
_LOOK_SECONDS = 5.0  # how often the waiting process looks for jobs that do not stop


def lock(root: Path) -> filelock.FileLock:
    """The lock of the queue in `root`: one process or thread at a time holds it, and one that dies releases it."""
    root.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(root / ".lock")


def limit() -> int:
    """How many jobs run at a time: `$ADVCORE_JOBS`, or 1."""
    text = os.environ.get("ADVCORE_JOBS", "1")
    return max(1, int(text)) if text.isdecimal() else 1


def made_at(job_id: str) -> datetime.datetime | None:
    """When the job with that id was made, in local time; None for anything that is not a job's id."""
    try:
        made = datetime.datetime.strptime(job_id, STAMP)
    except ValueError:
        return None
    return made if made.strftime(STAMP) == job_id else None  # strptime also accepts numbers without leading zeros


def folders(root: Path) -> list[Path]:
    """The folders of the jobs in `root`, the oldest first."""
    return sorted(folder for folder in root.glob("*") if made_at(folder.name) and folder.is_dir())


def owner(folder: Path) -> str | None:
    """The visitor of a public server whose job it is; None for jobs without limits, of the machine's owner or the host."""
    found = read_object(folder / "visitor.json").get("owner")
    return found if isinstance(found, str) else None


def has_result(folder: Path) -> bool:
    """Whether the job has recorded how it ended."""
    return bool(read_object(folder / "result.json"))


def is_running(folder: Path) -> bool:
    """Whether the job's process runs and has not yet recorded how it ended."""
    return processes.running(folder) is not None and not has_result(folder)


def is_waiting(folder: Path) -> bool:
    """Whether the job has a recipe and was neither started nor stopped."""
    begun = (folder / "process.json").exists() or (folder / "stop").exists() or has_result(folder)
    return not begun and bool(read_object(folder / "recipe.json"))


def advance(root: Path) -> None:
    """Kill jobs that did not stop in time, start waiting ones while there is room, and let one process wait for the rest."""
    with lock(root):
        jobs = folders(root)
        running = [folder for folder in jobs if is_running(folder)]
        for folder in running:
            if _age(folder / "stop") > GRACE_SECONDS:
                processes.end(folder, gently=False)
        waiting = [folder for folder in jobs if is_waiting(folder)]
        busy, room = {owner(folder) for folder in running}, limit() - len(running)
        for folder in list(waiting):
            visitor = owner(folder)
            if room > 0 and (visitor is None or visitor not in busy):
                processes.launch(folder, "-m", "advcore", "train", "--job", str(folder.resolve()))
                waiting.remove(folder)
                busy.add(visitor)
                room -= 1
        if waiting and processes.running(root) is None:
            processes.launch(root, "-m", "advcore.jobs.turns", str(root.resolve()))


def wait(root: Path) -> None:
    """Advance the queue whenever a running job ends, until no job waits."""
    while True:
        advance(root)
        with lock(root):
            jobs = folders(root)
            if not any(is_waiting(folder) for folder in jobs):
                # Under the lock, so that a job added after this finds no waiting process and starts one.
                (root / "process.json").unlink(missing_ok=True)
                return
            busy = [process for folder in jobs if is_running(folder) and (process := processes.running(folder))]
        psutil.wait_procs(busy, timeout=_LOOK_SECONDS)


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return 0.0


if __name__ == "__main__":
    wait(Path(sys.argv[1]))
