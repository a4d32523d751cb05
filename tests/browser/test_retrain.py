"""A retraining from the first click to the new model on the Attack page."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import settled


def test_the_preset_of_under_a_minute_is_watched_reloaded_and_attacked(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/retrain?dataset=digits")
    settled(page)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text(re.compile(r"Step \d+ of 300"))).to_be_visible(timeout=60_000)
    expect(page).to_have_url(re.compile("job="))
    page.reload()
    expect(page.get_by_text(re.compile(r"Step \d+ of 300|Measuring the final"))).to_be_visible(timeout=60_000)
    link = page.get_by_role("link", name="Attack the new model")
    expect(link).to_be_visible(timeout=180_000)
    expect(page.get_by_text("360 of 360 test images")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("200 of 200 test images")).to_be_visible(timeout=180_000)
    address = link.get_attribute("href")
    assert address
    page.goto(f"{app_url}{address.removeprefix('.')}")
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".card").nth(1)).to_contain_text("digits_cnn-fgsm-0.2-2")
    page.goto(f"{app_url}/models?model=digits%2Fdigits_cnn-fgsm-0.2-2")
    expect(page.get_by_role("button", name="Rename")).to_be_visible()


def test_a_training_is_stopped_and_resumed(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/retrain?dataset=digits&preset=robust")
    settled(page)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text(re.compile(r"Step \d+ of"))).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text(re.compile("Stopped; resuming continues from step"))).to_be_visible(timeout=60_000)
    # The page draws itself anew when a training has ended; a click in that moment goes to what is no longer there.
    page.wait_for_timeout(1000)
    settled(page)
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("heading", name="The models")).to_be_visible()
    settled(page)
    page.get_by_role("link", name="Retrain").click()
    expect(page.get_by_text(re.compile("Stopped; resuming continues from step"))).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text(re.compile(r"Step \d+ of"))).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Delete")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text(re.compile("Stopped; resuming"))).to_have_count(0)
