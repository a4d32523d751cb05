"""The Accuracy page: a curve that grows, is stopped, goes on, and is downloaded."""

from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from advcore import attacks, data
from advcore.evaluation.curves import robustness_curve
from advcore.models import checkpoints
from tests.browser.conftest import settled

PAIR = "models=digits%2Fdigits_cnn-standard~digits%2Fdigits_cnn-fgsm-0.2"


def test_a_curve_is_measured_stopped_and_finished(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/accuracy?dataset=digits&{PAIR}&attacks=pgd&steps=40&images=360")
    page.get_by_role("button", name="Stop").click()
    # The button answers by itself; what stands below is drawn afterwards.
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    settled(page)
    kept = page.get_by_text(re.compile(r"Stopped: \d of 2 curves finished"))
    expect(kept).to_be_visible()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Stop").click()  # nothing is left to measure for the tests that follow
    expect(page.get_by_role("button", name="Go on")).to_be_visible()


def test_the_table_says_what_the_engine_says_and_a_reload_finds_it_measured(
    page: Page, app_url: str, browser: Browser, tmp_path: Path
) -> None:
    page.goto(f"{app_url}/accuracy?dataset=digits&{PAIR}&attacks=fgsm~noise&steps=5&images=200")
    expect(page.get_by_text("✓ Measured")).to_be_visible()
    page.reload()
    expect(page.get_by_text("✓ Measured")).to_be_visible()
    expect(page).to_have_url(re.compile("attacks=fgsm(~|%7E)noise"))
    settled(page)
    page.get_by_role("tab", name="Table, files").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the curves").click()
    download.value.save_as(tmp_path / "curve.csv")
    rows = list(csv.DictReader((tmp_path / "curve.csv").open()))
    assert len(rows) == 2 * 2 * 6
    for name, attack in itertools.product(("standard", "fgsm-0.2"), (attacks.FGSM(), attacks.UniformNoise())):
        checkpoint = checkpoints.find(f"digits/digits_cnn-{name}")
        mine = [row for row in rows if (row["model"], row["attack"]) == (checkpoint.id, attacks.title(attack))]
        grid = [float(row["epsilon"]) for row in mine]
        *_, curve = robustness_curve(checkpoint.model(), data.load("digits")[:200], attack, grid, precision="fp32")
        assert max(abs(int(row["correct"]) - count) for row, count in zip(mine, curve.correct, strict=True)) <= 1
    page.locator(".js-plotly-plot").first.hover()
    expect(page.locator(".modebar").first).to_be_hidden()
    with page.expect_download() as drawn:
        page.get_by_role("button", name="Download the chart as SVG").first.click()
    chart = ElementTree.parse(drawn.value.path()).getroot()
    assert (chart.tag.split("}")[1], chart.get("width"), chart.get("height")) == ("svg", "1920", "1080")
    with page.expect_download() as download:
        page.get_by_role("button", name="Living slide (HTML)").click()
    download.value.save_as(tmp_path / "curve.html")
    a_curve_is_read_at_every_epsilon(browser, tmp_path / "curve.html")


def a_curve_is_read_at_every_epsilon(browser: Browser, file: Path) -> None:
    """The living slide, opened from disk with the network off."""
    context = browser.new_context(offline=True)
    slide = context.new_page()
    slide.goto(file.as_uri())
    track, figures = slide.get_by_role("slider"), slide.locator(".lines b")
    track.focus()
    slide.keyboard.press("Home")
    clean = figures.all_inner_texts()
    slide.keyboard.press("End")
    expect(slide.locator(".eps")).to_contain_text("ε = 0.500")
    assert figures.all_inner_texts() != clean
    with slide.expect_download() as drawn:
        slide.get_by_role("button", name="Download the figure as PNG").click()
    assert Image.open(drawn.value.path()).size == (1920, 1080)
    context.close()
