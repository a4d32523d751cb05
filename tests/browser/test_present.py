"""The presenter view, with the keyboard alone: its screens are the live pages, and the notes stand in a second window."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import settled
from tests.browser.test_deep_links import wrong
from tests.browser.test_learn import press
from ui.deck import Screen, to_text
from ui.share import ALONE

LESSON = {"lesson": "1-epsilon"}
DECK = (
    Screen("learn", LESSON | {"step": "predict"}, "Predict", "Ask first.\nThen go on."),
    Screen("learn", LESSON | {"step": "try"}, "Try"),
    Screen("learn", LESSON | {"step": "explain"}, "Explain"),
)


def test_a_lesson_is_presented_with_the_keyboard(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/present?deck={to_text(DECK)}")
    page.get_by_role("button", name="▶ Present 3 screens").press("Enter")
    status, shown = page.get_by_role("status").filter(has_text="Screen"), page.frame_locator("iframe.shown")
    expect(status).to_have_text("Screen 1 of 3: Predict")
    with page.expect_popup() as opened:
        page.keyboard.press("n")
    notes = opened.value
    expect(notes.get_by_text("Then go on.")).to_be_visible()
    shown.get_by_role("radio").nth(1).press("Space")
    expect(shown.get_by_role("button", name="Try it")).to_be_enabled()
    expect(shown.get_by_role("link", name="Models")).to_be_hidden()
    assert wrong(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("q")
    expect(page.get_by_text(f"{app_url}/learn?lesson=1-epsilon&step=predict")).to_be_visible()
    expect(page.get_by_text(ALONE)).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(notes.get_by_role("heading")).to_have_text("Try")
    expect(page.get_by_alt_text("QR code")).to_be_hidden()
    # On the track the arrows move ε; a clicker turns the page all the same.
    track = shown.get_by_role("slider")
    track.press("ArrowRight")
    expect(shown.locator(".eps")).to_contain_text("ε = 0.002")
    press(shown, "I see a change now")
    expect(shown.locator(".verdict")).to_be_visible()
    track.press("PageDown")
    expect(status).to_have_text("Screen 3 of 3: Explain")
    # The steps share a session: the last one knows the answer and what was tried.
    expect(shown.get_by_text("your answer")).to_be_visible()
    notes.keyboard.press("PageUp")
    expect(shown.get_by_role("slider")).to_be_visible()
    page.get_by_role("button", name="End the presentation").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Present")
    if not notes.is_closed():
        notes.wait_for_event("close")
    settled(page)


def test_the_list_outlives_a_reload_and_a_new_tab(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/learn")
    settled(page)
    page.get_by_role("button", name="Add to presentation").click()
    link = page.get_by_role("link", name="Presentation: 1")
    expect(link).to_be_visible()
    # The browser stores the list within milliseconds of showing the link: faster than a person, slower than this test.
    page.wait_for_function("localStorage.getItem('adversarial lab deck')")
    page.reload()
    expect(link).to_be_visible()
    other = page.context.new_page()
    other.goto(f"{app_url}/models")
    settled(other)
    other.get_by_role("button", name="Add to presentation").click()
    # Both tabs show one list.
    expect(page.get_by_role("link", name="Presentation: 2")).to_be_visible(timeout=10_000)
    other.goto(f"{app_url}/present")
    expect(other.get_by_role("button", name="▶ Present 2 screens")).to_be_visible()
    assert other.evaluate("history.length") == 3  # the blank page, Models and Present
    other.get_by_role("button", name="Clear the list").click()
    expect(other.get_by_text("The list is empty.")).to_be_visible()
    settled(other)
    other.close()
    expect(page.get_by_role("link", name="Presentation:")).to_have_count(0)
    page.evaluate("localStorage.setItem('adversarial lab deck', 'damaged')")
    page.reload()
    settled(page)
    page.get_by_role("button", name="Add to presentation").click()
    expect(link).to_be_visible()
    page.evaluate("localStorage.clear()")


def test_a_presented_scrubber_is_larger_and_fits_a_projector(page: Page, app_url: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 672})
    tall = []
    for query in ("", "&embed=true"):
        page.goto(f"{app_url}/?dataset=digits{query}")
        settled(page)
        tall.append(page.locator(".bars").first.bounding_box()["height"])
        cards = page.locator(".cards").bounding_box()
    assert tall[1] > 1.1 * tall[0]
    assert cards["y"] + cards["height"] <= 672
