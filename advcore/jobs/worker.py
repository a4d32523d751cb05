"""A job in its own process: train, measure, save, and record how it ended."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import signal
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import torch

from advcore import data
from advcore.device import pick_device
from advcore.errors import AdvcoreError
from advcore.evaluation import figures
from advcore.files import first_line, remove_parts, write_whole
from advcore.images.child import limit_memory
from advcore.jobs import limits, processes, turns
from advcore.jobs.queue import WRITING_SECONDS, JobError, kept, precision, progress, read
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training import measure
from advcore.training.loop import Progress, train
from advcore.training.state import STATE_FILE, DamagedState, state_step

_NICENESS = 5  # the pages of the server that started the job must answer quickly


class _StopRequested(BaseException):
    """The job was asked to stop, between two steps."""


class _StopSignals:
    """Records that this process was asked to end; once `at_once` is set, a signal interrupts it where it is.

    After `seconds` the process asks itself to end, and `spent` is true.
    """

    def __init__(self, folder: Path, seconds: float = threading.TIMEOUT_MAX) -> None:
        self.file, self.received, self.at_once, self.spent = folder / "stop", False, False, False
        self.timer = threading.Timer(seconds, self._end)
        self.timer.daemon = True

    def _end(self) -> None:
        self.spent = True
        os.kill(os.getpid(), signal.SIGTERM)

    def __enter__(self) -> None:
        self.before = {kind: signal.signal(kind, self._receive) for kind in (signal.SIGTERM, signal.SIGINT)}
        self.timer.start()

    def __exit__(self, *_: object) -> None:
        self.timer.cancel()
        for kind, handler in self.before.items():
            signal.signal(kind, handler)

    def _receive(self, *_: int | FrameType | None) -> None:
        self.received = True
        if self.at_once:
            raise _StopRequested

    def check(self) -> None:
        """Raise _StopRequested after a signal, or when the stop file exists (Windows has no such signals)."""
        if self.received or self.file.exists():
            raise _StopRequested


class _Lines:
    """Writes the lines of `progress.jsonl`."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.phase, self.shown = file, "", -math.inf

    def write(self, *, phase: str, pause: float = 0.0, **record: Any) -> None:
        """Add a line unless the last one is of the same phase and less than `pause` seconds old."""
        if phase == self.phase and time.monotonic() - self.shown < pause:
            return
        self.file.write(json.dumps({"phase": phase} | record) + "\n")
        self.file.flush()
        self.phase, self.shown = phase, time.monotonic()


def _give_way() -> None:
    """Let other processes run first.

    Where Linux groups the processes of each session (autogroup), niceness counts within a group alone and the groups share
    equally: a job that leads its session gives its whole group the niceness.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    with contextlib.suppress(OSError, AttributeError):
        if os.getsid(0) == os.getpid():
            _nice_group()


def _nice_group() -> None:
    for _ in range(10):
        # Linux refuses a second such write within a tenth of a second, whoever made the first.
        with contextlib.suppress(BlockingIOError):
            Path("/proc/self/autogroup").write_text(str(_NICENESS))
            return
        time.sleep(0.1)


def run(folder: Path) -> int:
    """Carry out the job in `folder` in this process and record how it ended; the exit code is 0, or 2 when it failed.

    Raises JobError when there is no job, or when another process carries it out.
    """
    folder = folder.resolve()
    if not (folder / "recipe.json").exists():
        raise JobError(f"{folder} holds no job; a job's folder has a recipe.json.")
    _give_way()
    if turns.owner(folder) and pick_device().type == "cpu":
        limit_memory(limits.TRAINING.memory)
    with turns.lock(folder.parent):
        other = processes.running(folder)
        if other is not None and other.pid != os.getpid() and read(folder).state == "running":
            raise JobError("This job is running in another process; stop that one first.")
        # A job that is started by hand has no process yet, or that of an earlier attempt.
        processes.record(folder, os.getpid())
        (folder / "result.json").unlink(missing_ok=True)
    result = _result(folder)
    print(result["message"], flush=True)
    write_whole(folder / "result.json", json.dumps(result, ensure_ascii=False))
    turns.advance(folder.parent)
    return 2 if result["state"] == "failed" else 0


def _result(folder: Path) -> dict[str, Any]:
    """Train, measure and save; what `result.json` holds, however the job ends."""
    signals = _StopSignals(folder, _seconds_left(folder))
    try:
        with signals:
            return _carry_out(folder, signals)
    except _StopRequested:
        if signals.spent:
            (folder / STATE_FILE).unlink(missing_ok=True)
            words = f"It was ended after the {limits.TRAINING.minutes} minutes that a training may take on this server."
            return {"state": "failed", "message": words, "spent": True}
        return {"state": "stopped", "message": f"Stopped; {kept(folder)}"}
    except DamagedState as error:
        return {"state": "failed", "message": str(error), "damaged": True}
    except AdvcoreError as error:  # expected: its message needs no traceback
        return {"state": "failed", "message": _reason(error, folder)}
    except Exception as error:
        traceback.print_exc()
        return {"state": "failed", "message": _reason(error, folder)}


def _seconds_left(folder: Path) -> float:
    """How many seconds the job may still take after its earlier attempts; without end for one that is not a visitor's."""
    if turns.owner(folder) is None:
        return threading.TIMEOUT_MAX
    spent = [record["seconds"] for record in progress(folder) if isinstance(record.get("seconds"), int | float)]
    return max(0.0, 60 * limits.TRAINING.minutes - max(spent, default=0.0))


def _reason(error: Exception, folder: Path) -> str:
    """What happened and what was kept, as a sentence."""
    text = first_line(error, 300)
    if isinstance(error, AdvcoreError):
        return text
    number = error.errno if isinstance(error, OSError) else None
    if number in {errno.ENOSPC, errno.EDQUOT} or "os error 28" in text.lower() or "no space left" in text.lower():
        return f"The disk is full; free some space, then {kept(folder)}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in text or "not enough memory" in text:
        return "There was not enough memory; choose a smaller batch or fewer images and start again."
    if isinstance(error, OSError):
        return f"{error.filename or 'A file'} cannot be used ({error.strerror or text}); {kept(folder)}"
    return f"It ended with an unexpected error ({type(error).__name__}: {text}); {kept(folder)}"


def _carry_out(folder: Path, signals: _StopSignals) -> dict[str, Any]:
    remove_parts(folder, 0)  # no other process writes there
    remove_parts(checkpoints.runs_root(), WRITING_SECONDS)
    recipe = Recipe.from_json((folder / "recipe.json").read_text())
    if finished := _made_before(folder.name):
        (folder / STATE_FILE).unlink(missing_ok=True)
        return _finished(finished, recipe)
    _drop_lines_after(folder, state_step(folder))
    device = pick_device()
    with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
        lines = _Lines(file)
        lines.write(phase="loading")
        last = _train(recipe, folder, signals, lines)
        signals.at_once = True
        signals.check()
        lines.write(phase="measuring", done=0.0)
        test = data.load(recipe.dataset, "test")
        metrics = figures.measure(
            recipe,
            last.model,
            test,
            device=device,
            watch=lambda done: lines.write(pause=0.3, phase="measuring", done=round(done, 3)),
        )
        metrics |= measure.watched(last.history)
        origin = measure.provenance(recipe, device, last.precision, last.seconds) | {"job": folder.name}
        if owner := turns.owner(folder):  # a visitor does not learn which machine this is
            origin |= {"device": "a public server", "visitor": owner}
        signals.at_once = False
        lines.write(phase="saving")
    facts = {"shape": test.shape, "class_names": test.class_names, "metrics": metrics, "provenance": origin}
    made = checkpoints.add(recipe.checkpoint_id, last.model, recipe, **facts)
    (folder / STATE_FILE).unlink(missing_ok=True)
    return _finished(made, recipe, last.warning)


def _train(recipe: Recipe, folder: Path, signals: _StopSignals, lines: _Lines) -> Progress:
    """Train to the end; when asked to stop, the state is saved first."""
    with contextlib.closing(train(recipe, folder=folder, precision=precision(folder))) as steps:
        for now in steps:
            if now.model is not None:
                return now
            lines.write(pause=0.0 if now.evaluation else _pause(now.seconds), **_line(now))
            signals.check()
    raise AssertionError("a training ends with its model")


def _pause(seconds: float) -> float:
    """Seconds between two lines of progress: 0.25 at first, up to 10 later, so that the file stays short."""
    return min(10.0, max(0.25, seconds / 200))


def _line(now: Progress) -> dict[str, Any]:
    """A moment of training as a line of progress."""
    names = ("step", "steps", "epoch", "loss", "images_per_second", "seconds", "seconds_left")
    line: dict[str, Any] = {"phase": "training", **{name: round(getattr(now, name), 5) for name in names}}
    if now.evaluation:
        line["evaluation"] = asdict(now.evaluation)
    if now.warning:
        line["warning"] = now.warning
    return line


def _drop_lines_after(folder: Path, step: int) -> None:
    """Keep the progress up to the saved state: the steps after it are repeated."""
    records = [record for record in progress(folder) if record["phase"] == "training"]
    kept = [record for record in records if isinstance(record.get("step"), int) and record["step"] <= step]
    write_whole(folder / "progress.jsonl", "".join(json.dumps(record) + "\n" for record in kept))


def _made_before(job_id: str) -> checkpoints.Checkpoint | None:
    """The checkpoint of this job, if it was killed after saving it and before writing its result."""
    made = (item for item in checkpoints.catalog().values() if item.own and item.provenance.get("job") == job_id)
    return next(made, None)


def _finished(made: checkpoints.Checkpoint, recipe: Recipe, warning: str | None = None) -> dict[str, Any]:
    found, epsilon = made.metrics, recipe.epsilon or data.dataset(recipe.dataset).epsilon
    under = [(name, figures.accuracy_under(found, name, epsilon)) for name in ("FGSM", "PGD")]
    shown = ", ".join(f"{name} {100 * share:.1f} %" for name, share in under if share is not None)
    message = f"Finished: {100 * found['clean']:.1f} % right on clean test images, {shown} at ε = {epsilon:.3g}."
    return {"state": "finished", "message": f"{message} {warning or ''}".strip(), "checkpoint": made.id}
