"""The background thread that measures for all sessions, one per process.

A page asks for tasks and reads their results, which all sessions share. The worker takes turns between the sessions, and
pauses while any session waits for an answer that it asked for directly.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import functools
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from advcore.errors import AdvcoreError
from ui.memory import Store

PATIENCE = 6.0
"""Seconds after which the tasks of a session that has not asked again are dropped: its page must be closed."""
_KEPT, _KEPT_BYTES = 200, 256 << 20
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """Work done piece by piece.

    `key` names the result, which all sessions share. `run` takes the result so far (None: nothing yet) and yields the next
    one after each piece, or None where a piece changes nothing that can be shown. `enough` says whether a result is complete
    for this task. `cost` of a result orders the tasks of one session: the lowest goes first (a number, or numbers compared in
    their order).
    """

    key: Hashable
    run: Callable[[Any], Iterator[Any]]
    enough: Callable[[Any], bool]
    cost: Callable[[Any], Any] = lambda _: 0.0


@dataclass(frozen=True)
class _Request:
    tasks: tuple[Task, ...]
    expires: float
    group: Hashable


class Stopped(Exception):
    """Raised inside a piece of a task that no owner wants any more."""


class Worker:
    """Carries out tasks for several owners (sessions) in one thread. All methods can be called from any thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        """Notified after every piece and every request; results and requests are read and changed under it."""
        self._requests: OrderedDict[Hashable, _Request] = OrderedDict()
        self._results = Store(_KEPT, _KEPT_BYTES)
        self._errors: dict[Hashable, str] = {}
        self._started: dict[Hashable, Iterator[Any]] = {}
        self._current: Hashable = None
        self._interrupted = False
        self._until = 0.0  # when the last request for the current task expires
        self._waiting = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="measuring", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # the interpreter must not end while the thread is inside torch

    def ask(self, owner: Hashable, tasks: Sequence[Task], *, patience: float = PATIENCE, group: Hashable | None = None) -> None:
        """Replace what the owner wants measured. It has to be asked again within `patience` seconds.

        Owners of one `group`, the pages of a visitor, take a turn together; without it, each owner takes turns of its own.
        """
        with self.changed:
            self._requests[owner] = _Request(tuple(tasks), time.monotonic() + patience, owner if group is None else group)
            self._expire()
            self._note_change()

    def stop(self, owner: Hashable) -> None:
        """Drop what the owner wants measured; what was measured is kept."""
        with self.changed:
            self._requests.pop(owner, None)
            self._note_change()

    def wanted(self, owner: Hashable, key: Hashable | None = None) -> bool:
        """Whether anything, or the task `key`, is being measured for the owner, or waits to be."""
        with self.changed:
            self._expire()
            left = self._open(self._requests[owner]) if owner in self._requests else []
            return any(key in (None, task.key) for task, _ in left)

    def result(self, key: Hashable) -> Any:
        """The result so far, or None."""
        with self.changed:
            return self._results.get(key)

    def join(self, key: Hashable, part: Any, joined: Callable[[Any, Any], Any]) -> Any:
        """Add a part to the result of the task `key`, with `joined` if there is one so far; returns the whole."""
        with self.changed:
            found = self._results.get(key)
            whole = part if found is None else joined(found, part)
            self._results.put(key, whole)
            self.changed.notify_all()
            return whole

    def error(self, key: Hashable) -> str | None:
        """Why the task could not be carried out, or None. It is tried again after all owners have dropped it."""
        with self.changed:
            return self._errors.get(key)

    def close(self) -> None:
        """End the thread, in the middle of a piece if need be."""
        with self.changed:
            self._closed = True
            self._requests.clear()
            self._note_change()
        self._thread.join(10)
        atexit.unregister(self.close)

    @contextlib.contextmanager
    def interactive(self) -> Iterator[None]:
        """Pause the worker while a session computes an answer itself."""
        with self.changed:
            self._waiting += 1
        try:
            yield
        finally:
            with self.changed:
                self._waiting -= 1
                self.changed.notify_all()

    def breathe(self) -> None:
        """Called often within a piece: waits while an answer is computed; raises Stopped if no owner wants the task."""
        expired = time.monotonic() > self._until
        if self._waiting or self._interrupted or expired:  # the usual case is none of them, and takes no lock
            with self.changed:
                if expired:  # only a page that is closed by now wanted it
                    self._expire()
                    self._note_change()
                self.changed.wait_for(lambda: self._interrupted or not self._waiting)
                if self._interrupted:
                    raise Stopped

    # --- the thread --------------------------------------------------------------------------------------------------------

    def _note_change(self) -> None:
        wanted = {task.key for request in self._requests.values() for task in request.tasks}
        self._interrupted = self._current is not None and self._current not in wanted
        asked = (each for each in self._requests.values() if any(task.key == self._current for task in each.tasks))
        self._until = max((each.expires for each in asked), default=0.0)
        for key in self._errors.keys() - wanted:
            del self._errors[key]
        self.changed.notify_all()

    def _work(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self._closed or (not self._waiting and self._next() is not None))
                task = self._next(turn=True)
                if task is None:
                    return
                self._current = task.key
                self._note_change()
                if task.key not in self._started:
                    self._started[task.key] = task.run(self._results.get(task.key))
                piece = self._started[task.key]
            result, error, over = None, None, False
            try:
                result = next(piece)
            except Stopped:
                over = True
            except StopIteration:
                error = "The measurement ended before it was complete."
            except AdvcoreError as problem:
                error = str(problem)
            except Exception as problem:
                _LOG.exception("a measurement failed")
                error = f"The measurement failed ({type(problem).__name__}); the server's log says more."
            with self.changed:
                self._current = None
                if result is not None:
                    self._results.put(task.key, result)
                if error is not None:
                    self._errors[task.key] = error
                if over or error is not None:
                    self._started.pop(task.key, None)
                self._expire()
                for key in self._started.keys() - {
                    task.key for each in self._requests.values() for task, _ in self._open(each)
                }:
                    self._started.pop(key).close()
                self._note_change()

    def _expire(self) -> None:
        for owner in [owner for owner, request in self._requests.items() if request.expires < time.monotonic()]:
            del self._requests[owner]

    def _next(self, *, turn: bool = False) -> Task | None:
        """The next owner's cheapest task; with `turn`, the owner moves to the end of the line, behind its group."""
        for owner, request in self._requests.items():
            tasks = self._open(request)
            if tasks:
                if turn:
                    alike = [other for other, of in self._requests.items() if of.group == request.group and other != owner]
                    for each in (*alike, owner):
                        self._requests.move_to_end(each)
                return min(tasks, key=lambda pair: pair[0].cost(pair[1]))[0]
        return None

    def _open(self, request: _Request) -> list[tuple[Task, Any]]:
        """The unfinished tasks of a request, with their results so far."""
        results = [(task, self._results.get(task.key)) for task in request.tasks if task.key not in self._errors]
        return [(task, result) for task, result in results if result is None or not task.enough(result)]


@functools.cache
def worker() -> Worker:
    """The worker of this process."""
    # A thread that draws a page would otherwise keep Python's lock for 5 ms at every operation of torch.
    sys.setswitchinterval(0.0005)
    return Worker()


def pausing(model: nn.Module) -> nn.Module:
    """The model, with the same weights, as one that lets the worker pause or stop at every layer, forward and backward."""
    model = copy.deepcopy(model, {id(weight): weight for weight in (*model.parameters(), *model.buffers())})
    for layer in model.modules():
        if not any(layer.children()):
            layer.register_forward_hook(_breathe)
    return model


def _breathe(_: nn.Module, __: Any, output: Any) -> None:
    # A function, not a bound method: a copy of the model keeps it as it is.
    worker().breathe()
    if isinstance(output, Tensor) and output.requires_grad:
        output.register_hook(lambda _: worker().breathe())
