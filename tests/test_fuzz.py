"""Seeded random input of five kinds ends as the program promises: an answer, or an error of one sentence, within its means.

A normal run takes the first 300 cases of the corpus in `tests/fuzzing.py`, `--fuzz N` the first N. What fails is named by
kind and seed, which make the same case again.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from advcore.cli import train
from advcore.cli.main import main
from advcore.errors import AdvcoreError
from advcore.evaluation import diagnosis, figures
from advcore.images import apart
from advcore.jobs import queue
from advcore.models import checkpoints, headers
from advcore.recipe import Recipe
from tests import fuzzing
from tests.advcore.jobs.folders import make
from tests.advcore.test_recipes import FULL
from tests.makers import save_checkpoint
from tests.pages.conftest import _offline, open_page  # noqa: F401

SHARES = {"pictures": 0.3, "headers": 0.2, "recipes": 0.3, "links": 0.04, "commands": 0.16}
"""Of the cases, how many are of each kind: a link costs a hundred times as much as a recipe."""
SECONDS = 5.0
"""Of processor time, that a case may take."""
MEMORY = 1 << 30
"""Bytes by which this process may grow over all cases of a kind."""


class Accepted(AdvcoreError):
    """A command has come to where it would compute."""


class TooMuchTime(BaseException):
    """A case took more processor time than it may."""


@contextlib.contextmanager
def limited(seconds: float = SECONDS) -> Iterator[None]:
    """Raise TooMuchTime inside when that much processor time of this process is spent."""

    def stop(*_: object) -> None:
        raise TooMuchTime

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)  # a late one would end the process


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Callable[[str, Callable[[Random], None]], None]:
    """Tries a kind's cases, one after another, and fails with those that ended otherwise than they may."""

    def tried(kind: str, attempt: Callable[[Random], None]) -> None:
        failed, peak = {}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(math.ceil(SHARES[kind] * request.config.getoption("fuzz"))):
            try:
                with limited():
                    attempt(Random(f"{kind} {number}"))
            except (Exception, TooMuchTime) as error:
                failed[number] = f"{type(error).__name__}: {str(error)[:300]}"
        assert failed == {}
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) << 10 < MEMORY

    return tried


def one_sentence(error: Exception | str) -> None:
    text = str(error)
    assert len(text) < 1000, text
    assert "Traceback" not in text
    text.encode()  # no half of a character


@pytest.fixture
def _own_decoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Processes that decode for this test alone."""
    monkeypatch.setattr(apart, "_idle", idle := [])
    yield
    for process in idle:
        apart._end(process)


def decoded(data: bytes, seconds: float) -> None:
    """Decode as the app does; whatever happens, it takes no more processor time or memory than it may."""
    before = {process.pid: psutil.Process(process.pid).cpu_times().user for process in apart._idle}
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        photo = apart.decode(data, "fuzz.png")
        assert photo.size[0] * photo.size[1] <= 50_000_000
    except AdvcoreError as error:
        one_sentence(error)
    for process in apart._idle:
        living = psutil.Process(process.pid)
        assert living.cpu_times().user - before.get(process.pid, 0.0) < seconds
        assert living.memory_info().vms < apart.MEMORY_BYTES + (1 << 30)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - ended.ru_utime < sum(before.values()) + apart.CPU_SECONDS + 2, "it was stopped too late"


@pytest.mark.usefixtures("_own_decoders")
def test_pictures(cases) -> None:
    cases("pictures", lambda random: decoded(fuzzing.picture(random), 2.0))
    assert len(apart._idle) <= 1, "one process answers one after another"


@pytest.mark.usefixtures("_own_decoders")
def test_pictures_that_are_legal_and_expensive() -> None:
    for data in fuzzing.expensive_pictures().values():
        assert len(data) < apart.MAX_BYTES
        decoded(data, 4.0)


@pytest.fixture
def whole(tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A good checkpoint's header, with all that one can hold, and its weights."""
    path = save_checkpoint(tmp_path / "good").path
    header = headers.read(path)
    robust = {"epsilon": 0.1, "norm": "linf", "images": 10, "accuracy": 0.4, "survivors": {"APGD-CE": 5, "Square": 4}}
    found = {"epsilon": 0.1, "norm": "linf", "images": 10, "classes": 10, "robust": 4, "defended": True}
    more = {"autoattack": robust, "diagnosis": found | {"counts": {"single-step": {"single_step": 5, "iterative": 4}}}}
    more["history"] = [{"step": 3, "clean": 0.9, "fgsm": 0.5, "pgd": 0.4, "epsilon": 0.1, "images": 9}]
    values = json.loads(header.to_metadata()["advcore"])
    values["metrics"] |= more
    weights = {name: tensor.numpy() for name, tensor in checkpoints.storage.read_safetensors(path)[0].items()}
    return values, weights


@pytest.mark.usefixtures("_offline")
def test_headers_and_the_pages_after_an_import(cases, whole, capsys: pytest.CaptureFixture[str]) -> None:
    values, weights = whole
    folder = checkpoints.own_root() / "digits"
    folder.mkdir(parents=True)

    def attempt(random: Random) -> None:
        header = fuzzing.changed(values, random) if random.random() < 0.9 else values
        text = json.dumps(header)[: random.choice((None, None, None, 500))]
        path = folder / f"m{len(list(folder.iterdir()))}.safetensors"
        path.write_bytes(fuzzing.safetensors(text, weights, random))
        try:
            item = checkpoints.read(path, own=True)
        except AdvcoreError as error:
            one_sentence(error)
            return
        assert item.title.isprintable()
        figures.strongest(item.metrics, figures.claimed_epsilon(item))
        diagnosis.masking(item)
        with contextlib.suppress(AdvcoreError):
            assert item.parameters > 0
            item.model()

    cases("headers", attempt)
    known = [item for item in checkpoints.catalog().values() if item.own]
    assert fuzzing.STANDARD in checkpoints.catalog()
    assert known, "some are good enough to be shown"
    for reason in checkpoints.problems().values():
        one_sentence(reason)
    assert main(["checkpoints", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["checkpoints"]) > len(known)
    with limited(seconds=4 * SECONDS):
        assert not open_page("models", dataset="digits").exception
        assert not open_page("attack", dataset="digits", a=known[0].id, b=known[-1].id).exception


def test_recipes(cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCORE_RUNS", str(tmp_path / "runs"))
    folder = make(FULL)

    def attempt(random: Random) -> None:
        values = fuzzing.changed(FULL.to_dict(), random)
        (folder / "recipe.json").write_text(json.dumps(values))
        job = queue.read(folder)
        one_sentence(job.message)
        try:
            recipe = Recipe.from_dict(values)
        except AdvcoreError as error:
            one_sentence(error)
            assert job.state == "failed"
            return
        assert Recipe.from_json(recipe.to_json()) == recipe == job.recipe
        assert recipe.checkpoint_id.isprintable()

    cases("recipes", attempt)


@pytest.mark.usefixtures("_offline")
def test_links(cases) -> None:
    def attempt(random: Random) -> None:
        page, values = fuzzing.link(random)
        drawn = open_page(page, **values)
        assert not drawn.exception, (page, values, drawn.exception[0].message)
        for error in drawn.error:
            one_sentence(error.value)

    cases("links", attempt)


def test_commands(cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Up to where a command that is accepted would begin to compute, which may legally take hours."""
    for name in ("data", "runs"):
        monkeypatch.setenv(f"ADVCORE_{name.upper()}", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)

    def accepted(*_: object, **__: object) -> None:
        raise Accepted("This would be computed.")

    monkeypatch.setattr(checkpoints.Checkpoint, "model", accepted)
    monkeypatch.setattr(train, "train", accepted)
    counts = dict.fromkeys((0, 2), 0)

    def attempt(random: Random) -> None:
        words = fuzzing.command(random)
        try:
            code = main(words)
        except SystemExit as error:
            code = error.code
        told = capsys.readouterr().err
        assert "Traceback" not in told, words
        counts[code] += 1
        if code == 2:
            assert told.splitlines()[-1].startswith("advcore: "), (words, told[-300:])

    cases("commands", attempt)
    assert all(counts.values()), "some are accepted and some refused"
