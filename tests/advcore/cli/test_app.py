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
    started: list[tuple[list[str], dict[str, str]]] = []

    def start(words: list[str], *, env: dict[str, str], **_: object) -> SimpleNamespace:
        started.append((words, env))
        return SimpleNamespace(returncode=0)

    monkeypatch.delenv("ADVCORE_PUBLIC", raising=False)
    monkeypatch.setattr(subprocess, "run", start)
    run("app", "--port", "8600")
    run("app", "--public")
    (words, environment), (_, public) = started
    assert ("ADVCORE_PUBLIC" in environment, public["ADVCORE_PUBLIC"]) == (False, "1")
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
    app, hub = (set((REPOSITORY / f"requirements{part}.txt").read_text().split()) for part in ("", "-hub"))
    assert {*PROJECT["dependencies"], *hub} <= app
