"""Run by test_worker: kills (SIGKILL) a job's process, the server that started it, or both, and goes on from what is left.

    python -m tests.crashes FOLDER KILLS < RECIPE

A process dies at a file operation below the runs folder FOLDER: one that opens a file for writing, renames or removes one. The
kills are spread over all of them. Then a new server looks, as the pages do, and resumes what can be resumed. Forked processes
spare each the seconds that importing torch takes. Prints a JSON object: how an undisturbed job ends, and for each kill what a
reader found and how the job ended.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from advcore import data
from advcore.errors import CheckpointError
from advcore.evaluation import figures
from advcore.jobs import processes, queue, turns, worker
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training import loop, state

_operations, _kill_at = 0, 0
_trainers_kill: int | None = None
"""The operation at which a trainer that this process starts kills itself and this process; None for neither."""
_with_parent = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Count this process's file operations, and kill it at the one it is to die at."""
    global _operations
    changes = event in {"os.rename", "os.remove"} or (event == "open" and set(str(arguments[1])) & set("wax+"))
    if changes and str(arguments[0]).startswith(str(checkpoints.runs_root())):
        _operations += 1
        if _operations == _kill_at:
            if _with_parent:
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)


def fork(work: Callable[[], Any], *, kill_at: int = 0, log: Path | None = None, with_parent: bool = False) -> int:
    """The number of a new process that does the work, and dies at its `kill_at`-th file operation, with its parent or alone."""
    global _operations, _kill_at, _with_parent
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        _operations, _kill_at, _with_parent = 0, kill_at, with_parent
        output = os.open(log or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = work()
        os._exit(_operations if kill_at < 0 else code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(99)


def launch(folder: Path, *words: str) -> None:
    """As `processes.launch`, without a new interpreter."""
    both = _trainers_kill is not None and "train" in words
    work = (lambda: worker.run(folder)) if "train" in words else (lambda: turns.wait(folder))
    pid = fork(work, log=folder / "log.txt", kill_at=_trainers_kill or 0 if both else 0, with_parent=both)
    processes.record(folder, pid)


def serve(recipe: Recipe) -> None:
    """As a server: start the job and look after it until it is over."""
    job = queue.start(recipe)
    while not queue.find(job.id).over:
        look()


def look() -> None:
    """What a page does that shows the jobs; returns when a running one has ended, or after a moment."""
    queue.advance()
    running = [process for folder in turns.folders(queue.root()) if (process := processes.running(folder))]
    psutil.wait_procs(running, timeout=0.05)
    _reap()


def _reap() -> None:
    """Ask for the exit codes of children that ended, as the thread of `processes.launch` does."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


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
        "running": processes.running(folder) is not None,
    }


def go_on(recipe: Recipe) -> Path:
    """A new server: the job is resumed where it can be, started where there is none, and waited for."""
    if not queue.listing():
        queue.start(recipe)
    (job,) = queue.listing()
    while job.state != "finished":
        if job.resumable:
            queue.resume(job.id)
        look()
        job = queue.find(job.id)
    while processes.running(job.folder):  # its result is written a moment before it ends
        look()
    return job.folder


def killed(who: str, at: int, recipe: Recipe) -> dict[str, Any]:
    """Kill the trainer or the server at its `at`-th file operation, or both at the trainer's; then go on."""
    global _trainers_kill
    if who == "trainer":
        folder = make(recipe)
        pid = fork(lambda: worker.run(folder), kill_at=at, log=folder / "log.txt")
    else:
        _trainers_kill = at if who == "both" else None
        pid = fork(lambda: serve(recipe), kill_at=at if who == "server" else 0)
        _trainers_kill = None
    _, status = os.waitpid(pid, 0)
    found = {"who": who, "at": at, "killed": os.WIFSIGNALED(status)}
    for job in queue.listing():
        while who != "trainer" and processes.running(job.folder):  # it outlives its server, if only by a moment
            look()
        found |= seen(job.folder)
    return found | {"ended": ended(go_on(recipe))}


def make(recipe: Recipe) -> Path:
    """A job's folder, as `queue.start` leaves it."""
    folder = queue.root() / "20260102-030405-000000"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(recipe.to_json())
    (folder / "machine.json").write_text('{"precision": "fp32"}')
    return folder


def operations(work: Callable[[], Any], log: Path | None = None) -> int:
    """How many file operations the work takes, in a process of its own."""
    _, status = os.waitpid(fork(work, kill_at=-1, log=log), 0)
    return os.waitstatus_to_exitcode(status)


def main(root: Path, kills: int) -> None:
    torch.set_num_threads(1)
    # So that kills fall into every phase: saved at every step, shown at every step, final figures on a few images.
    loop._SAVE_SECONDS = loop._YIELD_SECONDS = 0.0
    worker._pause = lambda seconds: 0.0
    worker._give_way = lambda: None
    figures.PGD_IMAGES = 10
    queue.fastest_precision = lambda device: "fp32"
    processes.launch = launch
    # What every process would otherwise do for itself: import what optimizers import, read the images.
    torch.optim.Adam([torch.zeros(1)])
    splits = {"train": data.load("digits", "train"), "test": data.load("digits", limit=60)}
    data.load = lambda name, split, limit=None: splits[split][:limit]
    sys.addaudithook(_watch)
    recipe = Recipe.from_json(sys.stdin.read())
    folder = make(recipe)
    of_trainer = operations(lambda: worker.run(folder), folder / "log.txt")
    whole = ended(folder)
    shutil.rmtree(root)
    of_server = operations(lambda: serve(recipe))
    told = []
    for number in range(kills):
        shutil.rmtree(root)
        who = ("trainer", "server", "trainer", "both")[number % 4]
        last = of_server if who == "server" else of_trainer
        told.append(killed(who, 1 + round(number / max(1, kills - 1) * (last - 1)), recipe))
    print(json.dumps({"whole": whole, "kills": told}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
