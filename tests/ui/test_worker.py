"""The background worker takes turns, pauses for answers, stops at once, and forgets sessions that are gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from advcore.errors import AdvcoreError
from ui import worker as module
from ui.worker import Stopped, Task, Worker, pausing


def counting(key: str, log: list[str], *, until: int = 3, cost: float = 0.0, inside: Callable[[], None] = lambda: None) -> Task:
    """A task that counts to `until`, and notes its key at every piece."""

    def run(seen: int | None) -> Iterator[int]:
        for number in range((seen or 0) + 1, until + 1):
            inside()
            log.append(key)
            yield number

    return Task(key, run, lambda seen: seen >= until, lambda seen: cost * (1 + (seen or 0)))


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def wait(worker: Worker, true: Callable[[], bool]) -> None:
    with worker.changed:
        assert worker.changed.wait_for(true, timeout=20)


def test_sessions_take_turns_and_share_results(worker: Worker) -> None:
    log: list[str] = []
    with worker.interactive():
        worker.ask("one", [counting("a", log)])
        worker.ask("two", [counting("b", log)])
        assert log == []
    wait(worker, lambda: worker.result("a") == worker.result("b") == 3)
    assert log in (["a", "b"] * 3, ["b", "a"] * 3)
    worker.ask("three", [counting("a", log)])
    assert not worker.wanted("three")
    assert len(log) == 6


def test_the_pages_of_a_visitor_take_a_turn_together(worker: Worker) -> None:
    log: list[str] = []
    with worker.interactive():
        for page in "abc":
            worker.ask(page, [counting(f"one {page}", log)], patience=60, group="one")
        worker.ask("d", [counting("two", log)], patience=60, group="two")
    wait(worker, lambda: worker.result("two") == 3)
    assert [name.split()[0] for name in log[:5]].count("two") >= 2, "every second turn, not every fourth"
    assert len({name for name in log[:5] if name != "two"}) >= 2, "its own pages take turns as well"


def test_the_cheapest_work_of_a_session_goes_first(worker: Worker) -> None:
    log: list[str] = []
    with worker.interactive():
        worker.ask("one", [counting("dear", log, until=1, cost=3.5), counting("cheap", log, until=5, cost=1)])
    wait(worker, lambda: not worker.wanted("one"))
    assert log == ["cheap", "cheap", "cheap", "dear", "cheap", "cheap"]


def test_a_longer_request_goes_on_from_what_is_measured(worker: Worker) -> None:
    log: list[str] = []
    worker.ask("one", [counting("a", log, until=2)])
    wait(worker, lambda: worker.result("a") == 2)
    worker.ask("two", [counting("a", log, until=4)])
    wait(worker, lambda: worker.result("a") == 4)
    assert log == ["a"] * 4


def test_stop_ends_a_piece_in_its_middle(worker: Worker) -> None:
    inside, log = threading.Event(), []

    def long() -> None:
        inside.set()
        while True:
            worker.breathe()

    worker.ask("one", [counting("a", log, inside=long)])
    assert inside.wait(20)
    worker.stop("one")
    worker.ask("two", [counting("b", log)])
    wait(worker, lambda: worker.result("b") == 3)
    assert worker.result("a") is None
    assert log == ["b"] * 3


def test_a_piece_pauses_while_an_answer_is_computed(worker: Worker) -> None:
    inside, passed, go_on = threading.Event(), threading.Event(), threading.Event()

    def once() -> None:
        inside.set()
        go_on.wait(20)
        worker.breathe()
        passed.set()

    worker.ask("one", [counting("a", [], until=1, inside=once)])
    assert inside.wait(20)
    with worker.interactive():
        go_on.set()
        assert not passed.wait(0.2)
    assert passed.wait(20)


def test_a_session_that_does_not_ask_again_is_dropped(worker: Worker) -> None:
    with worker.interactive():
        worker.ask("gone", [counting("a", [])], patience=-1)
        assert not worker.wanted("gone")
    worker.ask("here", [counting("b", [])])
    wait(worker, lambda: worker.result("b") == 3)
    assert worker.result("a") is None


def test_a_piece_that_only_a_closed_page_wanted_ends_in_its_middle(worker: Worker) -> None:
    ended = threading.Event()

    def endless() -> None:
        try:
            while True:
                worker.breathe()
        finally:
            ended.set()

    worker.ask("gone", [counting("a", [], inside=endless)], patience=0.05)
    assert ended.wait(20), "nobody else asks for anything"
    assert not worker.wanted("gone")


def test_another_session_does_not_wait_for_a_piece_of_a_closed_page(worker: Worker) -> None:
    inside, log = threading.Event(), []

    def endless() -> None:
        inside.set()
        while True:
            worker.breathe()

    worker.ask("one", [counting("a", log, inside=endless)], patience=0.2)
    assert inside.wait(20)
    limit = time.monotonic() + 20
    while worker.result("b") != 3 and time.monotonic() < limit:
        worker.ask("two", [counting("b", log)])  # as a page does every half second
    assert log == ["b"] * 3


def test_an_error_is_kept_until_nobody_asks_for_the_task(worker: Worker) -> None:
    def fail() -> None:
        raise AdvcoreError("the images are gone")

    log: list[str] = []
    worker.ask("one", [counting("a", log, inside=fail), counting("b", log)])
    wait(worker, lambda: worker.result("b") == 3)
    assert worker.error("a") == "the images are gone"
    worker.stop("one")
    assert worker.error("a") is None


def test_a_model_lets_the_worker_in_at_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    class Counting:
        def breathe(self) -> None:
            calls.append(1)
            if len(calls) > 6:
                raise Stopped

    monkeypatch.setattr(module, "worker", lambda: Counting())
    model = pausing(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))
    images = torch.ones(1, 2, requires_grad=True)
    torch.autograd.grad(model(images).sum(), images)
    assert len(calls) == 6, "three layers, forward and backward"
    with pytest.raises(Stopped):
        model(images)
