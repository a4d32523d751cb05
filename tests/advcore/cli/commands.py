"""Commands run in this process: their JSON, or their one line of error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from advcore.cli.main import main

STANDARD = "digits/digits_cnn-standard"


def run(*words: str, expect: int = 0) -> None:
    assert main(list(words)) == expect


def result_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The one JSON object a command prints, and nothing beside it."""
    run(*words)
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    run(*words, expect=2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("advcore: ")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith(".\n")
    assert "Traceback" not in captured.err
    return captured.err
