"""Files that are written completely or not at all, small JSON files, and downloads with progress."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_PART = ".part"  # the suffix of a file that is being written


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `path` completely or not at all: into a new file beside it, synced and then renamed. Its folder must exist."""
    part = path.with_name(f".{uuid.uuid4().hex}{_PART}")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_parts(root: Path, seconds: float) -> None:
    """Delete the files below `root` that killed processes left in `write_whole`: those not written to for `seconds`."""
    long_ago = time.time() - seconds
    for folder, _, names in os.walk(root):  # unlike `rglob`, it continues when a folder disappears
        for part in (Path(folder, name) for name in names if name.startswith(".") and name.endswith(_PART)):
            with contextlib.suppress(OSError):  # its process may have just renamed it
                if part.stat().st_mtime <= long_ago:
                    part.unlink()


def read_object(path: Path, most_bytes: int = 100_000) -> dict[str, Any]:
    """The JSON object in a file of at most `most_bytes`; empty when the file is missing or holds something else."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(most_bytes))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def with_package() -> dict[str, str]:
    """The environment for a process that runs one of this package's modules, with the package first in PYTHONPATH."""
    package = str(Path(__file__).resolve().parents[1])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def fetched_into(folder: Path, expected: int, fetch: Callable[[], object]) -> Iterator[tuple[int, int]]:
    """Run `fetch` in a thread, yielding (bytes that it added below `folder`, `expected`) four times a second.

    Creates the folder. Raises what `fetch` raises.
    """
    failure: list[Exception] = []

    def work() -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fetch()
        except Exception as error:
            failure.append(error)

    start = _bytes_below(folder)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.25)
        yield min(_bytes_below(folder) - start, expected), expected
    if failure:
        raise failure[0]


def _bytes_below(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue  # a temporary file that was just renamed
    return total


def why_not_fetched(error: BaseException) -> str:
    """Why a download failed, in words: an address that cannot be resolved means that there is no network."""
    text = first_line(getattr(error, "reason", None) or error)
    if any(sign in text for sign in ("Name or service not known", "name resolution", "nodename nor servname", "getaddrinfo")):
        return "this machine has no connection to the internet"
    return text


def first_line(error: object, most: int = 160) -> str:
    """The first line of an error's message, at most that many characters; the name of its type when it has no message."""
    text = str(error).strip()
    return text.splitlines()[0][:most].rstrip(": ") if text else type(error).__name__
