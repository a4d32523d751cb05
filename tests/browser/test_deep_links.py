"""A server that has just started, whose first request is a link to a page.

Until the first session has called `st.navigation`, Streamlit itself runs the file of pages/ that the link names.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import REPOSITORY, answers, free_port, offline

HEADINGS = {
    "": "How little does it take",
    "attack": "How little does it take",
    "learn": "Learn, a few minutes at a time",
    "why": "Why does it work?",
    "your_image": "Now try it with your picture",
    "your-image": "Now try it with your picture",
    "accuracy": "How does accuracy fall",
    "believe": "Can it be believed?",
    "papers": "What do the studies' numbers say",
    "retrain": "Train a network that resists attacks",
    "models": "The models",
}
# Each server is a copy of a process that has the libraries loaded, so that eight of them start in seconds.
SERVERS = """
import os, sys
import plotly.graph_objects, torch
from streamlit.web import cli
for port in sys.argv[1:]:
    if os.fork() == 0:
        cli.main(["run", "app.py", "--server.port", port, "--server.address", "127.0.0.1"])
        os._exit(0)
for _ in sys.argv[1:]:
    os.wait()
"""


@pytest.fixture(scope="module")
def fresh_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The address of an untouched server for each path."""
    folder: Path = tmp_path_factory.mktemp("fresh")
    ports = [str(free_port()) for _ in HEADINGS]
    with (folder / "servers.log").open("wb") as log:
        parent = subprocess.Popen(
            [sys.executable, "-c", SERVERS, *ports],
            cwd=REPOSITORY,
            env=offline(folder, None),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            urls = {path: f"http://127.0.0.1:{port}" for path, port in zip(HEADINGS, ports, strict=True)}
            assert all(answers(url, parent) for url in urls.values()), (folder / "servers.log").read_text()[-2000:]
            yield urls
        finally:
            os.killpg(parent.pid, 15)
            parent.wait(20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="copies of a process need fork")
@pytest.mark.parametrize("path", HEADINGS)
def test_the_first_request_of_a_server_reaches_its_page(page: Page, fresh_servers: dict[str, str], path: str) -> None:
    page.goto(f"{fresh_servers[path]}/{path}?dataset=digits")
    expect(page.get_by_role("heading", name=HEADINGS[path])).to_be_visible()
    # Nothing of the page's file is drawn above its heading.
    expect(page.get_by_test_id("stMainBlockContainer")).to_have_text(re.compile(rf"^\s*{re.escape(HEADINGS[path])}"))
    expect(page.get_by_role("link", name="Accuracy vs ε")).to_be_visible()
    expect(page.get_by_test_id("stSidebarNav")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)
