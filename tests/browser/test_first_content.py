"""The benchmark of the first content finds it on the pages."""

from __future__ import annotations

import runpy

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import REPOSITORY


def test_the_useful_content_of_a_page_is_found(page: Page, app_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")  # the script finds its neighbours there
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
    for name in ("models", "papers", "believe"):
        assert script["first_content"](page, app_url, name) > 0
