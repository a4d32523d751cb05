"""Jobs: processes of their own, of which nothing is lost and about whose end there is always a sentence."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from advcore.errors import AdvcoreError
from advcore.evaluation import figures
from advcore.jobs import processes, queue
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training import loop
from tests.makers import REPOSITORY

TINY = Recipe(
    dataset="digits",
    architecture="digits_cnn",
    images=300,
    held_out=44,
    batch_size=64,
    epochs=2,
    evaluations=2,
    defense="fgsm",
    epsilon=0.2,
)
LONG = Recipe(dataset="digits", architecture="digits_cnn", epochs=2000, held_out=40, evaluations=1000)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("ADVCORE_JOBS", raising=False)
    monkeypatch.setattr(os, "setpriority", lambda *_: None)  # a job run in the tests' own process leaves its pace alone
    monkeypatch.setattr(figures, "PGD_IMAGES", 40)


def until(happened: Callable[[], Any], what: str, seconds: float = 90) -> Any:
    """Wait for it; the value that made it true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := happened():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s: {[(job.state, job.message) for job in queue.listing()]}")


def make(recipe: Recipe | str = TINY, number: int = 0) -> Path:
    """A job's folder as `start` makes it, not started."""
    folder = queue.root() / f"20260102-030405-{number:06}"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(recipe if isinstance(recipe, str) else recipe.to_json())
    return folder


@pytest.fixture
def sleeper() -> Any:
    """A process that takes no notice of being asked to end."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def claim(folder: Path, pid: int, born: str | None = None) -> None:
    (folder / "process.json").write_text(json.dumps({"pid": pid, "born": born or processes.birth(pid)}))


# --- real processes ----------------------------------------------------------------------------------------------------------


def test_jobs_wait_for_each_other_stop_resume_and_finish() -> None:
    first, second = queue.start(LONG), queue.start(TINY)
    assert (queue.find(first.id).state, queue.find(second.id).state) == ("running", "queued")
    with pytest.raises(queue.JobError, match="stop it before"):
        queue.delete(first.id)
    until(lambda: [line for line in queue.progress(first.folder) if line["phase"] == "training"], "training")
    queue.stop(first.id)
    assert queue.find(first.id).stopping or queue.find(first.id).over
    # From here on nobody looks at the queue: the ending job starts the next one itself.
    until(lambda: (first.folder / "result.json").exists(), "stopping")
    stopped = queue.find(first.id)
    assert stopped.state == "stopped"
    step = loop.state_step(first.folder)
    assert step > 0
    assert f"from step {step}" in stopped.message
    until(lambda: (second.folder / "result.json").exists(), "the second job")
    done = queue.find(second.id)
    assert done.state == "finished", done.message
    made = checkpoints.find(done.checkpoint)
    assert (made.own, made.recipe, made.provenance["job"]) == (True, TINY, second.id)
    assert f"{made.metrics['clean']:.1%}" in done.message
    assert not (second.folder / loop.STATE_FILE).exists()
    assert {line["phase"] for line in queue.progress(second.folder)} == {"loading", "training", "measuring", "saving"}

    queue.resume(first.id)
    until(lambda: [line for line in queue.progress(first.folder) if line.get("step", 0) > step], "going on")
    steps = [line["step"] for line in queue.progress(first.folder) if line["phase"] == "training"]
    assert steps == sorted(set(steps))
    pid = json.loads((first.folder / "process.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: queue.find(first.id).over, "its death being seen")
    killed = queue.find(first.id)
    assert killed.state == "failed"
    assert "ended from outside" in killed.message
    assert killed.resumable
    queue.delete(first.id)
    assert [job.id for job in queue.listing()] == [second.id]
    assert done.checkpoint in checkpoints.catalog()


def test_a_job_outlives_the_process_that_started_it() -> None:
    code = (
        "import sys; from advcore.jobs import queue; from advcore.recipe import Recipe; "
        "print(queue.start(Recipe.from_json(sys.argv[1])).id)"
    )
    starter = subprocess.run(
        [sys.executable, "-c", code, TINY.to_json()], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=90
    )
    job_id = starter.stdout.strip()
    assert queue.find(job_id).state == "running"
    pid = json.loads((queue.find(job_id).folder / "process.json").read_text())["pid"]
    assert os.getsid(pid) == pid, "it has a session of its own"
    until(lambda: queue.find(job_id).over, "the end")
    assert queue.find(job_id).state == "finished", queue.find(job_id).message


def test_kill_at_random_moments_and_nothing_breaks(tmp_path: Path) -> None:
    kills = 20
    recipe = replace(TINY, images=108, batch_size=32)
    folder = make(recipe)
    run = subprocess.run(
        [sys.executable, "-m", "tests.killer", str(folder), str(kills), "7"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["code"] == 0, (folder / "log.txt").read_text()
    assert len(told["kills"]) == kills
    for moment in told["kills"]:
        assert isinstance(moment["saved step"], int), moment
        assert moment["broken"] == []
        assert moment["state"] in {"queued", "failed", "finished"}
    assert len({moment["phase"] for moment in told["kills"]}) >= 3, "kills fell into several phases"
    assert len({moment["saved step"] for moment in told["kills"]}) >= 3
    assert told["steps"] == sorted(set(told["steps"]))
    assert told["left"] == ["log.txt", "process.json", "progress.jsonl", "recipe.json", "result.json"]
    (made,) = [item for item in checkpoints.catalog().values() if item.own]
    *_, never_stopped = loop.train(recipe, device=torch.device("cpu"), precision="fp32")
    place = tmp_path / "digits" / "whole.safetensors"
    names = made.class_names
    checkpoints.save(place, never_stopped.model, recipe, shape=made.shape, class_names=names, metrics={}, provenance={})
    one, other = (checkpoints.read_safetensors(path)[0] for path in (made.path, place))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


# --- how it ended, in a sentence ---------------------------------------------------------------------------------------------


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "state")


def full_in_rust(*_: object, **__: object) -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def no_memory(*_: object, **__: object) -> None:
    raise MemoryError


def no_memory_in_torch(*_: object, **__: object) -> None:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried 99 bytes.")


def boom(*_: object, **__: object) -> None:
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize(
    ("place", "accident", "words"),
    [
        (checkpoints, full, "The disk is full; free some space"),
        (checkpoints, full_in_rust, "The disk is full; free some space"),
        (loop.Trainer, no_memory, "not enough memory; choose a smaller batch"),
        (loop.Trainer, no_memory_in_torch, "not enough memory; choose a smaller batch"),
        (loop.Trainer, boom, "ZeroDivisionError: division by zero"),
        (figures, boom, "ZeroDivisionError: division by zero"),
    ],
    ids=["disk", "disk, in Rust", "memory", "memory, in torch", "crash", "crash at the end"],
)
def test_an_accident_is_told_in_a_sentence(
    place: Any, accident: Callable[..., None], words: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name = {checkpoints: "write_safetensors", loop.Trainer: "advance", figures: "measure"}[place]
    monkeypatch.setattr(place, name, accident)
    folder = make()
    assert queue.run(folder) == 2
    job = queue.read(folder)
    assert job.state == "failed"
    assert words in job.message
    assert "\n" not in job.message
    assert job.resumable
    capfd.readouterr()
    monkeypatch.undo()
    monkeypatch.setattr(figures, "PGD_IMAGES", 40)
    if place is figures:  # what was trained is not lost
        assert loop.state_step(folder) == 8


def test_a_full_disk_stops_the_lines_of_progress_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    monkeypatch.setattr(queue, "_keep_until", lambda *_: None)
    folder = make()
    (folder / "progress.jsonl").symlink_to("/dev/full")
    assert queue.run(folder) == 2
    assert "The disk is full" in queue.read(folder).message


def test_a_diverging_job_says_so() -> None:
    folder = make(Recipe(dataset="digits", architecture="digits_cnn", optimizer="sgd", learning_rate=10.0, epochs=40))
    assert queue.run(folder) == 2
    assert "diverged" in queue.read(folder).message


@pytest.mark.parametrize(
    "recipe",
    [
        "",
        "{",
        "[]",
        '{"dataset": "digits"}',
        '{"dataset": "digits", "architecture": "lee_cnn", "epochs": 1e99}',
        "\x00",
        "[" * 10_000,
    ],
)
def test_a_recipe_that_is_none_fails_with_a_sentence(recipe: str) -> None:
    folder = make(recipe)
    job = queue.read(folder)
    assert job.state == "failed"
    assert not job.resumable
    assert queue.run(folder) == 2
    assert "recipe" in queue.read(folder).message.lower()
    queue.advance()
    assert not (folder / "log.txt").exists(), "nobody starts it"


def test_a_job_without_its_data_is_not_started() -> None:
    for recipe in (
        Recipe(dataset="mnist", architecture="lee_cnn"),
        Recipe(dataset="digits", architecture="digits_cnn", warm_start="digits/nobody"),
        Recipe(dataset="digits", architecture="digits_cnn", defense="distill", teacher="../../../etc/passwd"),
    ):
        with pytest.raises(AdvcoreError):
            queue.start(recipe)
    assert queue.listing() == []


def test_a_job_without_a_result_and_without_a_process_was_ended_from_outside(tmp_path: Path) -> None:
    folder = make()
    assert queue.read(folder).state == "queued"
    claim(folder, os.getpid())
    assert queue.read(folder).state == "running"
    claim(folder, os.getpid(), born="long ago")
    job = queue.read(folder)
    assert job.state == "failed", "another process has this number now"
    assert "ended from outside" in job.message
    (folder / "log.txt").write_text("Traceback\n  File x\nImportError: no module named torch\n")
    assert "ImportError: no module named torch" in queue.read(folder).message
    (folder / "stop").touch()
    assert queue.read(folder).state == "stopped"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"pid": "1", "born": 2}', '{"pid": true}', '{"pid": -1, "born": null}', "\xff\xfe"]
)
def test_a_strange_process_file_is_a_dead_process(text: str) -> None:
    folder = make()
    (folder / "process.json").write_text(text)
    assert queue.read(folder).state == "failed"
    queue.stop(folder.name)
    assert queue.read(folder).state == "failed"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"state": "flying"}', '{"state": "finished", "checkpoint": ["x"], "message": 7}']
)
def test_a_strange_result_breaks_nothing(text: str) -> None:
    folder = make()
    (folder / "result.json").write_text(text)
    job = queue.read(folder)
    assert job.state in {"queued", "failed", "finished"}
    assert isinstance(job.message, str)
    assert job.checkpoint is None


# --- stopping a process that is asked from outside ---------------------------------------------------------------------------


def ring_at(phase: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, by_file: bool = False) -> None:
    """Ask this process to stop as soon as the job writes a line of that phase."""
    writer = queue._writer

    def listening(*files: Any) -> Callable[[dict[str, Any]], None]:
        note = writer(*files)

        def ring(record: dict[str, Any]) -> None:
            note(record)
            if record["phase"] == phase:
                (folder / "stop").touch() if by_file else os.kill(os.getpid(), signal.SIGTERM)

        return ring

    monkeypatch.setattr(queue, "_writer", listening)


@pytest.mark.parametrize(
    ("phase", "by_file"), [("loading", False), ("training", False), ("training", True), ("measuring", False)]
)
def test_asked_to_stop_it_saves_and_says_so(phase: str, by_file: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make()
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        ring_at(phase, folder, patched, by_file=by_file)
        assert queue.run(folder) == 0
    assert signal.getsignal(signal.SIGTERM) == before
    job = queue.read(folder)
    assert (job.state, job.checkpoint) == ("stopped", None)
    assert loop.state_step(folder) == (8 if phase == "measuring" else 1)
    (folder / "stop").unlink(missing_ok=True)
    assert queue.run(folder) == 0
    done = queue.read(folder)
    assert done.state == "finished"
    steps = [line["step"] for line in queue.progress(folder) if line["phase"] == "training"]
    assert steps == sorted(set(steps))


def test_a_job_that_saved_its_model_but_could_not_say_so_does_not_save_it_twice() -> None:
    folder = make()
    queue.run(folder)
    first = queue.read(folder).checkpoint
    (folder / "result.json").unlink()
    queue.run(folder)
    assert queue.read(folder).checkpoint == first
    assert len([item for item in checkpoints.catalog().values() if item.own]) == 1


def test_a_job_is_carried_out_by_one_process_only(sleeper: subprocess.Popen[bytes]) -> None:
    folder = make()
    claim(folder, sleeper.pid)
    with pytest.raises(queue.JobError, match="another process"):
        queue.run(folder)
    with pytest.raises(queue.JobError, match="holds no job"):
        queue.run(folder.parent)


# --- the queue ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs that would have been started: they seem to run in this process."""
    started: list[str] = []

    def spawn(job: queue.Job) -> None:
        time.sleep(0.02)  # time enough for another server to do the same
        started.append(job.id)
        claim(job.folder, os.getpid())

    monkeypatch.setattr(queue, "_spawn", spawn)
    return started


def test_many_servers_start_each_job_once_and_in_order(spawned: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [make(number=number) for number in range(4)]
    servers = [threading.Thread(target=queue.advance) for _ in range(8)]
    for server in servers:
        server.start()
    for server in servers:
        server.join()
    assert spawned == [folders[0].name], "one at a time"
    monkeypatch.setenv("ADVCORE_JOBS", "3")
    queue.advance()
    assert spawned == [folder.name for folder in folders[:3]]
    (folders[0] / "result.json").write_text('{"state": "finished", "message": "Done."}')
    queue.advance()
    assert spawned == [folder.name for folder in folders]


@pytest.mark.parametrize(("text", "wanted"), [("2", 2), ("0", 1), ("-3", 1), ("many", 1), ("", 1)])
def test_the_limit_comes_from_the_environment(text: str, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCORE_JOBS", text)
    assert queue.limit() == wanted


def test_a_waiting_job_is_stopped_resumed_and_deleted(spawned: list[str]) -> None:
    first, second = make(number=1), make(number=2)
    queue.advance()
    queue.stop(second.name)
    assert queue.find(second.name).state == "stopped"
    with pytest.raises(queue.JobError, match="running and cannot be resumed"):
        queue.resume(first.name)
    queue.resume(second.name)
    assert queue.find(second.name).state == "queued"
    queue.delete(second.name)
    assert [job.id for job in queue.listing()] == [first.name]
    assert [path.name for path in queue.root().iterdir() if path.name != ".lock"] == [first.name]


def test_one_that_does_not_stop_is_killed_after_a_while(sleeper: subprocess.Popen[bytes], spawned: list[str]) -> None:
    folder = make()
    claim(folder, sleeper.pid)
    queue.stop(folder.name)
    assert queue.find(folder.name).stopping
    time.sleep(0.2)
    queue.advance()
    assert sleeper.poll() is None, "it has time to save"
    old = time.time() - queue.GRACE_SECONDS - 1
    os.utime(folder / "stop", (old, old))
    queue.advance()
    assert sleeper.wait(10) == -signal.SIGKILL
    assert queue.find(folder.name).state == "stopped"


def test_another_process_with_the_same_number_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    folder = make()
    claim(folder, sleeper.pid, born="before the machine was switched on")
    (folder / "stop").touch()
    os.utime(folder / "stop", (0, 0))
    queue.advance()
    queue._signal(folder, gently=False)
    assert sleeper.poll() is None


@pytest.mark.parametrize(
    "job_id", ["", ".", "..", "../x", "/etc", "20260102-030405-00000", "20260102-030405-000000/..", "x" * 500, "\x00"]
)
def test_an_id_never_becomes_a_path_by_itself(job_id: str) -> None:
    make()
    for use in (queue.find, queue.stop, queue.resume, queue.delete):
        with pytest.raises(queue.JobError, match="There is no job"):
            use(job_id)
    assert len(queue.listing()) == 1


def test_strangers_among_the_jobs_are_passed_over() -> None:
    make()
    (queue.root() / "notes.txt").write_text("mine")
    (queue.root() / "my folder").mkdir()
    (queue.root() / ".20260102-030405-000009").mkdir()
    assert len(queue.listing()) == 1


# --- progress, log -----------------------------------------------------------------------------------------------------------


def test_a_torn_line_is_left_out() -> None:
    folder = make()
    whole = json.dumps({"phase": "training", "step": 1, "loss": 2.0})
    (folder / "progress.jsonl").write_bytes(
        f'{whole}\n[1]\n"x"\n{{"step": 3}}\n'.encode() + b'\xff\xfe\n{"phase": "training", "st'
    )
    assert queue.progress(folder) == [json.loads(whole)]
    queue._keep_until(folder / "progress.jsonl", 0)
    assert queue.progress(folder) == []


def test_progress_beyond_the_saved_step_is_dropped() -> None:
    folder = make()
    records = [{"phase": "loading"}, *({"phase": "training", "step": step} for step in (1, 5, 9, 12)), {"phase": "measuring"}]
    (folder / "progress.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    queue._keep_until(folder / "progress.jsonl", 9)
    assert [record.get("step") for record in queue.progress(folder)] == [1, 5, 9]


def test_the_log_is_shown_from_its_end() -> None:
    folder = make()
    assert queue.log_tail(folder) == ""
    (folder / "log.txt").write_bytes(b"".join(b"line %d \xff\n" % number for number in range(5000)))
    tail = queue.log_tail(folder, 3).splitlines()
    assert [line.split()[1] for line in tail] == ["4997", "4998", "4999"]


def test_long_runs_write_few_lines() -> None:
    assert queue._pause(1) == 0.25
    lines, seconds = 0, 0.0
    while seconds < 24 * 3600:
        seconds += queue._pause(seconds)
        lines += 1
    assert lines < 12_000


# --- processes ---------------------------------------------------------------------------------------------------------------


def test_a_process_is_known_by_its_birth(sleeper: subprocess.Popen[bytes]) -> None:
    born = processes.birth(sleeper.pid)
    assert born is not None
    assert processes.birth(sleeper.pid) == born
    assert processes.birth(os.getpid()) not in {None, born}
    sleeper.kill()
    until(lambda: processes.birth(sleeper.pid) is None, "death of a process that nobody asked about")
    assert not processes.end(sleeper.pid, born)
    for number in (0, -1, 2**31 - 1):
        assert processes.birth(number) is None


def test_where_there_is_no_proc_ps_knows_the_birth(sleeper: subprocess.Popen[bytes]) -> None:
    born = processes._birth_ps(sleeper.pid)
    assert born
    assert processes._birth_ps(sleeper.pid) == born
    assert processes._birth_ps(2**22 + 12345) is None


def test_one_at_a_time_gets_in(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def enter(number: int) -> None:
        with processes.alone(tmp_path / "new" / "lock"):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.02)
            inside.remove(number)

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6
