"""Decodes uploads in separate processes, `advcore.images.child`, with limited memory and time.

A file that makes a decoder loop, fill the memory or crash ends such a process and not the app.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from advcore.device import cores
from advcore.files import with_package
from advcore.images.decode import Photo, photo_of
from advcore.images.levels import MAX_BYTES, PhotoError, shown_name, too_heavy

MEMORY_BYTES, CPU_SECONDS, SECONDS = 1 << 30, 10, 60.0
"""The limits for one picture: memory, processor time, and time on the clock."""
_LOOK_SECONDS = 0.5
_turns = threading.BoundedSemaphore(cores())
_idle: list[subprocess.Popen[bytes]] = []


def warm() -> None:
    """Start a process if none is idle, so that the next picture does not have to wait for one."""
    if not _idle:
        _idle.append(_start())


def decode(data: bytes, name: str = "image", *, wanted: Callable[[], bool] = lambda: True) -> Photo:
    """Decode a photo as `decode.decode` does, in a separate process; as many at a time as there are cores.

    Raises PhotoError for the same files, for one that exceeds the limits, and when `wanted`, called twice a second, returns
    false: then nobody waits for the photo any more.
    """
    name = shown_name(name)
    if len(data) > MAX_BYTES:
        raise too_heavy(name)
    with _turns:
        process = _idle_one() or _start()
        try:
            with _ended_in_time(process, wanted):
                answer, levels = _answer(process, data, name)
        except (OSError, ValueError) as error:  # the process was killed, or it crashed
            _end(process)
            raise PhotoError(
                f"{name} takes too long or too much memory to decode; save it again as PNG, or smaller."
            ) from error
        except BaseException:
            _end(process)
            raise
        _idle.append(process)
    if levels is None:
        raise PhotoError(answer["error"])
    return photo_of(levels, name, answer["format"], tuple(answer["notes"]), answer["note"])


def _answer(process: subprocess.Popen[bytes], data: bytes, name: str) -> tuple[dict[str, Any], np.ndarray | None]:
    """The process's answer, and the levels unless it is an error. Raises OSError or ValueError when the process has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"name": name, "bytes": len(data)}).encode() + b"\n")
    process.stdin.write(data)
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    if "error" in answer:
        return answer, None
    levels = np.empty(answer["shape"], np.uint8)
    if process.stdout.readinto(memoryview(levels).cast("B")) < levels.size:  # type: ignore[attr-defined]
        raise OSError("the process ended")
    return answer, levels


def _idle_one() -> subprocess.Popen[bytes] | None:
    """An idle process that still runs, or None."""
    while _idle:
        with contextlib.suppress(IndexError):  # another thread may take the last one
            if (process := _idle.pop()).poll() is None:
                return process
    return None


@contextlib.contextmanager
def _ended_in_time(process: subprocess.Popen[bytes], wanted: Callable[[], bool]) -> Iterator[None]:
    """Kill the process if it does not answer in time, or when `wanted` returns false."""
    answered, last = threading.Event(), time.monotonic() + SECONDS

    def watch() -> None:
        while not answered.wait(_LOOK_SECONDS):
            if time.monotonic() > last or not wanted():
                process.kill()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        answered.set()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "advcore.images.child", str(MEMORY_BYTES), str(CPU_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pipesize=1 << 20,
        # One thread, because each thread of OpenBLAS reserves address space.
        env=with_package() | {"OPENBLAS_NUM_THREADS": "1"},
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
