"""The QR code of a page's state."""

from __future__ import annotations

import io

import pytest
import segno
from PIL import Image
from streamlit.testing.v1 import AppTest

from ui.card import code
from ui.share import ALONE


def page(call: str) -> AppTest:
    drawn = AppTest.from_string(f"from ui import share\nshare.{call}").run()
    assert not drawn.exception
    return drawn


def test_the_code_is_that_of_the_address() -> None:
    address = "http://lab.example:8501/believe?model=mnist%2Flee_cnn-fgsm-0.3&epsilon=0.3"
    seen = Image.open(io.BytesIO(code(address))).convert("L")
    modules = [[seen.getpixel((6 * x + 3, 6 * y + 3)) == 0 for x in range(seen.width // 6)] for y in range(seen.height // 6)]
    expected = segno.make_qr(address, error="l").matrix_iter(border=4)
    assert modules == [[bool(dark) for dark in row] for row in expected]
    assert not modules[0][0]


@pytest.mark.parametrize("address", [None, "javascript:alert(1)", "http://lab.example/?" + "a" * 3000])
def test_an_address_that_no_code_can_hold_is_not_offered(address: str | None) -> None:
    assert not page(f"offer_code({address!r})").get("popover")


def test_the_code_is_not_drawn_before_it_is_asked_for() -> None:
    drawn = page("offer_code('http://lab.example/?a=1')")
    assert len(drawn.get("popover")) == 1
    assert not drawn.get("html")


def test_the_address_is_escaped_and_one_of_this_machine_alone_is_said_to_be() -> None:
    local, public = (
        page(f"show_code({address!r})").get("html")[0].proto.body
        for address in ('http://localhost:8501/?lesson="><script>', "http://lab.example/?a=1")
    )
    assert "<script>" not in local
    assert ALONE in local
    assert ALONE not in public
