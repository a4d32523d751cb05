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
    expect(page.locator(".outcome")).to_contain_text("points")
    expect(page.get_by_text("of the first 360 test images.")).to_be_visible(timeout=180_000)
    expect(page.locator(".before-after figure")).to_have_count(3)
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    page.get_by_text("FGSM", exact=True).click()
    expect(page.get_by_text("Accuracy under FGSM")).to_be_visible()
    link.click()
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".card").nth(1)).to_contain_text("ε 0.2 (2)")
    page.goto(f"{app_url}/models?model=digits%2Fdigits_cnn-fgsm-0.2-2")
    expect(page.get_by_role("button", name="Rename")).to_be_visible()


def test_a_training_is_stopped_and_resumed(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/retrain?dataset=digits&preset=robust")
    settled(page)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text(re.compile(r"Step \d+ of"))).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text(re.compile("Stopped; resuming continues from step"))).to_be_visible(timeout=60_000)
    settled(page)
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("heading", name="The models")).to_be_visible()
    settled(page)
    page.get_by_role("link", name="Retrain").click()
    expect(page.get_by_text(re.compile("Stopped; resuming continues from step"))).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text(re.compile(r"Step \d+ of"))).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    # A waiting one can be deleted too, but not while it ends.
    expect(page.get_by_text(re.compile("Stopped; resuming continues from step"))).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete this training").click()
    expect(page.get_by_text(re.compile("Stopped; resuming"))).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text(re.compile("Stopped; resuming"))).to_be_visible()


def test_a_second_training_queues_without_the_form_and_the_form_keeps_its_choices(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/retrain?dataset=digits&architecture=lee_cnn&preset=robust&job=new")
    start, stop = (page.get_by_role("button", name=name) for name in ("Start training", "Stop"))
    start.click()
    expect(stop).to_be_visible()
    expect(start).to_have_count(0)
    page.get_by_role("button", name="New training").click()
    expect(page.get_by_text("Another training is running")).to_be_visible()
    settled(page)
    expect(page.get_by_role("combobox", name=re.compile("Dataset"))).to_have_value("Digits 8×8")
    expect(page.get_by_role("combobox", name=re.compile("Architecture"))).to_have_value("Lee's CNN")
    start.click()
    page.wait_for_function("() => document.body.innerText.includes('Queued behind another training')")
    assert page.get_by_text("Change the recipe").count() == 0, "not even while the rest of the page is drawn"
    stop.click()
    expect(page.get_by_role("button", name="Delete")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete this training").click()
    expect(page.get_by_role("combobox", name=re.compile("Architecture"))).to_have_value("Lee's CNN")
