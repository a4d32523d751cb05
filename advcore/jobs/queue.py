"""Jobs: retrainings in processes of their own, which no page, session or server takes down with it.

A job's folder `jobs/ID` below the runs is the only truth about it; whoever reads it finds the same job:

    recipe.json        what to train
    process.json       the process that does it, and when it was born
    progress.jsonl     one line a moment: step, loss, throughput, time left, the watched accuracies
    state.safetensors  where training can be taken up again
    stop               somebody asked it to stop
    result.json        how it ended; a job without one and without a living process was ended from outside
    log.txt            what the process printed

Jobs wait for one another: `advance` starts the oldest waiting one when there is room. It is called by whoever starts, stops
or looks, and by every job as it ends.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch

from advcore import data
from advcore.device import pick_device
from advcore.errors import AdvcoreError, CheckpointError
from advcore.evaluation import figures
from advcore.files import write_whole
from advcore.jobs import processes
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training import measure
from advcore.training.loop import STATE_FILE, Progress, state_step, train

State = Literal["queued", "running", "stopped", "failed", "finished"]
GRACE_SECONDS = 20.0
"""How long a job that was asked to stop may take to save its state before it is killed."""
_NICENESS = 5  # the page that watches comes first
_ID = re.compile(r"\d{8}-\d{6}-\d{6}")  # the moment it was made, to the microsecond
_STAMP = "%Y%m%d-%H%M%S-%f"
_MAX_LINE = 10_000


class JobError(AdvcoreError):
    """There is no such job, or what was asked of it cannot be done in its state."""


@dataclass(frozen=True)
class Job:
    """A job as its folder shows it at one moment. `message` says in a sentence how it ended."""

    id: str
    folder: Path
    state: State
    recipe: Recipe | None
    message: str = ""
    checkpoint: str | None = None
    stopping: bool = False

    @property
    def created(self) -> datetime.datetime:
        """When it was made, in local time."""
        return datetime.datetime.strptime(self.id, _STAMP)

    @property
    def over(self) -> bool:
        """Whether nothing more happens unless somebody resumes it."""
        return self.state in {"stopped", "failed", "finished"}

    @property
    def resumable(self) -> bool:
        return self.state in {"stopped", "failed"} and self.recipe is not None


def root() -> Path:
    """Where the jobs' folders are."""
    return checkpoints.runs_root() / "jobs"


def limit() -> int:
    """How many jobs run at a time: `$ADVCORE_JOBS`, else one."""
    text = os.environ.get("ADVCORE_JOBS", "1")
    return max(1, int(text)) if text.isdecimal() else 1


# --- looking -------------------------------------------------------------------------------------------------------------


def listing() -> list[Job]:
    """Every job, the newest first."""
    folders = [folder for folder in root().glob("*") if _ID.fullmatch(folder.name) and folder.is_dir()]
    return [read(folder) for folder in sorted(folders, reverse=True)]


def find(job_id: str) -> Job:
    """The job with that id; raises JobError when there is none. Only ids of this module's own form become a path."""
    folder = root() / job_id if _ID.fullmatch(job_id) else None
    if folder is None or not folder.is_dir():
        raise JobError(f"There is no job '{job_id[:40]}'; it may have been deleted.")
    return read(folder)


def read(folder: Path) -> Job:
    """The job in `folder`, as it stands."""
    try:
        recipe = Recipe.from_json((folder / "recipe.json").read_text())
        trouble = ""
    except (OSError, ValueError) as error:
        recipe, trouble = None, f"Its recipe cannot be read ({error})"
    # The process is asked before the result is read: one that ends in between has left its result.
    alive, stopping = _alive(folder), (folder / "stop").exists()
    result = _read_json(folder / "result.json")
    if result:
        state = result["state"] if result.get("state") in {"stopped", "failed", "finished"} else "failed"
        checkpoint = result.get("checkpoint")
        checkpoint = checkpoint if isinstance(checkpoint, str) else None
        return Job(folder.name, folder, state, recipe, str(result.get("message", "")), checkpoint)
    if alive:
        return Job(folder.name, folder, "running", recipe, stopping=stopping)
    if recipe is None:
        return Job(folder.name, folder, "failed", None, trouble)
    if stopping:
        return Job(folder.name, folder, "stopped", recipe, f"Stopped; {_kept(folder)}")
    if (folder / "process.json").exists():
        return Job(folder.name, folder, "failed", recipe, _how_it_died(folder))
    return Job(folder.name, folder, "queued", recipe)


def progress(folder: Path) -> list[dict[str, Any]]:
    """The progress of the job in `folder`, oldest first: `phase` and, while it trains, the fields of `training.Progress`.

    A line torn by a sudden end is left out.
    """
    lines = []
    with contextlib.suppress(OSError), (folder / "progress.jsonl").open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, RecursionError):
                record = json.loads(line[:_MAX_LINE])
                if isinstance(record, dict) and isinstance(record.get("phase"), str):
                    lines.append(record)
    return lines


def log_tail(folder: Path, lines: int = 40) -> str:
    """The last lines of what the process of the job in `folder` printed."""
    try:
        with (folder / "log.txt").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _alive(folder: Path) -> bool:
    process = _read_json(folder / "process.json")
    pid = process.get("pid")
    return isinstance(pid, int) and processes.birth(pid) == process.get("born") is not None


def _kept(folder: Path) -> str:
    """What of the training is safe."""
    try:
        step = state_step(folder)
    except CheckpointError:
        step = 0
    return f"resuming goes on from step {step}." if step else "resuming starts it from the beginning."


def _how_it_died(folder: Path) -> str:
    """A process that left no result: it crashed before it could, or somebody or something killed it."""
    tail = log_tail(folder, 1)
    if "Error" in tail:
        return f"It crashed ({tail.strip()[:200]}); {_kept(folder)}"
    return f"It was ended from outside: killed, out of memory, or the machine went off; {_kept(folder)}"


# --- the queue -------------------------------------------------------------------------------------------------------------


def start(recipe: Recipe) -> Job:
    """Make a job of the recipe and start it, now or when its turn comes. Raises AdvcoreError when its data is missing."""
    data.find(recipe.dataset, "train")
    data.find(recipe.dataset, "test")
    for needed in (recipe.warm_start, recipe.teacher):
        if needed:
            checkpoints.find(needed)
    root().mkdir(parents=True, exist_ok=True)
    job_id = datetime.datetime.now().strftime(_STAMP)
    # Renamed when complete: nobody ever sees half a job.
    making = root() / f".{job_id}"
    making.mkdir()
    try:
        (making / "recipe.json").write_text(recipe.to_json())
        making.replace(root() / job_id)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    advance()
    return find(job_id)


def advance() -> None:
    """Start waiting jobs while there is room, and kill those that were asked to stop and did not."""
    with processes.alone(root() / ".lock"):
        jobs = listing()[::-1]
        for job in jobs:
            if job.state == "running" and job.stopping and _age(job.folder / "stop") > GRACE_SECONDS:
                _signal(job.folder, gently=False)
        room = limit() - sum(job.state == "running" for job in jobs)
        for job in [job for job in jobs if job.state == "queued"][: max(0, room)]:
            _spawn(job)


def stop(job_id: str) -> None:
    """Ask a job to save its state and end; a waiting one is taken out of the queue. Ended ones stay as they are."""
    with processes.alone(root() / ".lock"):
        job = find(job_id)
        if not job.over and not job.stopping:
            (job.folder / "stop").touch()
            _signal(job.folder, gently=True)
    advance()


def resume(job_id: str) -> None:
    """Put a stopped or failed job back into the queue; it goes on from its state."""
    with processes.alone(root() / ".lock"):
        job = find(job_id)
        if not job.resumable:
            raise JobError(f"This job is {job.state} and cannot be resumed.")
        _signal(job.folder, gently=False)  # one that has its result may still be on its way out
        for name in ("stop", "result.json", "process.json"):
            (job.folder / name).unlink(missing_ok=True)
    advance()


def delete(job_id: str) -> None:
    """Remove an ended or waiting job with its folder; the checkpoint it made stays. Raises JobError while it runs."""
    with processes.alone(root() / ".lock"):
        job = find(job_id)
        if job.state == "running":
            raise JobError("This job is running; stop it before you delete it.")
        # Renamed first, so that it is gone at once and as a whole.
        doomed = root() / f".{job.id}.deleted"
        job.folder.replace(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return 0.0


def _signal(folder: Path, *, gently: bool) -> None:
    process = _read_json(folder / "process.json")
    if isinstance(process.get("pid"), int) and isinstance(process.get("born"), str):
        processes.end(process["pid"], process["born"], gently=gently)


def _spawn(job: Job) -> None:
    """Start the job's process, in a session of its own, so that no terminal or server takes it down."""
    # Two programs whose threads spin while they wait for each other take ten times as long: these sleep.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONUNBUFFERED": "1"}
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    with (job.folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "advcore", "train", "--job", str(job.folder.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))},
            start_new_session=True,
        )
    _claim(job.folder, process.pid)
    # Somebody must take the dead child's exit code, or it stays in the table of processes.
    threading.Thread(target=process.wait, daemon=True).start()


def _claim(folder: Path, pid: int) -> None:
    _write_json(folder / "process.json", {"pid": pid, "born": processes.birth(pid), "started": time.time()})


# --- in the job's own process ------------------------------------------------------------------------------------------------


class _Asked(BaseException):
    """The job was asked to stop while no step could be lost."""


class _Doorbell:
    """Remembers that somebody asked this process to end; once `eager`, it breaks off at once."""

    def __init__(self, folder: Path) -> None:
        self.file, self.rung, self.eager = folder / "stop", False, False

    def __enter__(self) -> _Doorbell:
        self.before = {kind: signal.signal(kind, self._ring) for kind in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in self.before.items():
            signal.signal(kind, handler)

    def _ring(self, *_: int | FrameType | None) -> None:
        self.rung = True
        if self.eager:
            raise _Asked

    def check(self) -> None:
        """Raise _Asked if somebody rang, or left the stop file (where processes get no signals)."""
        if self.rung or self.file.exists():
            raise _Asked


def run(folder: Path) -> int:
    """Carry out the job in `folder` in this process and write down how it ended; the exit code is 0 unless it failed."""
    folder = folder.resolve()
    if not (folder / "recipe.json").exists():
        raise JobError(f"{folder} holds no job; a job's folder has a recipe.json.")
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    # Taken from the queue by hand, the job has no process yet, or a dead one's.
    with processes.alone(folder.parent / ".lock"):
        job = read(folder)
        mine = _read_json(folder / "process.json").get("pid") == os.getpid()
        if job.state == "running" and not mine:
            raise JobError("This job is running in another process; stop that one first.")
        _claim(folder, os.getpid())
        (folder / "result.json").unlink(missing_ok=True)
    outcome = _outcome(folder)
    print(outcome["message"], flush=True)
    _write_json(folder / "result.json", outcome)
    advance()
    return 2 if outcome["state"] == "failed" else 0


def _outcome(folder: Path) -> dict[str, Any]:
    """Train, measure and save; whatever happens, a record of it."""
    try:
        with _Doorbell(folder) as bell:
            return _carry_out(folder, bell)
    except _Asked:
        return {"state": "stopped", "message": f"Stopped; {_kept(folder)}"}
    except Exception as error:
        traceback.print_exc()
        return {"state": "failed", "message": _why(error, folder)}


def _why(error: Exception, folder: Path) -> str:
    """What happened, in a sentence, and what of it is safe."""
    text = str(error).strip().splitlines()[0][:300] if str(error).strip() else ""
    if isinstance(error, AdvcoreError):
        return text
    number = error.errno if isinstance(error, OSError) else None
    if number in {errno.ENOSPC, errno.EDQUOT} or "os error 28" in text.lower() or "no space left" in text.lower():
        return f"The disk is full; free some space, then {_kept(folder)}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in text or "not enough memory" in text:
        return "There was not enough memory; choose a smaller batch or fewer images and start again."
    if isinstance(error, OSError):
        return f"{error.filename or 'A file'} cannot be used ({error.strerror or text}); {_kept(folder)}"
    return f"It ended with an error that nobody foresaw ({type(error).__name__}: {text}); {_kept(folder)}"


def _carry_out(folder: Path, bell: _Doorbell) -> dict[str, Any]:
    for leftover in folder.glob(".*.part"):  # half-written files of a process that was killed
        leftover.unlink(missing_ok=True)
    recipe = Recipe.from_json((folder / "recipe.json").read_text())
    if finished := _made_before(folder.name):
        return _success(finished, recipe)
    _keep_until(folder / "progress.jsonl", state_step(folder))
    device = pick_device()
    with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
        note = _writer(file.write, file.flush)
        note({"phase": "loading"})
        last = _train(recipe, folder, bell, note)
        bell.eager = True
        bell.check()
        note({"phase": "measuring", "done": 0.0})
        test = data.load(recipe.dataset, "test")
        watch = _thinned(lambda done: note({"phase": "measuring", "done": round(done, 3)}))
        metrics = figures.measure(recipe, last.model, test, device=device, watch=watch) | measure.watched(last.history)
        origin = measure.provenance(recipe, device, last.precision, last.seconds) | {"job": folder.name}
        bell.eager = False
        note({"phase": "saving"})
    with processes.alone(folder.parent / ".lock"):  # two jobs that end together do not take the same name
        path = checkpoints.free_path(recipe.checkpoint_id)
        names = test.class_names
        checkpoints.save(path, last.model, recipe, shape=test.shape, class_names=names, metrics=metrics, provenance=origin)
    (folder / STATE_FILE).unlink(missing_ok=True)
    return _success(checkpoints.read(path, own=True), recipe, last.warning)


def _train(recipe: Recipe, folder: Path, bell: _Doorbell, note: Callable[[dict[str, Any]], None]) -> Progress:
    """Train to the end; asked to stop, the state is saved first."""
    steps, shown, last = train(recipe, folder=folder), -math.inf, None
    try:
        for last in steps:
            if last.model is None and (last.evaluation or time.monotonic() - shown > _pause(last.seconds)):
                shown = time.monotonic()
                note(_record(last))
            if last.model is None:
                bell.check()
    finally:
        steps.close()
    assert last is not None
    assert last.model is not None
    return last


def _pause(seconds: float) -> float:
    """Seconds between two lines of progress: many at first, so that it feels alive, but never tens of thousands."""
    return min(10.0, max(0.25, seconds / 200))


def _record(now: Progress) -> dict[str, Any]:
    """A moment of training as a line of progress."""
    record: dict[str, Any] = {
        "phase": "training",
        "step": now.step,
        "steps": now.steps,
        "epoch": now.epoch,
        "loss": round(now.loss, 5),
        "images_per_second": round(now.images_per_second, 1),
        "seconds": round(now.seconds, 2),
        "seconds_left": round(now.seconds_left, 2),
    }
    if now.evaluation:
        record["evaluation"] = asdict(now.evaluation)
    if now.warning:
        record["warning"] = now.warning
    return record


def _writer(write: Callable[[str], object], flush: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    def note(record: dict[str, Any]) -> None:
        write(json.dumps(record) + "\n")
        flush()

    return note


def _thinned(watch: Callable[[float], None]) -> Callable[[float], None]:
    """`watch`, a few times a second at most."""
    told = -math.inf

    def sometimes(done: float) -> None:
        nonlocal told
        if time.monotonic() - told > 0.3:
            told = time.monotonic()
            watch(done)

    return sometimes


def _keep_until(path: Path, step: int) -> None:
    """Drop the progress that lies beyond the state: those steps are done again."""
    kept = [record for record in progress(path.parent) if record["phase"] == "training" and _step(record) <= step]
    text = "".join(json.dumps(record) + "\n" for record in kept)
    write_whole(path, text)


def _step(record: dict[str, Any]) -> float:
    step = record.get("step")
    return step if isinstance(step, int) else math.inf


def _made_before(job_id: str) -> checkpoints.Checkpoint | None:
    """The checkpoint this job has made already, if it was killed between saving it and saying so."""
    made = (item for item in checkpoints.catalog().values() if item.own and item.provenance.get("job") == job_id)
    return next(made, None)


def _success(made: checkpoints.Checkpoint, recipe: Recipe, warning: str | None = None) -> dict[str, Any]:
    found = made.metrics
    epsilon = recipe.epsilon or data.dataset(recipe.dataset).epsilon
    under = [(name, figures.accuracy_under(found, name, epsilon)) for name in ("FGSM", "PGD")]
    shown = ", ".join(f"{name} {share:.1%}" for name, share in under if share is not None)
    message = f"Finished: {found['clean']:.1%} right on clean test images, {shown} at ε = {epsilon:.3g}."
    return {"state": "finished", "message": f"{message} {warning or ''}".strip(), "checkpoint": made.id}


# --- files -------------------------------------------------------------------------------------------------------------------


def _read_json(path: Path) -> dict[str, Any]:
    """A small JSON object; empty when it is missing or none."""
    try:
        found = json.loads(path.read_bytes()[:100_000])
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_whole(path, json.dumps(values, ensure_ascii=False))
