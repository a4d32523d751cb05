"""The living slides that pages offer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.pages.conftest import open_page
from ui.slides import Slide, slide_html


@pytest.mark.parametrize(
    ("name", "query", "credit"),
    [
        ("attack", {"dataset": "mnist", "epsilon": "0.1", "noise": "1"}, "CC BY-SA 3.0"),
        ("your_image", {"dataset": "mnist", "example": "drawn-5"}, "drawn by Adversarial Lab"),
    ],
)
def test_a_slide_shows_what_the_page_shows(
    name: str, query: dict[str, str], credit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: list[Callable[[], Slide]] = []
    monkeypatch.setattr(f"pages.{name}.offer_slide", lambda slide, _: offered.append(slide))
    open_page(name, **query)
    text = slide_html(offered[0]())
    shown = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert (len(shown["models"]), shown["noise"]) == (2, "noise" in query)
    assert shown["epsilon"] == pytest.approx(0.1) or "epsilon" not in query
    assert credit in text
    assert len(text.encode()) < 1_000_000
