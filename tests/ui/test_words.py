"""How numbers are written: never rounded to something they are not."""

from __future__ import annotations

import pytest

from ui.words import epsilon_text, markdown_safe, percent


@pytest.mark.parametrize(
    ("epsilon", "text"),
    [(0.1, "0.100 (25.5/255)"), (8 / 255, "0.031 (8/255)"), (0, "0.000 (0/255)"), (0.455, "0.455 (116/255)")],
)
def test_epsilon_is_written_in_pixels_and_levels(epsilon: float, text: str) -> None:
    assert epsilon_text(epsilon) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.0 %"), (1, "100.0 %"), (1e-9, "< 0.1 %"), (1 - 1e-9, "> 99.9 %"), (0.972, "97.2 %"), (0.5, "50.0 %")],
)
def test_only_nothing_is_nothing_and_only_all_is_all(share: float, text: str) -> None:
    assert percent(share) == text


def test_names_of_strangers_stay_plain() -> None:
    assert markdown_safe("<b>*x*</b>") == "\\<b\\>\\*x\\*\\</b\\>"
