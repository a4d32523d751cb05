"""A job in its own process: nothing is lost when it is stopped or killed, and its end is told in a sentence."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from advcore.evaluation import figures
from advcore.jobs import queue, worker
from advcore.models import checkpoints, storage
from advcore.recipe import Recipe
from advcore.training import loop
from advcore.training.state import state_step
from tests.advcore.jobs.folders import TINY, claim, make
from tests.makers import REPOSITORY, copy_of_this_process


def test_a_trainer_a_server_or_both_are_killed_and_the_job_ends_with_the_same_model(request: pytest.FixtureRequest) -> None:
    kills, recipe = request.config.getoption("kills"), replace(TINY, images=108, batch_size=32)
    words = [sys.executable, "-m", "tests.crashes", str(checkpoints.runs_root()), str(kills)]
    run = subprocess.run(
        words, cwd=REPOSITORY, input=recipe.to_json(), capture_output=True, text=True, timeout=60 + 20 * kills, check=False
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    whole, moments = told["whole"], told["kills"]
    assert len(moments) == kills
    assert {moment["who"] for moment in moments} == {"trainer", "server", "both"}
    for moment in moments:
        assert moment["killed"], moment
        if "state" in moment:  # before that, its server had made no job
            assert isinstance(moment["saved step"], int), moment
            assert moment["broken"] == []
            assert moment["state"] in {"queued", "failed", "finished"}, moment
        ended = moment["ended"]
        steps = ended.pop("steps")
        assert steps == sorted(set(steps) & {1, 2, 3, 4})
        assert len(steps) >= 3, "at most the line of a step that was saved before it was written down"
        assert ended == {name: whole[name] for name in ended}
    assert {moment.get("phase") for moment in moments} >= {"", "training", "saving"}
    assert len({moment.get("saved step") for moment in moments}) >= 4
    assert (whole["state"], whole["models"], whole["running"]) == ("finished", 1, False)
    assert whole["left"] == ["log.txt", "machine.json", "process.json", "progress.jsonl", "recipe.json", "result.json"]


def test_a_job_deletes_the_half_written_files_of_killed_processes() -> None:
    folder, models = make(), checkpoints.own_root() / "digits"
    models.mkdir(parents=True)
    mine, old, young = folder / ".a.part", models / ".b.part", models / ".c.part"
    for part in (mine, old, young):
        part.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    assert worker.run(folder) == 0
    assert young.exists(), "another process may still be writing it"
    assert not mine.exists()
    assert not old.exists()


GIVE_WAY = worker._give_way  # as it is before the fixture replaces it
FULL = OSError(errno.ENOSPC, "No space left on device", "state")
FULL_IN_RUST = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
NO_MEMORY_IN_TORCH = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 99 bytes.")
BOOM = ZeroDivisionError("division by zero")


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        (storage, FULL, "The disk is full; free some space"),
        (storage, FULL_IN_RUST, "The disk is full; free some space"),
        (loop.Trainer, MemoryError(), "not enough memory; choose a smaller batch"),
        (loop.Trainer, NO_MEMORY_IN_TORCH, "not enough memory; choose a smaller batch"),
        (loop.Trainer, BOOM, "ZeroDivisionError: division by zero"),
        (figures, BOOM, "ZeroDivisionError: division by zero"),
    ],
    ids=["disk", "disk, in Rust", "memory", "memory, in torch", "crash", "crash at the end"],
)
def test_an_unexpected_error_is_told_in_a_sentence(
    place: Any, error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    name = {storage: "write_safetensors", loop.Trainer: "advance", figures: "measure"}[place]
    monkeypatch.setattr(place, name, fail)
    folder = make()
    assert worker.run(folder) == 2
    job = queue.read(folder)
    assert job.state == "failed"
    assert words in job.message
    assert "\n" not in job.message
    assert job.resumable
    capfd.readouterr()
    if place is figures:  # what was trained is not lost
        assert state_step(folder) == 8


def test_a_full_disk_stops_the_lines_of_progress_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    monkeypatch.setattr(worker, "_drop_lines_after", lambda *_: None)
    folder = make()
    (folder / "progress.jsonl").symlink_to("/dev/full")
    assert worker.run(folder) == 2
    assert "The disk is full" in queue.read(folder).message


def test_a_diverging_job_says_so() -> None:
    folder = make(Recipe(dataset="digits", architecture="digits_cnn", optimizer="sgd", learning_rate=10.0, epochs=40))
    assert worker.run(folder) == 2
    assert "diverged" in queue.read(folder).message


HUGE = '{"dataset": "digits", "architecture": "lee_cnn", "epochs": 1e99}'


@pytest.mark.parametrize("recipe", ["", "{", "[]", '{"dataset": "digits"}', HUGE, "\x00", "[" * 10_000])
def test_an_unusable_recipe_fails_with_a_sentence(recipe: str) -> None:
    folder = make(recipe)
    job = queue.read(folder)
    assert job.state == "failed"
    assert not job.resumable
    assert worker.run(folder) == 2
    assert "recipe" in queue.read(folder).message.lower()
    queue.advance()
    assert not (folder / "log.txt").exists(), "nobody starts it"


def stop_at(phase: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, by_file: bool = False) -> None:
    """Ask this process to stop as soon as the job writes a line of that phase."""
    write = worker._Lines.write

    def asking(lines: worker._Lines, **record: Any) -> None:
        write(lines, **record)
        if lines.phase == phase:
            (folder / "stop").touch() if by_file else os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(worker._Lines, "write", asking)


@pytest.mark.parametrize(
    ("phase", "by_file"), [("loading", False), ("training", False), ("training", True), ("measuring", False)]
)
def test_asked_to_stop_it_saves_and_says_so(phase: str, by_file: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make()
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        stop_at(phase, folder, patched, by_file=by_file)
        assert worker.run(folder) == 0
    assert signal.getsignal(signal.SIGTERM) == before
    job = queue.read(folder)
    assert (job.state, job.checkpoint) == ("stopped", None)
    assert state_step(folder) == (8 if phase == "measuring" else 1)
    (folder / "stop").unlink(missing_ok=True)
    assert worker.run(folder) == 0
    done = queue.read(folder)
    assert done.state == "finished"
    steps = [line["step"] for line in queue.progress(folder) if line["phase"] == "training"]
    assert steps == sorted(set(steps))


def test_a_job_trains_in_the_precision_that_was_chosen_when_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "advance", lambda: None)
    monkeypatch.setattr(queue, "fastest_precision", lambda device: "bf16")
    folder = queue.start(TINY).folder
    monkeypatch.setattr(loop, "fastest_precision", lambda device: "fp32")  # as a busy machine may have it later
    assert worker.run(folder) == 0
    made = checkpoints.find(queue.read(folder).checkpoint)
    assert made.provenance["device"].endswith("bf16")


def test_a_job_that_saved_its_model_but_could_not_say_so_does_not_save_it_twice() -> None:
    folder = make()
    worker.run(folder)
    first = queue.read(folder).checkpoint
    (folder / "result.json").unlink()
    worker.run(folder)
    assert queue.read(folder).checkpoint == first
    assert len([item for item in checkpoints.catalog().values() if item.own]) == 1


@pytest.mark.parametrize("part", ["the header", "the weights"])
def test_a_job_whose_state_is_damaged_can_only_start_again(
    part: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(queue, "advance", lambda: None)
    folder = make()
    with monkeypatch.context() as patched:
        stop_at("training", folder, patched)
        worker.run(folder)
    path = folder / "state.safetensors"
    whole = bytearray(path.read_bytes())
    whole[9 if part == "the header" else -5] ^= 1
    path.write_bytes(whole)
    assert worker.run(folder) == 2
    job = queue.read(folder)
    assert (job.state, job.resumable, job.restartable) == ("failed", False, True)
    assert "Traceback" not in capfd.readouterr().err
    with pytest.raises(queue.JobError):
        queue.resume(folder.name)
    (folder / "process.json").unlink()  # it names this process, which must go on
    queue.start_again(folder.name)
    assert queue.read(folder).state == "queued"
    assert worker.run(folder) == 0
    assert queue.read(folder).state == "finished"


def test_the_state_is_kept_until_the_finished_model_was_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make()
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.headers.Header, "to_metadata", lambda header: {"advcore": "{}"})
        assert worker.run(folder) == 2
    assert queue.read(folder).resumable
    assert state_step(folder) == 8
    assert checkpoints.problems() == {}
    assert worker.run(folder) == 0
    assert not (folder / "state.safetensors").exists()


def test_a_job_is_carried_out_by_one_process_only(sleeper: subprocess.Popen[bytes]) -> None:
    folder = make()
    claim(folder, sleeper.pid)
    with pytest.raises(queue.JobError, match="another process"):
        worker.run(folder)
    with pytest.raises(queue.JobError, match="holds no job"):
        worker.run(folder.parent)


def test_progress_beyond_the_saved_step_is_dropped() -> None:
    folder = make()
    records = [{"phase": "loading"}, *({"phase": "training", "step": step} for step in (1, 5, 9, 12)), {"phase": "measuring"}]
    (folder / "progress.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    worker._drop_lines_after(folder, 9)
    assert [record.get("step") for record in queue.progress(folder)] == [1, 5, 9]


def test_long_runs_write_few_lines() -> None:
    assert worker._pause(1) == 0.25
    lines, seconds = 0, 0.0
    while seconds < 24 * 3600:
        seconds += worker._pause(seconds)
        lines += 1
    assert lines < 12_000


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="needs a Linux that groups processes by session")
@pytest.mark.parametrize("leads", [True, False])
def test_a_job_with_a_session_of_its_own_gives_way_to_other_sessions(leads: bool) -> None:
    def show() -> None:
        if not leads and os.fork():
            assert os.wait()[1] == 0
            return
        for change in (lambda: None, GIVE_WAY):
            change()
            print(Path("/proc/self/autogroup").read_text())

    # Not in a session of pytest's own: that one may be the system's first, which belongs to no group and shows nothing.
    child, shown = copy_of_this_process(show)
    with shown:
        groups = [line.split()[-1] for line in shown if line.strip()]
    assert os.waitpid(child, 0)[1] == 0
    if not groups:
        pytest.skip("this Linux shows no group of a session")
    assert groups == ["0", str(worker._NICENESS) if leads else "0"]
