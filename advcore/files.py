"""Small files that a reader, or a crash, never sees half of."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside the target, to the disk, and rename: the file is complete, or as it was. Its folder must exist."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_object(path: Path, most_bytes: int = 100_000) -> dict[str, Any]:
    """The JSON object in a small file; empty where the file is missing or holds something else."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(most_bytes))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
