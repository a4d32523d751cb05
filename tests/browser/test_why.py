"""The page Why: from Attack to the maps and back with the same state."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from tests.browser.conftest import settled

STATE = "dataset=digits&a=digits%2Fdigits_cnn-standard&b=digits%2Fdigits_cnn-fgsm-0.2&attack=fgsm&image=3&epsilon=0.15"


def test_from_attack_to_why_and_back(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/?{STATE}")
    page.get_by_role("link", name="Why does it work?").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Why does it work?")
    map_of_a = page.get_by_role("img", name="The answers of model A")
    expect(map_of_a).to_be_visible()
    settled(page)
    # Pointing at the middle shows the image itself; the server is not asked.
    said = page.locator(".says").first
    expect(said).to_contain_text("the attack at ε = 0.150")
    map_of_a.hover()
    expect(said).to_contain_text("largest change of a pixel")
    expect(said).not_to_contain_text("the attack at")
    page.get_by_role("slider", name="ε").press("ArrowRight")
    expect(page).to_have_url(re.compile("epsilon=0.155"))
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download the figure as SVG").click()
    assert saved.value.path().read_text().startswith("<svg")
    page.get_by_role("link", name="Back to Attack").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("How little does it take")
    settled(page)
    assert parse_qs(urlsplit(page.url).query) == parse_qs(STATE) | {"epsilon": ["0.155"]}
