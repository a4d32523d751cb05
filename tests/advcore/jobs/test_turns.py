"""Turns: each job is started once and in order, whoever looks, and a killed job does not hold up the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from advcore.jobs import processes, queue, turns
from advcore.models import checkpoints
from advcore.recipe import Recipe
from tests.advcore.jobs.folders import TINY, claim, make
from tests.makers import REPOSITORY

SHORT = replace(TINY, epsilon=0.1)  # the usual ε of digits: final figures at one ε alone
LONG = Recipe(dataset="digits", architecture="digits_cnn", epochs=2000, held_out=40)


def until_ended(folder: Path) -> None:
    """Wait for the folder's process; one that nobody asks for its exit code counts as ended."""
    for _ in range(600):
        if (process := processes.running(folder)) is None:
            return
        psutil.wait_procs([process], timeout=0.2)
    raise AssertionError(f"The process of {folder.name} did not end: {queue.log_tail(folder)}")


def test_a_waiting_job_starts_when_the_running_one_is_killed_and_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both outlive the process that started them; nothing in this test calls the queue until both have ended."""
    monkeypatch.setattr(queue, "fastest_precision", lambda device: "fp32")
    starter = os.fork()
    if starter == 0:
        made = [queue.start(recipe) for recipe in (LONG, SHORT)]
        os._exit(len(made) != 2)
    assert os.waitpid(starter, 0)[1] == 0
    first, second = turns.folders(queue.root())
    assert (queue.read(first).state, queue.read(second).state) == ("running", "queued")
    running = processes.running(first)
    assert os.getsid(running.pid) == running.pid, "it has a session of its own"
    os.kill(running.pid, signal.SIGKILL)
    until_ended(queue.root())  # the waiting process, which starts the second job
    until_ended(second)
    killed, done = queue.read(first), queue.read(second)
    assert killed.state == "failed"
    assert "ended from outside" in killed.message
    assert killed.resumable
    assert done.state == "finished", done.message
    made = checkpoints.find(done.checkpoint)
    assert (made.own, made.recipe, made.provenance["job"]) == (True, SHORT, second.name)
    assert f"{100 * made.metrics['clean']:.1f} %" in done.message
    assert {line["phase"] for line in queue.progress(second)} == {"loading", "training", "measuring", "saving"}
    assert not (queue.root() / "process.json").exists()


def test_the_waiting_process_does_without_torch() -> None:
    code = "import sys, advcore.jobs.turns; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_many_servers_start_each_job_once_and_in_order(launched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [make(number=number) for number in range(4)]
    servers = [threading.Thread(target=queue.advance) for _ in range(8)]
    for server in servers:
        server.start()
    for server in servers:
        server.join()
    assert launched == [folders[0].name, queue.root().name], "one job at a time, and one process that waits for it"
    monkeypatch.setenv("ADVCORE_JOBS", "3")
    queue.advance()
    (folders[0] / "result.json").write_text('{"state": "finished", "message": "Done."}')
    queue.advance()
    assert [name for name in launched if name != queue.root().name] == [folder.name for folder in folders]


def test_the_waiting_process_is_started_again_when_it_was_killed(launched: list[str]) -> None:
    make(number=1), make(number=2)
    queue.advance()
    claim(queue.root(), os.getpid(), created=1.0)  # of a process that has this number no more
    queue.advance()
    assert launched.count(queue.root().name) == 2


def test_the_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, wanted in (("2", 2), ("0", 1), ("-3", 1), ("many", 1), ("", 1)):
        monkeypatch.setenv("ADVCORE_JOBS", text)
        assert turns.limit() == wanted


def test_a_waiting_job_is_stopped_resumed_and_deleted(launched: list[str]) -> None:
    first, second = make(number=1), make(number=2)
    queue.advance()
    queue.stop(second.name)
    assert queue.find(second.name).state == "stopped"
    for cannot in (queue.resume, queue.delete):
        with pytest.raises(queue.JobError, match="running"):
            cannot(first.name)
    queue.resume(second.name)
    assert queue.find(second.name).state == "queued"
    queue.delete(second.name)
    assert [job.id for job in queue.listing()] == [first.name]
    queue.restore(second.name)
    assert queue.find(second.name).state == "queued"


def test_only_the_last_deletion_can_be_undone(launched: list[str]) -> None:
    first, second = make(number=1), make(number=2)
    queue.delete(first.name)
    queue.delete(second.name)
    for cannot in (first.name, "../x", second.name + "/.."):
        with pytest.raises(queue.JobError, match="can no longer be restored"):
            queue.restore(cannot)
    assert [path.name for path in queue.root().iterdir() if path.is_dir()] == [f".{second.name}.deleted"]


def test_a_job_that_does_not_stop_is_killed_after_a_while(sleeper: subprocess.Popen[bytes], launched: list[str]) -> None:
    folder = make()
    claim(folder, sleeper.pid)
    queue.stop(folder.name)
    assert queue.find(folder.name).stopping
    queue.advance()
    assert sleeper.poll() is None, "it has time to save"
    os.utime(folder / "stop", (0, 0))
    queue.advance()
    assert sleeper.wait(10) == -signal.SIGKILL
    assert queue.find(folder.name).state == "stopped"


def test_stopping_asks_the_process_to_end() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder = make()
    claim(folder, process.pid)
    queue.stop(folder.name)
    process.communicate()
    assert process.returncode == -signal.SIGTERM
    assert queue.find(folder.name).state == "stopped"


def test_another_process_with_the_same_number_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    folder = make()
    claim(folder, sleeper.pid, created=psutil.Process(sleeper.pid).create_time() - 60)
    (folder / "stop").touch()
    os.utime(folder / "stop", (0, 0))
    queue.advance()
    processes.end(folder, gently=False)
    assert processes.running(folder) is None
    assert sleeper.poll() is None


def test_a_process_that_nobody_asked_about_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    folder = make()
    claim(folder, sleeper.pid)
    assert processes.running(folder).pid == sleeper.pid
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
    assert processes.running(folder) is None


def test_a_number_that_no_process_has() -> None:
    folder = make()
    for record in ({}, *({"pid": pid, "created": 1} for pid in (0, -1, 2**40, True))):
        (folder / "process.json").write_text(json.dumps(record))
        assert processes.running(folder) is None
        processes.end(folder, gently=False)
