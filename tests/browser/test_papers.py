"""The Papers page in a browser: every study, a link followed, the exports taken home, a slice measured here."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from advcore.papers.studies import STUDIES
from tests.browser.conftest import settled


def test_every_study_has_its_card_its_chart_and_its_address(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/papers")
    page.get_by_text("Every figure, under every reading").click()  # and so for each study
    for key, study in ((key, study) for key, study in STUDIES.items() if study.claim):
        page.get_by_role("radio", name=f"{key} · {study.name}").click()
        expect(page.get_by_role("heading", name=study.title)).to_be_visible()
        settled(page)
        expect(page).to_have_url(re.compile(f"study={key}"))
        expect(page.locator(".js-plotly-plot").first).to_be_visible()
        expect(page.locator("table.study").first.locator("tbody tr")).to_have_count(len(study.figures))
    page.get_by_role("radio", name="Open questions").click()
    page.get_by_role("radio", name=STUDIES["Q3"].title).click()
    settled(page)
    expect(page).to_have_url(re.compile("question=Q3"))
    page.reload()
    expect(page.get_by_role("radio", name=STUDIES["Q3"].title)).to_be_checked()


def test_a_study_is_taken_home_measured_here_and_attacked(page: Page, app_url: str, tmp_path: Path) -> None:
    page.goto(f"{app_url}/papers?study=P4")
    settled(page)
    for button, name in (("Table (CSV)", "P4.csv"), ("Report to print", "P4-report.html")):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    with (tmp_path / "P4.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["row"] for row in rows} == {figure.row for figure in STUDIES["P4"].figures}
    page.get_by_text("Re-run on this machine").click()
    page.get_by_role("button", name="Measure now").click()
    expect(page.get_by_text("The test images of mnist are not here")).to_be_visible()
    settled(page)
    page.get_by_role("link", name="Attack them").click()
    # Offline there are only sample images, and the shipped models.
    expect(page).to_have_url(re.compile("a=mnist%2Fsrivathsav_cnn-standard&b=mnist%2Fsrivathsav_cnn-fgsm-0.1"))
    assert len(page.context.pages) == 1
    settled(page)
    page.set_content((tmp_path / "P4-report.html").read_text(encoding="utf-8"))
    expect(page.get_by_role("heading", name=STUDIES["P4"].title)).to_be_visible()
    expect(page.locator("table.study").first.locator("tbody tr")).to_have_count(len(STUDIES["P4"].figures))
