"""The living slide, downloaded from a page and opened from disk with the network off."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect


def test_epsilon_is_dragged_without_a_server(page: Page, app_url: str, browser: Browser, tmp_path: Path) -> None:
    page.goto(f"{app_url}/?dataset=mnist&epsilon=0.1")
    with page.expect_download() as download:
        page.get_by_role("button", name="Living slide (HTML)").click()
    file = tmp_path / "slide.html"
    download.value.save_as(file)
    assert file.stat().st_size < 1_000_000
    context = browser.new_context(offline=True, color_scheme="dark", viewport={"width": 1280, "height": 720})
    slide = context.new_page()
    asked: list[str] = []
    problems: list[str] = []
    slide.on("request", lambda request: asked.append(request.url))
    slide.on("pageerror", lambda error: problems.append(str(error)))
    slide.on("console", lambda message: problems.append(message.text) if message.type in {"error", "warning"} else None)
    slide.goto(file.as_uri())
    track = slide.get_by_role("slider")
    track.focus()
    slide.keyboard.press("Home")
    expect(slide.locator(".eps")).to_contain_text("ε = 0.000")
    expect(slide.locator(".verdict").first).to_have_text("✓ HELD")
    box = track.bounding_box()
    slide.mouse.move(box["x"] + 12, box["y"] + box["height"] / 2)
    slide.mouse.down()
    slide.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2, steps=4)
    slide.mouse.up()
    expect(slide.locator(".verdict").first).to_have_text("✗ FOOLED")
    expect(slide.locator("body")).to_have_css("color", "rgb(232, 238, 243)")
    slide.get_by_role("button", name="Light / dark").click()
    expect(slide.locator("body")).to_have_css("color", "rgb(20, 32, 43)")
    context.close()
    assert (problems, asked) == ([], [file.as_uri()])
