"""Run by test_worker: kills a job's process (SIGKILL) at its file operations, and resumes it.

    python -m tests.crashes FOLDER

Every third operation below the runs folder that opens a file for writing, renames or removes one is a point where a fresh
run of the job is killed. Forked processes spare each run the seconds that importing torch takes. Prints a JSON object: what a
reader of the folder saw after each kill, and how the runs that were resumed from there ended.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from advcore import data
from advcore.errors import CheckpointError
from advcore.evaluation import figures
from advcore.jobs import queue, worker
from advcore.models import checkpoints
from advcore.training import loop, state


def carry_out(folder: Path, *, kill_at: int = 0) -> int:
    """Run the job in a forked process that is killed at its `kill_at`-th file operation; how many there were, −1 if killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        output = os.open(folder / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        operations = 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal operations
            changes = event in {"os.rename", "os.remove"} or (event == "open" and set(str(arguments[1])) & set("wax+"))
            if changes and str(arguments[0]).startswith(str(checkpoints.runs_root())):
                operations += 1
                if operations == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        code = worker.run(folder)
        os.write(writer, str(operations).encode())
        os._exit(code)
    os.close(writer)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    return -1 if os.WIFSIGNALED(status) else int(told)


def seen(folder: Path) -> dict[str, Any]:
    """What any reader finds after a kill."""
    lines = queue.progress(folder)
    try:
        step: int | str = state.state_step(folder)
    except CheckpointError as error:
        step = str(error)
    return {
        "state": queue.read(folder).state,
        "phase": lines[-1]["phase"] if lines else "",
        "saved step": step,
        "broken": [str(reason) for reason in checkpoints.problems().values()],
    }


def ended(folder: Path) -> dict[str, Any]:
    """How the job ended, with a digest of its model's weights."""
    job = queue.read(folder)
    weights = checkpoints.find(job.checkpoint).model().state_dict() if job.checkpoint else {}
    return {
        "state": job.state,
        "weights": [float(value.double().sum()) for value in weights.values()],
        "models": len(list(checkpoints.own_root().glob(f"*/*{checkpoints.SUFFIX}"))),
        "steps": [record["step"] for record in queue.progress(folder) if record["phase"] == "training"],
        "left": sorted(path.name for path in folder.iterdir()),
    }


def start_again(folder: Path) -> None:
    """As if nothing had been done yet."""
    for path in folder.iterdir():
        if path.name != "recipe.json":
            path.unlink()
    shutil.rmtree(checkpoints.own_root(), ignore_errors=True)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    # So that kills fall into every phase: saved at every step, shown at every step, final figures on a few images.
    loop._SAVE_SECONDS = loop._YIELD_SECONDS = 0.0
    worker._pause = lambda seconds: 0.0
    worker._NICENESS = 0
    figures.PGD_IMAGES = 10
    loop.fastest_precision = lambda device: "fp32"
    # What every process would otherwise do for itself: import what optimizers import, read the images.
    torch.optim.Adam([torch.zeros(1)])
    splits = {"train": data.load("digits", "train"), "test": data.load("digits", limit=60)}
    data.load = lambda name, split, limit=None: splits[split][:limit]
    operations = carry_out(folder)
    whole, kills, resumed, phases = ended(folder), [], [], set()
    for number in range(1, operations + 1, 3):
        start_again(folder)
        killed = carry_out(folder, kill_at=number) < 0
        kills.append(seen(folder) | {"killed": killed})
        phase = (kills[-1]["phase"], kills[-1]["state"])
        if phase not in phases:
            phases.add(phase)
            carry_out(folder)
            resumed.append(ended(folder))
    print(json.dumps({"whole": whole, "kills": kills, "resumed": resumed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
