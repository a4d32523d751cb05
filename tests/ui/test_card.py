"""The card: one picture with what is shown, a sentence, and a QR code that leads there."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from advcore.evaluation.curves import RobustnessCurve
from advcore.evaluation.scrub import Scrub
from ui.card import SIZE, _font, card, curves_drawn, pictures_row, sides_drawn
from ui.charts import Trace
from ui.components.scrubber import Scrubbed, Side
from ui.pictures import Picture
from ui.words import DEFENDED, FOOLED

LINK = "http://lab.example:8501/?dataset=mnist&epsilon=0.1"


def colours(image: Image.Image) -> set[tuple[int, int, int]]:
    return {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}


def rgb(text: str) -> tuple[int, int, int]:
    return tuple(int(text[at : at + 2], 16) for at in (1, 3, 5))


def opened(sentence: str, address: str | None = LINK) -> Image.Image:
    return Image.open(io.BytesIO(card(sentence, None, address)))


def test_the_code_and_the_sentence_are_on_the_card() -> None:
    with_code, without = opened("One sentence."), opened("One sentence.", None)
    assert with_code.size == without.size == SIZE
    assert with_code.crop((900, 400, 1200, 630)).tobytes() != without.crop((900, 400, 1200, 630)).tobytes()
    assert opened("Another.").tobytes() != with_code.tobytes()
    assert opened("x", "javascript:alert(1)").tobytes() == opened("x", None).tobytes()


@pytest.mark.parametrize("sentence", ["", "a\nb\x00", "w" * 10_000, "中文 " * 500, "<script>"])
def test_any_sentence_makes_a_card(sentence: str) -> None:
    assert opened(sentence, LINK + "x" * 5000).size == SIZE


def test_the_signs_that_the_app_uses_are_in_the_font() -> None:
    missing = bytes(_font(30).getmask("\uffff"))
    assert all(bytes(_font(30).getmask(sign)) != missing for sign in "ε∞σ×·–“”✓✗≤…")


def test_each_model_is_drawn_with_its_verdict() -> None:
    grid = (0.0, 0.1)
    lost = Scrub(grid, torch.zeros(1, 8, 8), torch.ones(1, 8, 8), None, torch.tensor([[0.9, 0.1], [0.2, 0.8]]), 0)
    kept = Scrub(grid, torch.zeros(1, 8, 8), torch.ones(1, 8, 8), None, torch.tensor([[0.9, 0.1], [0.6, 0.4]]), 0)
    sides = [Side("Standard", "one", "#0072B2", lost, kept), Side("Defended", "two", "#009E73", kept, kept)]
    at_once = colours(sides_drawn(sides, ["cat", "dog"], Scrubbed(0.1, False)))
    assert {rgb(FOOLED), rgb(DEFENDED)} <= at_once
    assert rgb(FOOLED) not in colours(sides_drawn(sides, ["cat", "dog"], Scrubbed(0.1, True)))
    assert rgb(FOOLED) not in colours(sides_drawn(sides, ["cat", "dog"], Scrubbed(0.0, False)))


def test_pictures_and_curves_are_drawn() -> None:
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 4, 6)
    assert (255, 0, 0) in colours(pictures_row([Picture(red, "a " * 200, "b", "c", "#00ff00")] * 9))
    curve = RobustnessCurve((0.0, 0.1), (9, 4), 10)
    assert (0, 255, 0) in colours(curves_drawn([(Trace("a model", "#00ff00"), curve)] * 9))
