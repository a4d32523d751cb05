"""Run by test_jobs: carries a job out in forked processes and kills them, `kill -9`, at random moments.

    python -m tests.killer FOLDER KILLS SEED

Forking spares each of them the seconds that importing torch takes. Prints a JSON object: where each process was killed,
what a reader of the folder saw right after, and how the job ended.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from advcore import data
from advcore.errors import CheckpointError
from advcore.evaluation import figures
from advcore.jobs import queue
from advcore.models import checkpoints
from advcore.training import loop


def carry_out(folder: Path) -> int:
    """Start the job's process; returns its pid."""
    pid = os.fork()
    if pid == 0:
        output = os.open(folder / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            code = queue.run(folder)
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
            code = 9
        os._exit(code)
    return pid


def seen(folder: Path) -> dict[str, object]:
    """What any reader finds."""
    lines = queue.progress(folder)
    try:
        step: int | str = loop.state_step(folder)
    except CheckpointError as error:
        step = str(error)
    return {
        "state": queue.read(folder).state,
        "phase": lines[-1]["phase"] if lines else "",
        "saved step": step,
        "broken": [str(reason) for reason in checkpoints.problems().values()],
    }


def start_again(folder: Path) -> None:
    """As if nothing had been done yet."""
    (folder / "result.json").unlink()
    for item in checkpoints.own_root().glob("*/*.safetensors"):
        item.unlink()


def main(folder: Path, kills: int, seed: int) -> None:
    torch.set_num_threads(1)
    dice = random.Random(seed)
    # So that kills fall into every phase: saved at every step, shown at every step, final figures on a few images.
    loop._SAVE_SECONDS = loop._YIELD_SECONDS = 0.0
    queue._pause = lambda seconds: 0.0
    queue._NICENESS = 0
    figures.PGD_IMAGES = 10
    loop.fastest_precision = lambda device: "fp32"  # that of the run it is compared with
    # What every process would otherwise do for itself: import what optimizers import, read the images.
    torch.optim.Adam([torch.zeros(1)])
    splits = {"train": data.load("digits", "train"), "test": data.load("digits", limit=60)}
    data.load = lambda name, split, limit=None: splits[split][:limit]
    began = time.monotonic()
    os.waitpid(carry_out(folder), 0)
    whole = time.monotonic() - began
    start_again(folder)
    found: list[dict[str, object]] = []
    while len(found) < kills:
        pid = carry_out(folder)
        time.sleep(1.2 * whole * dice.random())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found.append(seen(folder))
        if queue.read(folder).state == "finished":
            start_again(folder)
    _, status = os.waitpid(carry_out(folder), 0)
    lines = [record for record in queue.progress(folder) if record["phase"] == "training"]
    print(
        json.dumps(
            {
                "kills": found,
                "code": os.waitstatus_to_exitcode(status),
                "steps": [record["step"] for record in lines],
                "left": sorted(path.name for path in folder.iterdir()),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
