"""The benchmark of the first content finds it on the pages."""

from __future__ import annotations

import runpy

from playwright.sync_api import Page

from tests.browser.conftest import REPOSITORY


def test_the_useful_content_of_a_page_is_found(page: Page, app_url: str) -> None:
    script = runpy.run_path(str(REPOSITORY / "benchmarks" / "first_content.py"))
    assert set(script["USEFUL"]) == {
        "attack",
        "learn",
        "why",
        "your_image",
        "accuracy",
        "believe",
        "papers",
        "retrain",
        "models",
    }
    for name in ("models", "papers"):
        assert script["first_content"](page, app_url, name) > 0
