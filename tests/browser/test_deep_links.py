"""A server that has just started, whose first request is a link to a page; then what the page owes to all its readers.

Until the first session has called `st.navigation`, Streamlit itself runs the file of pages/ that the link names. Headings,
names and contrast are checked in both themes, by a script of our own: no copy of axe-core comes with a package we use.
"""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from tests.browser.conftest import REPOSITORY, answers, free_port, offline, settled

WRONG = Path(__file__).with_name("accessibility.js").read_text()
# Title and heading of each page; the first page and Your image can be reached by two addresses.
PAGES = {
    "": ("Attack", "How little does it take"),
    "attack": ("Attack", "How little does it take"),
    "learn": ("Learn", "Learn, a few minutes at a time"),
    "why": ("Why", "Why does it work?"),
    "your_image": ("Your image", "Now try it with your picture"),
    "your-image": ("Your image", "Now try it with your picture"),
    "accuracy": ("Accuracy vs ε", "How does accuracy fall"),
    "believe": ("Can it be believed?", "Can it be believed?"),
    "papers": ("Papers", "What do the studies' numbers say"),
    "retrain": ("Retrain", "Train a network that resists attacks"),
    "models": ("Models", "The models"),
}
# Each server is a copy of a process that has loaded what `advcore app` loads before it starts one. All have one address, so
# that the browser compiles the app's scripts once.
SERVERS = """
import os, signal, sys
from advcore.cli import app
from streamlit.web import cli
app._load()
server = 0
for _ in sys.stdin:
    if server:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
    print("ended", flush=True)
    server = os.fork()
    if not server:
        os.dup2(2, 1)
        cli.main(["run", "app.py", "--server.port", sys.argv[1], "--server.address", "127.0.0.1"])
"""


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """What starts an untouched server in the place of the last one, and returns its address."""
    folder: Path = tmp_path_factory.mktemp("fresh")
    url = f"http://127.0.0.1:{(port := free_port())}"
    with (folder / "servers.log").open("wb") as log:
        parent = subprocess.Popen(
            [sys.executable, "-c", SERVERS, str(port)],
            cwd=REPOSITORY,
            env=offline(folder, None),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )

        def restart() -> str:
            parent.stdin.write(b"\n")
            parent.stdin.flush()
            assert parent.stdout.readline() == b"ended\n"  # the last server, which would answer in the place of the new one
            assert answers(url, parent), (folder / "servers.log").read_text()[-2000:]
            return url

        try:
            yield restart
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
            parent.wait(20)


@pytest.fixture(scope="module")
def first_content() -> dict[str, Any]:
    """What `benchmarks/first_content.py` defines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "benchmarks")  # the script finds its neighbours there
        return runpy.run_path(str(REPOSITORY / "benchmarks" / "first_content.py"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="copies of a process need fork")
@pytest.mark.parametrize("path", PAGES)
def test_the_first_request_of_a_server_reaches_its_page(
    page: Page, restarted: Callable[[], str], first_content: dict[str, Any], path: str
) -> None:
    title, heading = PAGES[path]
    page.emulate_media(color_scheme="light")
    page.goto(f"{restarted()}/{path}?dataset=digits")
    expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
    # Nothing of the page's file is drawn above its heading.
    expect(page.get_by_test_id("stMainBlockContainer")).to_have_text(re.compile(rf"^\s*{re.escape(heading)}"))
    expect(page.get_by_role("link", name="Accuracy vs ε")).to_be_visible()
    expect(page.get_by_test_id("stSidebarNav")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)
    expect(page).to_have_title(f"{title} – Adversarial Lab")
    expect(page.locator(first_content["USEFUL"][path.replace("-", "_") or "attack"]).first).to_be_visible()
    if path not in ("attack", "your-image"):
        can_be_read_by_all(page)


def test_the_benchmark_of_the_first_content_finds_it(page: Page, app_url: str, first_content: dict[str, Any]) -> None:
    assert set(first_content["USEFUL"]) == {path for path in PAGES if path and "-" not in path}
    assert first_content["first_content"](page, app_url, "learn") > 0


def test_the_presentation_can_be_read_by_all(page: Page, app_url: str) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(f"{app_url}/present")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page).to_have_title("Present – Adversarial Lab")
    can_be_read_by_all(page)


def can_be_read_by_all(page: Page) -> None:
    settled(page)
    assert wrong(page) == []
    page.emulate_media(color_scheme="dark")
    expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", "dark")
    assert wrong(page) == []


def wrong(page: Page) -> list[str]:
    """What is wrong with the page, once what is still being measured, and so is drawn pale, has its full contrast."""
    try:
        page.wait_for_function(f"() => !({WRONG.strip().rstrip(';')})().length", timeout=30_000)
    except TimeoutError:
        return page.evaluate(WRONG)
    return []


def test_what_is_wrong_is_found(page: Page) -> None:
    page.set_content("<h1>One</h1><h1>Two</h1><h3>Deep</h3><button></button><p style='color: #999; background: #fff'>Faint</p>")
    wrong = page.evaluate(WRONG)
    assert len(wrong) == 4, wrong
