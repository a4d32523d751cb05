"""A whole lesson, with the keyboard alone, and its steps read by all."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from PIL import Image
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.conftest import settled
from tests.browser.test_deep_links import wrong

# Faster than the server can answer the first: the click must count where the track stands.
MOVED_AND_CLICKED = """track => {
    track.value = 12;
    for (const name of ["input", "change"]) track.dispatchEvent(new Event(name, { bubbles: true }));
    [...document.querySelectorAll("button")].find((each) => each.textContent.includes("I see a change now")).click();
}"""


def press(page: Page | FrameLocator, name: str) -> None:
    button = page.get_by_role("button", name=name)
    expect(button).to_be_enabled()
    button.press("Enter")


def test_a_lesson_is_gone_through_with_the_keyboard(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/learn")
    page.get_by_role("button", name="Start").first.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("What is ε?")
    assert wrong(page) == []
    page.get_by_role("radio").first.press("Space")
    press(page, "Try it")
    track = page.get_by_role("slider")
    track.press("Home")
    expect(page.get_by_role("button", name="I see a change now")).to_be_disabled()
    assert not page.locator(".verdict").is_visible()
    track.press("ArrowRight")
    expect(page.get_by_role("button", name="I see a change now")).to_be_enabled()
    track.evaluate(MOVED_AND_CLICKED)
    expect(page.locator(".verdict")).to_have_text("✗ FOOLED")
    expect(page.get_by_text("You saw the change at")).to_be_visible()
    settled(page)
    assert wrong(page) == []
    press(page, "Explain")
    expect(page.get_by_role("heading", name="It came out differently")).to_be_visible()
    settled(page)
    assert wrong(page) == []
    page.get_by_role("button", name="PGD-20").press("Enter")
    expect(page.get_by_text("Projected gradient descent")).to_be_visible()
    assert wrong(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_text("Projected gradient descent")).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.get_by_test_id("stMain").evaluate("node => node.scrollWidth <= node.clientWidth")
    limit = page.get_by_text("the model was first fooled at").locator("strong").last.inner_text()
    page.get_by_role("link", name="This image on the Attack page").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("How little does it take")
    expect(page.locator(".eps")).to_contain_text(limit)
    settled(page)
    page.go_back()
    expect(page.get_by_role("heading", name="It came out differently")).to_be_visible()


@pytest.mark.parametrize("query", ["", "&embed=true"])
def test_the_pictures_to_judge_by_eye_are_large_and_the_button_is_in_sight(page: Page, app_url: str, query: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{app_url}/learn?lesson=1-epsilon&step=try{query}")
    expect(page.get_by_role("button", name="I see a change now")).to_be_in_viewport(ratio=1)
    pictures = page.locator(".equation canvas:visible")
    expect(pictures).to_have_count(2)
    sides = [box["width"] for canvas in pictures.all() if (box := canvas.bounding_box())]
    assert len(sides) == 2
    assert min(sides) > 300


def test_the_saved_pictures_can_be_saved_as_figures(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/learn?lesson=5-your-own&step=try")
    with page.expect_download() as drawn:
        page.get_by_role("button", name="Download the figure as PNG").click()
    picture = Image.open(drawn.value.path())
    assert picture.size == (1920, 1080)
    assert len(picture.convert("RGB").getcolors(1 << 24)) > 20
    with page.expect_download() as drawn:
        page.get_by_role("button", name="Download the figure as SVG").click()
    figure = ElementTree.parse(drawn.value.path()).getroot()
    spaced = "{http://www.w3.org/2000/svg}"
    shown = page.locator(".pictures figure")
    assert len(figure.findall(f".//{spaced}image")) == shown.count()
    told = [text.text for text in figure.iter(f"{spaced}text")]
    assert told == [line for words in shown.all_inner_texts() for line in words.split("\n") if line]
