"""How the app starts: on which address, and without asking the network for it."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import types

import pytest
import streamlit as st

from tests.pages.conftest import REPOSITORY, open_page


def test_the_address_is_configured_so_that_streamlit_does_not_ask_the_network_for_it() -> None:
    assert st.get_option("browser.serverAddress") == "localhost"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("words", "address", "port", "public"),
    [((), "localhost", "8501", "0"), (("ADDRESS=0.0.0.0", "PORT=9000", "PUBLIC=1"), "0.0.0.0", "9000", "1")],
)
def test_make_run_listens_on_this_machine_unless_told_otherwise(
    words: tuple[str, ...], address: str, port: str, public: str
) -> None:
    # Without the variables of the `make test` around it, which add lines about folders.
    outside = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ADVCORE_PUBLIC")
    }
    printed = subprocess.run(
        ["make", "-n", "run", *words], cwd=REPOSITORY, env=outside, capture_output=True, text=True, check=True
    ).stdout
    command = printed.splitlines()[-1].split()
    assert command[command.index("--address") + 1] == address
    assert command[command.index("--port") + 1] == port
    assert f"ADVCORE_PUBLIC={public}" in command


def test_what_a_page_loads_is_not_searched_for_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    open_page("models")
    before = gc.get_freeze_count()
    loaded = types.ModuleType("loaded")
    loaded.held = [[] for _ in range(10_000)]
    open_page("models")
    assert gc.get_freeze_count() <= before
    monkeypatch.setitem(sys.modules, "loaded", loaded)
    open_page("models")
    assert gc.get_freeze_count() >= before + 10_000
