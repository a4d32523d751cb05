"""A real server and a real Chromium. The server sees no network, no data folder and no runs but the test session's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, TimeoutError, expect, sync_playwright

REPOSITORY = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    # The scripts run for a second or two: optimizing them takes longer than it saves.
    "--js-flags=--sparkplug --no-opt --no-maglev",
]
VIEWPORT = {"width": 1360, "height": 900}
# `asked` is when the page last sent something that the server has not begun to answer: until then Streamlit says that nothing
# is running.
ASKED = """const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
    window.asked = performance.now();
    if (!this.heard) this.addEventListener("message", () => { window.asked = null; });
    this.heard = true;
    return send.call(this, data);
};"""
expect.set_options(timeout=60_000)
# Streamlit looks for its health check below the page's own path first, and finds it one level up.
EXPECTED = ("_stcore/health", "_stcore/host-config")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def offline(folder: Path, data_folder: Path | None) -> dict[str, str]:
    """The environment of a server without a network, with its runs below `folder`."""
    return os.environ | {
        "ADVCORE_RUNS": str(folder / "runs"),
        "ADVCORE_DATA": str(data_folder or folder / "no data"),
        "PYTHONPATH": str(REPOSITORY),
        # Nothing listens there: a request to the network fails at once.
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "localhost,127.0.0.1",
    }


def answers(url: str, server: subprocess.Popen[bytes]) -> bool:
    """Whether a server comes to answer at the address; False once its process has ended, or after a minute."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(300):
        try:
            opener.open(f"{url}/_stcore/health", timeout=1)
            return True
        except OSError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.2)
                return False
    return False


def start_server(folder: Path, data_folder: Path | None) -> tuple[subprocess.Popen[bytes], str]:
    """The app on a free port with its runs below `folder`; waits until it answers."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "advcore", "app", "--port", str(port), "--address", "127.0.0.1"]
    log = (folder / "server.log").open("wb")
    environment = offline(folder, data_folder)
    server = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=subprocess.STDOUT)
    if answers(url, server):
        return server, url
    server.kill()
    raise RuntimeError(f"The server did not start: {(folder / 'server.log').read_text()[-2000:]}")


@pytest.fixture(scope="session")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The running app, offline: digits and foolbox's samples are all it has."""
    server, url = start_server(tmp_path_factory.mktemp("app"), None)
    yield url
    server.kill()
    server.wait()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = next(
        (
            found
            for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
            if (found := shutil.which(name))
        ),
        None,
    )
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def context(browser: Browser) -> BrowserContext:
    """What the pages of all tests share: the browser keeps the app's compiled scripts. Nothing fades in or out."""
    context = browser.new_context(viewport=VIEWPORT, accept_downloads=True, reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.add_init_script(ASKED)
    return context


@pytest.fixture(scope="session")
def tab(context: BrowserContext) -> Page:
    """The tab that all tests use one after another: a new one takes longer than the page in it. Each visit is a new session."""
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    return opened


@pytest.fixture
def page(tab: Page) -> Iterator[Page]:
    """An empty page; the test fails when it left an error in the console or asked the world for anything."""
    errors: list[str] = []
    listeners = {
        "pageerror": lambda error: errors.append(str(error)),
        "console": lambda message: (
            errors.append(message.text)
            if message.type == "error" and not message.location.get("url", "").endswith(EXPECTED)
            else None
        ),
        "request": lambda request: errors.append(f"asked for {request.url}") if _foreign(request.url) else None,
    }
    for event, listener in listeners.items():
        tab.on(event, listener)
    yield tab
    tab.goto("about:blank")
    tab.set_viewport_size(VIEWPORT)
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    assert errors == []


def _foreign(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:"))


def settled(page: Page) -> None:
    """Wait until the server has nothing left to do for this page."""
    page.wait_for_function(
        "() => !(window.asked && performance.now() - window.asked < 10000)"
        " && document.querySelector('[data-testid=\"stApp\"]')?.dataset.testScriptState === 'notRunning'"
        " && !document.querySelector('[data-stale=\"true\"]')"
    )


def drawn(page: Page) -> None:
    """Wait until the browser has drawn what was changed: a size, a thumb that was moved."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))")


def choose(page: Page, box: Locator, option: Locator) -> None:
    """Pick an option; a list that closed because the page was still being drawn is opened again, as a person would."""
    for _ in range(5):
        box.click()
        try:
            option.click(timeout=4000)
        except TimeoutError:
            page.keyboard.press("Escape")
        else:
            drawn(page)  # the choice is then on its way to the server
            return settled(page)
    raise AssertionError("The list never stayed open long enough to pick from it.")
