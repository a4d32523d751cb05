"""The page Can it be believed?: checks that are started, survive a reload, and are stopped."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import settled

LINK = "believe?dataset=digits&model=digits%2Fdigits_cnn-fgsm-0.2&epsilon=0.15&images=50"


def test_the_checks_run_on_after_a_reload_and_stop(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/{LINK}")
    settled(page)
    page.get_by_role("button", name="Run the checks").click()
    expect(page.get_by_text(re.compile(r"Measuring on 50 images, \d+ %"))).to_be_visible()
    expect(page.locator(".checks li")).to_have_count(10)
    expect(page.locator(".checks li").nth(0)).to_contain_text(re.compile("holds|doubtful|fails"))
    page.reload()
    expect(page.get_by_text(re.compile(r"Measuring on 50 images, \d+ %"))).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("finished checks are kept")).to_be_visible()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    expect(page.locator(".checks li").nth(9)).to_contain_text("not run")


def test_nothing_sticks_out_sideways_on_a_phone(page: Page, app_url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{app_url}/believe?dataset=digits")
    expect(page.get_by_role("heading", name="Can it be believed?")).to_be_visible()
    settled(page)
    assert page.get_by_test_id("stMain").evaluate("node => node.scrollWidth <= node.clientWidth")
