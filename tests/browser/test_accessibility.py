"""Headings, names and contrast of every page, in both themes. No copy of axe-core comes with a package we use."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from tests.browser.conftest import settled

WRONG = Path(__file__).with_name("accessibility.js").read_text()
PAGES = {
    "": "Attack",
    "learn": "Learn",
    "why": "Why",
    "your_image": "Your image",
    "accuracy": "Accuracy vs ε",
    "believe": "Can it be believed?",
    "papers": "Papers",
    "retrain": "Retrain",
    "models": "Models",
    "present": "Present",
}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_read_by_all(page: Page, app_url: str, path: str) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(f"{app_url}/{path}?dataset=digits")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settled(page)
    expect(page).to_have_title(f"{PAGES[path]} – Adversarial Lab")
    assert wrong(page) == []
    page.emulate_media(color_scheme="dark")
    expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", "dark")
    assert wrong(page) == []


def wrong(page: Page) -> list[str]:
    """What is wrong with the page, once what fades in has its full contrast."""
    with contextlib.suppress(TimeoutError):
        page.wait_for_function(f"() => !({WRONG.strip().rstrip(';')})().length", timeout=5000)
    return page.evaluate(WRONG)


def test_what_is_wrong_is_found(page: Page) -> None:
    page.set_content("<h1>One</h1><h1>Two</h1><h3>Deep</h3><button></button><p style='color: #999; background: #fff'>Faint</p>")
    wrong = page.evaluate(WRONG)
    assert len(wrong) == 4, wrong
