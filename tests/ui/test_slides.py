"""The living slide: one file that asks for nothing, whatever the names in it are."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
import torch

from advcore.evaluation.curves import RobustnessCurve
from advcore.evaluation.scrub import Scrub
from ui.charts import Trace
from ui.components.curve import curve_data, telling_epsilon
from ui.components.scrubber import Side, scrubber_data
from ui.slides import Slide, slide_html

HOSTILE = "</script><!--<script>alert(1)</script>"


def made(names: tuple[str, ...] = ("cat", "dog"), side: int = 8, link: str | None = "https://lab.example/?epsilon=0.1") -> str:
    image, grid = torch.rand(3, side, side), tuple(step / 100 for step in range(51))
    shares = torch.softmax(torch.rand(len(grid), len(names)), 1)
    scrub = Scrub(grid, image, torch.rand(3, side, side), None, shares, 0)
    sides = [Side("Standard", names[0], "#0072B2", scrub, scrub), Side("Defended", "other", "#009E73", scrub, scrub)]
    return slide_html(Slide("scrubber", scrubber_data(sides, names, 0.03), names[0], names[1], "Models.", "CC0", link))


def test_a_name_ends_no_element_and_stays_as_it_is() -> None:
    page = made((HOSTILE, "<img src=x onerror=alert(1)>"))
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    assert json.loads(scripts[0])["names"] == [HOSTILE, "<img src=x onerror=alert(1)>"]
    assert "<img" not in page
    assert page.count("<!--") == 0


def test_the_policy_names_each_script_and_style_and_nothing_else() -> None:
    page = made()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none';")
    for tag, count in (("script", 1), ("style", 2)):
        texts = re.findall(rf'<{tag}(?: type="module")?>(.*?)</{tag}>', page, re.DOTALL)
        hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts}
        assert set(re.findall(r"'sha256-([^']+)'", re.search(rf"{tag}-src ([^;]*);", policy)[1])) == hashes
        assert len(texts) == count


def test_a_small_image_makes_a_small_file() -> None:
    assert len(made(side=64).encode()) < 1_000_000


@pytest.mark.parametrize("link", [None, "javascript:alert(1)", "data:text/html,x"])
def test_a_link_that_is_none_is_left_out(link: str | None) -> None:
    assert "<a " not in made(link=link)
    assert "<a " in made()


def test_a_curve_begins_where_its_lines_differ_most() -> None:
    curves = [RobustnessCurve((0.0, 0.1, 0.2), correct, 10) for correct in ((9, 8, 1), (9, 2, 0))]
    assert telling_epsilon(curves) == 0.1
    data = curve_data([(Trace("<b>one</b>", "#0072B2"), curves[0]), (Trace("two", "#009E73", "dash"), curves[1])], 0.1)
    assert [line["accuracy"] for line in data["lines"]] == [[0.9, 0.8, 0.1], [0.9, 0.2, 0.0]]
    assert "<b>" not in slide_html(Slide("curve", data, "Curves", "", "", ""))
