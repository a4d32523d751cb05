"""A retraining from the first click to the new model on the Attack page."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import choose, settled


def test_the_preset_of_under_a_minute_is_watched_reloaded_and_attacked(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/retrain?dataset=digits")
    settled(page)
    page.get_by_text("Change the recipe").click()
    page.get_by_label("Epochs", exact=True).fill("3")
    page.keyboard.press("Enter")
    expect(page.get_by_text("3 epochs of")).to_be_visible()
    settled(page)
    page.go_back()
    expect(page.get_by_label("Epochs", exact=True)).to_have_value("15")
    settled(page)
    page.go_forward()
    expect(page.get_by_label("Epochs", exact=True)).to_have_value("3")
    settled(page)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text(re.compile(r"Step \d+ of \d+"))).to_be_visible()
    expect(page).to_have_url(re.compile("job="))
    page.reload()
    expect(page.get_by_text(re.compile(r"Step \d+ of \d+|Measuring"))).to_be_visible()
    link = page.get_by_role("link", name="Attack the new model")
    expect(link).to_be_visible(timeout=180_000)
    expect(page.locator(".outcome")).to_contain_text("points")
    expect(page.get_by_text("of the first 360 test images.")).to_be_visible(timeout=180_000)
    expect(page.locator(".pictures figure")).to_have_count(3)
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    page.get_by_text("FGSM", exact=True).first.click()
    expect(page.get_by_text("Accuracy under FGSM")).to_be_visible()
    link.click()
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".card").nth(1)).to_contain_text("ε 0.2 (2)")
    page.goto(f"{app_url}/models?model=digits%2Fdigits_cnn-fgsm-0.2-2")
    expect(page.get_by_role("button", name="Rename")).to_be_visible()


def test_a_training_is_stopped_and_resumed_and_another_queues(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/retrain?dataset=digits&architecture=lee_cnn&preset=robust&job=new")
    start, stop, delete = (page.get_by_role("button", name=name) for name in ("Start training", "Stop", "Delete"))
    running, stopped = page.get_by_text(re.compile(r"Step \d+ of")), page.get_by_text("Stopped; resuming continues from step")
    architecture = page.get_by_role("combobox", name=re.compile("Architecture"))
    start.click()
    expect(running).to_be_visible()
    expect(start).to_have_count(0)
    stop.click()
    expect(stopped).to_be_visible()
    settled(page)
    page.get_by_role("link", name="Learn", exact=True).click()
    expect(page.get_by_role("heading", name="Learn, a few minutes at a time")).to_be_visible()
    settled(page)
    page.get_by_role("link", name="Retrain").click()
    expect(stopped).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(running).to_be_visible()
    # The form keeps its choices, and nothing of it stays while the second one queues.
    page.get_by_role("button", name="New training").click()
    expect(page.get_by_text("Another training is running")).to_be_visible()
    settled(page)
    expect(page.get_by_role("combobox", name=re.compile("Dataset"))).to_have_value("Digits 8×8")
    expect(architecture).to_have_value("Lee's CNN")
    start.click()
    page.wait_for_function("() => document.body.innerText.includes('Queued behind another training')")
    assert page.get_by_text("Change the recipe").count() == 0, "not even while the rest of the page is drawn"
    stop.click()
    # A deleted one comes back.
    delete.click()
    page.get_by_role("button", name="Delete this training").click()
    expect(architecture).to_have_value("Lee's CNN")
    page.get_by_role("button", name="Undo").click()
    expect(delete).to_be_visible()
    delete.click()
    page.get_by_role("button", name="Delete this training").click()
    expect(architecture).to_be_visible()
    settled(page)
    # It would go on beside all tests that follow.
    choose(page, page.get_by_role("combobox", name="Training"), page.get_by_role("option", name=re.compile("Lee's CNN")))
    stop.click()
    expect(stopped).to_be_visible()
