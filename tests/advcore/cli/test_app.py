"""The programs that `pip install` gives, and the command that starts the app."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.advcore.cli.commands import refused, run
from tests.makers import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_the_app_is_started_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda words, **_: started.append(words) or SimpleNamespace(returncode=0))
    run("app", "--port", "8600")
    (words,) = started
    assert Path(words[words.index("run") + 1]).samefile(REPOSITORY / "app.py")
    assert words[-4:] == ["--server.address", "localhost", "--server.port", "8600"]


def test_without_streamlit_the_app_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "adversarial-lab[app]" in refused(capsys, "app")


def test_the_programs_of_the_package_exist() -> None:
    for entry in PROJECT["scripts"].values():
        module, name = entry.split(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_requirements_of_the_app_contain_those_of_the_engine() -> None:
    assert set(PROJECT["dependencies"]) <= set((REPOSITORY / "requirements.txt").read_text().split())
