"""The queue of trainings, as the pages see it.

A job's folder `jobs/ID` below the runs is the only record of it; every reader sees the same job:

    recipe.json        what to train
    machine.json       the precision to train it in, chosen when the job was made
    process.json       the process that does it
    visitor.json       the visitor of a public server whose job it is; without it, the job has no limits
    progress.jsonl     a line a quarter of a second, later fewer: step, loss, throughput, time left, held-out accuracies
    state.safetensors  from where training can be resumed
    stop               the job was asked to stop
    result.json        how it ended; a job without one and without a running process was ended from outside
    log.txt            what the process printed
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from advcore import data
from advcore.device import PRECISIONS, Precision, fastest_precision, pick_device
from advcore.errors import AdvcoreError, LimitError
from advcore.files import first_line, read_object, remove_parts
from advcore.jobs import limits, processes, turns
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training import estimate
from advcore.training.state import STATE_FILE, DamagedState, state_step

State = Literal["queued", "running", "stopped", "failed", "finished"]
_MAX_LINE = 10_000
_DELETED = ".deleted"
WRITING_SECONDS = 120.0
"""A half-written file that has not grown for this long was left by a killed process."""


class JobError(AdvcoreError):
    """There is no such job, or its state does not allow the action."""


@dataclass(frozen=True)
class Job:
    """A job as its folder shows it at one moment.

    `message` says in a sentence how it ended. `damaged` means that its saved state cannot be used, so that it must start
    again; `spent`, that it used up the time a visitor's job may take.
    """

    id: str
    folder: Path
    state: State
    recipe: Recipe | None
    message: str = ""
    checkpoint: str | None = None
    stopping: bool = False
    damaged: bool = False
    spent: bool = False

    @property
    def owner(self) -> str | None:
        """The visitor whose job it is; None on one's own machine, and for the host's."""
        return turns.owner(self.folder)

    @property
    def created(self) -> datetime.datetime:
        """When it was made, in local time."""
        return turns.made_at(self.id) or datetime.datetime.min

    @property
    def over(self) -> bool:
        """Whether nothing more happens unless it is resumed."""
        return self.state in {"stopped", "failed", "finished"}

    @property
    def resumable(self) -> bool:
        """Whether `resume` can continue it."""
        return self.state in {"stopped", "failed"} and self.recipe is not None and not self.damaged and not self.spent

    @property
    def restartable(self) -> bool:
        """Whether `start_again` can begin it again: its saved state is damaged."""
        return self.state in {"stopped", "failed"} and self.recipe is not None and self.damaged


def root() -> Path:
    """Where the jobs' folders are."""
    return checkpoints.runs_root() / "jobs"


# --- looking at jobs -----------------------------------------------------------------------------------------------------


def listing(owner: str | None = None) -> list[Job]:
    """Every job, or every job of the visitor `owner`, the newest first."""
    return [read(folder) for folder in reversed(turns.folders(root())) if owner in (None, turns.owner(folder))]


def find(job_id: str, owner: str | None = None) -> Job:
    """The job with that id; raises JobError when there is none, or when it is not the visitor `owner`'s.

    Only an id of the queue's own form becomes a path.
    """
    folder = root() / job_id if turns.made_at(job_id) else None
    if folder is None or not folder.is_dir() or owner not in (None, turns.owner(folder)):
        raise JobError(f"There is no job '{job_id[:40]}'; it may have been deleted.")
    return read(folder)


def read(folder: Path) -> Job:
    """The job in `folder` in its present state."""
    try:
        recipe, trouble = Recipe.from_json((folder / "recipe.json").read_text()), ""
    except (OSError, ValueError) as error:
        recipe, trouble = None, f"Its recipe cannot be read ({first_line(error).rstrip('.')}); delete this job."
    # First the process, then the result: a process that ends in between has left its result.
    alive, stopping = processes.running(folder) is not None, (folder / "stop").exists()
    result = read_object(folder / "result.json")
    if result:
        state = result["state"] if result.get("state") in ("stopped", "failed", "finished") else "failed"
        checkpoint = result.get("checkpoint")
        checkpoint = checkpoint if isinstance(checkpoint, str) else None
        message = str(result.get("message", ""))
        marks = {name: result.get(name) is True for name in ("damaged", "spent")}
        return Job(folder.name, folder, state, recipe, message, checkpoint, **marks)
    if alive:
        return Job(folder.name, folder, "running", recipe, stopping=stopping)
    if recipe is None:
        return Job(folder.name, folder, "failed", None, trouble)
    if stopping:
        return Job(folder.name, folder, "stopped", recipe, f"Stopped; {kept(folder)}", damaged=_damaged(folder))
    if (folder / "process.json").exists():
        return Job(folder.name, folder, "failed", recipe, _how_it_died(folder), damaged=_damaged(folder))
    return Job(folder.name, folder, "queued", recipe)


def precision(folder: Path) -> Precision | None:
    """The precision that the job in `folder` trains in; None if it was made without one."""
    return next((known for known in PRECISIONS if known == read_object(folder / "machine.json").get("precision")), None)


def progress(folder: Path) -> list[dict[str, Any]]:
    """The progress of the job in `folder`, oldest first: `phase` and, while it trains, the fields of `training.Progress`.

    Incomplete lines, which a killed process may leave, are left out.
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
    """The last lines of what the process of the job in `folder` printed, without this machine's folders."""
    try:
        with (folder / "log.txt").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(without_places(text).splitlines()[-lines:])


def without_places(text: str) -> str:
    """The text without the folders of this machine: files below them keep the rest of their path."""
    here = {checkpoints.runs_root(): "runs", data.data_root(): "data", Path(__file__).parents[2]: ".", Path.home(): "~"}
    here |= {checkpoints.shipped_root(): "checkpoints", Path(sys.prefix): "python", Path(sys.base_prefix): "python"}
    here |= {Path(tempfile.gettempdir()): "temporary"}
    for place, name in sorted(((str(place.resolve()), name) for place, name in here.items()), key=lambda pair: -len(pair[0])):
        text = text.replace(f"{place}{os.sep}", f"{name}/").replace(place, name) if len(place) > 1 else text
    return text


def kept(folder: Path) -> str:
    """What of the training is saved, as the end of a sentence."""
    if _damaged(folder):
        return "its saved state is damaged, so it can only start again."
    step = state_step(folder)
    return f"resuming continues from step {step}." if step else "resuming starts it from the beginning."


def _damaged(folder: Path) -> bool:
    """Whether the header of the saved state cannot be read. Damage to its weights is found only when the job is resumed."""
    try:
        state_step(folder)
    except DamagedState:
        return True
    return False


def _how_it_died(folder: Path) -> str:
    """How a process ended that wrote no result: it crashed before that, or it was killed."""
    tail = log_tail(folder, 1)
    if "Error" in tail:
        return f"It crashed ({tail.strip()[:200]}); {kept(folder)}"
    return f"It was ended from outside: killed, out of memory, or the machine went off; {kept(folder)}"


# --- changing them -------------------------------------------------------------------------------------------------------


def tidy(now: float | None = None) -> None:
    """Delete half-written files of killed processes, and old jobs and models of visitors; at most once in ten minutes."""
    _tidied(int((now or time.time()) // 600))


@functools.lru_cache(maxsize=1)
def _tidied(now: int) -> None:
    remove_parts(checkpoints.runs_root(), WRITING_SECONDS)
    _forget_visitors(600 * now - 3600 * limits.TRAINING.hours_kept)


def _forget_visitors(before: float) -> None:
    """Delete what visitors of a public server made before that time (seconds): models, and jobs that do not run."""
    with turns.lock(root()) if root().is_dir() else contextlib.nullcontext():
        for folder in root().glob("*"):
            made = turns.made_at(folder.name.removeprefix(".").removesuffix(_DELETED))
            if made and made.timestamp() < before and turns.owner(folder) and not turns.is_running(folder):
                shutil.rmtree(folder, ignore_errors=True)
    for item in checkpoints.catalog().values():
        with contextlib.suppress(OSError):
            if item.visitor and item.path.stat().st_mtime < before:
                item.path.unlink()


def advance() -> None:
    """Start waiting jobs while there is room."""
    turns.advance(root())


def start(recipe: Recipe, owner: str | None = None) -> Job:
    """Make a job of the recipe and start it, now or when its turn comes. Raises AdvcoreError when its data is missing.

    For a visitor `owner` of a public server it also raises LimitError when the job exceeds a visitor's limits, and finds no
    model of another visitor.
    """
    data.find(recipe.dataset, "train")
    data.find(recipe.dataset, "test")
    for needed in (recipe.warm_start, recipe.teacher):
        if needed:
            checkpoints.find(needed, checkpoints.visible(checkpoints.catalog(), owner))
    if owner is not None:
        check(recipe)
    root().mkdir(parents=True, exist_ok=True)
    job_id = datetime.datetime.now().strftime(turns.STAMP)
    # Renamed when complete, so that no reader sees half a job.
    making = root() / f".{job_id}"
    making.mkdir()
    try:
        (making / "recipe.json").write_text(recipe.to_json())
        chosen = {"precision": fastest_precision(pick_device().type)}
        (making / "machine.json").write_text(json.dumps(chosen))
        with turns.lock(root()):
            if owner is not None:
                check_room(owner)
                (making / "visitor.json").write_text(json.dumps({"owner": owner}))
            making.replace(root() / job_id)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    advance()
    return find(job_id)


def check(recipe: Recipe) -> None:
    """Raise LimitError when the training of this recipe exceeds the limits of a visitor of a public server."""
    allowed = limits.TRAINING
    operations, weights = estimate.work(recipe)
    if operations > allowed.operations:
        raise LimitError(
            f"This training takes {operations / allowed.operations:.2g} times the work that this server allows a visitor; take "
            "fewer images, fewer epochs or a smaller network."
        )
    if weights > allowed.weights:
        raise LimitError(
            f"This network has {weights / 1e6:.0f} million weights; this server allows a visitor {allowed.weights / 1e6:.0f} "
            "million. Take a smaller one."
        )
    if recipe.batch_size > allowed.batch:
        raise LimitError(f"This server allows a visitor batches of up to {allowed.batch} images; take smaller ones.")


def check_room(owner: str, *, jobs: bool = True) -> None:
    """Raise LimitError when a visitor has no room for another job, or (without `jobs`) for another model."""
    allowed, sizes, every = limits.TRAINING, disk(), listing() if jobs else []
    if sum(job.owner == owner and not job.over for job in every) >= allowed.unfinished:
        raise LimitError("You have a training that runs and one that waits; stop one of them first.")
    if (waiting := sum(job.state == "queued" for job in every)) >= allowed.waiting_together:
        raise LimitError(f"{waiting} trainings wait on this server, as many as it takes; try again later.")
    if sizes.get(owner, 0) >= allowed.disk:
        raise LimitError(
            f"Your trainings and models fill the {allowed.disk // limits.MIB} MiB that are yours here; delete some first."
        )
    if sum(sizes.values()) >= allowed.disk_together:
        raise LimitError("The trainings and models of all visitors fill this server's disk; try again tomorrow.")


def disk() -> dict[str, int]:
    """The bytes that the jobs and the models of each visitor of a public server take."""
    sizes: dict[str, int] = {}
    for folder in turns.folders(root()):
        if owner := turns.owner(folder):
            sizes[owner] = sizes.get(owner, 0) + sum(_size(file) for file in folder.rglob("*"))
    for item in checkpoints.catalog().values():
        if item.visitor:
            sizes[item.visitor] = sizes.get(item.visitor, 0) + _size(item.path)
    return sizes


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # deleted in the meantime
        return 0


# In the functions below, `owner` is the visitor of a public server, who reaches only their own jobs; None reaches all.


def stop(job_id: str, owner: str | None = None) -> None:
    """Ask a job to save its state and end; a waiting one is taken out of the queue. Ended ones stay as they are."""
    with turns.lock(root()):
        job = find(job_id, owner)
        if not job.over and not job.stopping:
            (job.folder / "stop").touch()
            processes.end(job.folder, gently=True)
    advance()


def resume(job_id: str, owner: str | None = None) -> None:
    """Put a stopped or failed job back into the queue; it continues from its state."""
    _again(job_id, owner, lambda job: job.resumable)


def start_again(job_id: str, owner: str | None = None) -> None:
    """Put a job whose saved state is damaged back into the queue, without that state: it starts from the beginning."""
    _again(job_id, owner, lambda job: job.restartable, STATE_FILE)


def _again(job_id: str, owner: str | None, allowed: Callable[[Job], bool], *dropped: str) -> None:
    with turns.lock(root()):
        job = find(job_id, owner)
        if owner is not None:
            check_room(owner)
        if not allowed(job):
            raise JobError(f"This job is {job.state} and cannot be resumed{' from what it saved' if job.damaged else ''}.")
        processes.end(job.folder, gently=False)  # the process may run a moment longer after it wrote its result
        for name in (*dropped, "stop", "result.json", "process.json"):
            (job.folder / name).unlink(missing_ok=True)
    advance()


def delete(job_id: str, owner: str | None = None) -> None:
    """Remove an ended or waiting job; the checkpoint it made stays. Raises JobError while it runs.

    `restore` can undo the last deletion: the folder is kept, hidden, until the next one.
    """
    with turns.lock(root()):
        job = find(job_id, owner)
        if job.state == "running":
            raise JobError("This job is running; stop it before you delete it.")
        for earlier in root().glob(f".*{_DELETED}"):
            if turns.owner(earlier) == job.owner:
                shutil.rmtree(earlier, ignore_errors=True)
        job.folder.replace(_deleted(job.id))


def restore(job_id: str, owner: str | None = None) -> None:
    """Undo the last deletion; raises JobError when the job is no longer there. A waiting job waits again."""
    with turns.lock(root()):
        there = bool(turns.made_at(job_id)) and _deleted(job_id).is_dir()
        if not there or owner not in (None, turns.owner(_deleted(job_id))):
            raise JobError("This training can no longer be restored; only the last deletion can be undone.")
        if owner is not None and turns.is_waiting(_deleted(job_id)):
            check_room(owner)
        _deleted(job_id).replace(root() / job_id)
    advance()


def _deleted(job_id: str) -> Path:
    """Where the folder of a deleted job is."""
    return root() / f".{job_id}{_DELETED}"
