"""A public server in real browsers: two visitors, who see their own work alone, and the host, who sees all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from advcore.jobs import processes
from advcore.models import checkpoints
from tests.browser.conftest import settled, start_server
from tests.makers import DIGIT_NAMES, RECIPE, fresh
from ui.visitor import COOKIE

TOKEN = "the token of the host of these tests"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a public server where a training of the host's seems to run, and the folder of its runs."""
    folder = tmp_path_factory.mktemp("public")
    busy = folder / "runs" / "jobs" / "20260102-030405-000000"
    busy.mkdir(parents=True)
    (busy / "recipe.json").write_text(RECIPE.to_json())
    processes.record(busy, os.getpid())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADVCORE_PUBLIC", "1")
        patch.setenv("ADVCORE_HOST_TOKEN", TOKEN)
        server, url = start_server(folder, None)
    yield url, folder / "runs"
    server.kill()
    server.wait()
    shutil.rmtree(busy.parent)  # or the waiting training would start when this process ends


def key(page: Page) -> str:
    """The visitor's key, once the browser has it."""
    page.wait_for_function("name => document.cookie.includes(name)", arg=COOKIE)
    return next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == COOKIE)


def become(page: Page, key: str | None) -> None:
    """Go on as the visitor with that key, or as a new one. Visitors differ in nothing else: one browser loads the app once."""
    page.goto("about:blank")  # a page that is still being drawn would set its cookie again
    page.context.clear_cookies(name=COOKIE)
    if key:
        page.context.add_cookies([{"name": COOKIE, "value": key, "domain": "127.0.0.1", "path": "/"}])


def test_two_visitors_and_a_host(page: Page, public: tuple[str, Path]) -> None:
    url, runs = public
    own, waits = page.get_by_role("option", name=re.compile("your own")), page.get_by_text("Queued behind another training")
    become(page, None)
    page.goto(f"{url}/retrain?dataset=digits")
    expect(page.get_by_text("Only this browser sees them")).to_be_visible()
    page.get_by_role("button", name="Start training").click()
    expect(waits).to_be_visible()
    expect(page).to_have_url(re.compile("job="))
    link, one = page.url, key(page)
    page.reload()
    expect(waits).to_be_visible()

    become(page, None)
    page.goto(link)
    expect(page.get_by_role("button", name="Start training")).to_be_visible()
    expect(page.get_by_role("combobox", name="Training")).to_have_count(0)
    two = key(page)
    assert two != one

    of_one = hashlib.sha256(one.encode()).hexdigest()[:32]
    path, network, names = runs / "models" / "digits" / "theirs.safetensors", fresh("digits_cnn", (1, 8, 8)), DIGIT_NAMES
    origin = {"visitor": of_one}
    checkpoints.save(path, network, RECIPE, shape=(1, 8, 8), class_names=names, metrics={}, provenance=origin)
    for visitor, count in ((one, 1), (two, 0)):
        become(page, visitor)
        page.goto(f"{url}/models?of=digits&model=digits/theirs")
        expect(page.get_by_role("option").first).to_be_visible()
        settled(page)
        expect(own).to_have_count(count)
        expect(page.get_by_role("button", name="Rename")).to_have_count(count)
        expect(page.get_by_text("Import a model")).to_have_count(0)

    page.get_by_role("button", name="Host").click()
    for token, words in (("a guess", "This is not the host's token."), (TOKEN, "Import a model")):
        page.get_by_label("The host's token").fill(token)
        page.keyboard.press("Enter")
        expect(page.get_by_text(words)).to_be_visible()
    expect(page.get_by_role("option", name=re.compile("theirs"))).to_have_count(1)
    page.goto(link)
    expect(page.get_by_role("combobox", name="Training")).to_have_value(re.compile(f"visitor {of_one[:6]}"))
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped; resuming starts it from the beginning")).to_be_visible()
