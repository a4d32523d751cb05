"""The queue as pages see it: a job's folder is read for what it is, whatever it holds."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from advcore.errors import AdvcoreError
from advcore.jobs import processes, queue
from advcore.models import checkpoints
from advcore.recipe import Recipe
from tests.advcore.jobs.folders import claim, make


def test_a_job_without_its_data_is_not_started() -> None:
    for recipe in (
        Recipe(dataset="mnist", architecture="lee_cnn"),
        Recipe(dataset="digits", architecture="digits_cnn", warm_start="digits/nobody"),
        Recipe(dataset="digits", architecture="digits_cnn", defense="distill", teacher="../../../etc/passwd"),
    ):
        with pytest.raises(AdvcoreError):
            queue.start(recipe)
    assert queue.listing() == []


def test_a_job_without_a_result_and_without_a_process_was_ended_from_outside() -> None:
    folder = make()
    assert queue.read(folder).state == "queued"
    claim(folder, os.getpid())
    assert queue.read(folder).state == "running"
    claim(folder, os.getpid(), created=1.0)
    job = queue.read(folder)
    assert job.state == "failed", "another process has this number now"
    assert "ended from outside" in job.message
    (folder / "log.txt").write_text("Traceback\n  File x\nImportError: no module named torch\n")
    assert "ImportError: no module named torch" in queue.read(folder).message
    with (folder / "log.txt").open("ab") as log:
        log.write(processes.STARTED)
    assert "ended from outside" in queue.read(folder).message, "what an earlier attempt printed is not this one's"
    (folder / "stop").touch()
    assert queue.read(folder).state == "stopped"


def test_an_unusable_process_file_counts_as_an_ended_process() -> None:
    folder = make()
    for text in ("", "[]", "{", '{"pid": "1", "created": 2}', '{"pid": true}', '{"pid": -1, "created": null}', "\xff\xfe"):
        (folder / "process.json").write_text(text)
        assert queue.read(folder).state == "failed"
        queue.stop(folder.name)
        assert queue.read(folder).state == "failed"


def test_an_unusable_result_breaks_nothing() -> None:
    folder = make()
    for text in (
        "",
        "{",
        "[]",
        '{"state": "flying"}',
        '{"state": ["x"]}',
        '{"state": "finished", "checkpoint": ["x"], "message": 7}',
    ):
        (folder / "result.json").write_text(text)
        job = queue.read(folder)
        assert job.state in {"queued", "failed", "finished"}
        assert isinstance(job.message, str)
        assert job.checkpoint is None


def test_an_id_never_becomes_a_path_by_itself() -> None:
    job_id = make().name
    for odd in ("", ".", "..", "../x", "/etc", job_id[:-1], "20261399-030405-000000", f"{job_id}/..", "x" * 500, "\x00"):
        for use in (queue.find, queue.stop, queue.resume, queue.start_again, queue.delete):
            with pytest.raises(queue.JobError, match="There is no job"):
                use(odd)
    assert len(queue.listing()) == 1


def test_other_files_among_the_jobs_are_ignored() -> None:
    make()
    (queue.root() / "notes.txt").write_text("mine")
    (queue.root() / "my folder").mkdir()
    (queue.root() / ".20260102-030405-000009").mkdir()
    (queue.root() / "20260230-030405-000000").mkdir()  # the 30th of February
    (job,) = queue.listing()
    assert job.created.isoformat() == "2026-01-02T03:04:05"


def test_an_incomplete_line_is_left_out() -> None:
    folder = make()
    whole = json.dumps({"phase": "training", "step": 1, "loss": 2.0})
    (folder / "progress.jsonl").write_bytes(
        f'{whole}\n[1]\n"x"\n{{"step": 3}}\n'.encode() + b'\xff\xfe\n{"phase": "training", "st'
    )
    assert queue.progress(folder) == [json.loads(whole)]


def test_the_log_is_shown_without_this_machines_folders(tmp_path: Path) -> None:
    folder = make()
    places = (folder, tmp_path / "data", Path(queue.__file__), Path.home(), Path(sys.prefix))
    (folder / "log.txt").write_text("".join(f"Error in {place}/x\n" for place in places))
    tail = queue.log_tail(folder)
    assert tail.count("Error in ") == len(places)
    assert not any(str(place) in tail for place in (tmp_path, queue.__file__, Path.home(), Path(sys.prefix)))


def test_half_written_files_are_swept_when_the_app_starts() -> None:
    models = checkpoints.own_root() / "digits"
    models.mkdir(parents=True)
    old, young = models / ".b.part", models / ".c.part"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    queue.tidy(time.time() + 600)
    assert (old.exists(), young.exists()) == (False, True)


def test_the_log_is_shown_from_its_end() -> None:
    folder = make()
    assert queue.log_tail(folder) == ""
    (folder / "log.txt").write_bytes(b"".join(b"line %d \xff\n" % number for number in range(5000)))
    tail = queue.log_tail(folder, 3).splitlines()
    assert [line.split()[1] for line in tail] == ["4997", "4998", "4999"]
