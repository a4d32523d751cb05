"""The process that decodes uploads: `python -m advcore.images.child MEMORY SECONDS`. Imports no torch, to be small and quick.

For each picture it reads a line of JSON, `{"name": …, "bytes": N}`, and N bytes from its input. It writes a line of JSON,
`{"shape", "format", "notes", "note"}`, and the levels, uint8 H×W or H×W×3; or `{"error": …}` when the picture is refused.
It ends with its input. Beside its own memory it may use MEMORY bytes, and SECONDS of processor time for each picture; on
systems without such limits, `levels` still refuses the worst files before decoding them.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from typing import IO, Any

import numpy as np

from advcore.images.levels import PhotoError, decode_photo


def serve(source: IO[bytes], answers: IO[bytes], memory: int, seconds: int) -> None:
    """Answer until the input ends."""
    limit_memory(memory)
    while line := source.readline():
        asked = json.loads(line)
        data = source.read(asked["bytes"])
        limit_time(seconds)
        answer, levels = _answer(data, asked["name"])
        answers.write(json.dumps(answer).encode() + b"\n")
        if levels is not None:
            answers.write(memoryview(levels).cast("B"))
        answers.flush()


def _answer(data: bytes, name: str) -> tuple[dict[str, Any], np.ndarray | None]:
    try:
        decoded = decode_photo(data, name)
        levels = np.ascontiguousarray(decoded.image)
        return {"shape": levels.shape, "format": decoded.format, "notes": decoded.notes, "note": decoded.note}, levels
    except PhotoError as error:
        return {"error": str(error)}, None
    except MemoryError:
        return {"error": f"{name} needs more memory than there is; save it smaller and try again."}, None


def limit_memory(more: int) -> None:
    """Let this process use `more` bytes of memory beside its present ones; does nothing on systems without such a limit."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm") as file:
            own = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + more, own + more))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_time(seconds: int) -> None:
    """Let this process use `seconds` of processor time from now on; does nothing on systems without such a limit."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, *map(int, sys.argv[1:]))
