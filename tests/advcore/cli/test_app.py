"""The programs that `pip install` gives, and the command that starts the app."""

from __future__ import annotations

import importlib
import importlib.util
import os
import runpy
import sys
import tomllib
from pathlib import Path

import pytest

from advcore import data
from tests.advcore.cli.commands import refused, run
from tests.makers import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_the_app_is_started_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[list[str], str | None]] = []
    read: list[str] = []

    def start(module: str, **_: object) -> None:
        assert module == "streamlit"
        assert read.pop() in data.available(), "the images of the first page are read before the server answers"
        started.append((sys.argv, os.environ.get("ADVCORE_PUBLIC")))

    for name in ("ADVCORE_PUBLIC", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # given back after the test
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(runpy, "run_module", start)
    monkeypatch.setattr(data, "test_split", read.append)
    run("app", "--port", "8600")
    run("app", "--public")
    (words, at_home), (_, public) = started
    assert (at_home, public) == (None, "1")
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
