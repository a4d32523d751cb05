"""ε on the command line."""

from __future__ import annotations

import pytest

from advcore.cli import options
from advcore.errors import AdvcoreError
from tests.advcore.cli.commands import STANDARD, refused


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("0,0.1,0.3", [0, 0.1, 0.3]),
        ("8/255", [8 / 255]),
        ("0, 2/255 ,1", [0, 2 / 255, 1]),
        ("0:0.5:0.125", [0, 0.125, 0.25, 0.375, 0.5]),
        ("0:0.5:0.1", [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # the stop belongs to it, whatever 5 · 0.1 rounds to
        ("0.1:0.1:0.1", [0.1]),
        ("0:1:0.3", [0, 0.3, 0.6, 0.9]),
        ("0:8/255:4/255", [0, 4 / 255, 8 / 255]),
    ],
)
def test_both_ways_to_write_epsilons(text: str, grid: list[float]) -> None:
    assert options.epsilon_grid(text) == pytest.approx(grid, abs=1e-9)


def test_a_range_counts_its_steps() -> None:
    grid = options.epsilon_grid("0:0.5:0.025")
    assert len(grid) == 21
    assert (grid[0], grid[12], grid[-1]) == (0, 0.3, 0.5)
    assert len(options.epsilon_grid("0:0.999:0.001")) == options.MAX_EPSILONS


NO_NUMBER = ["", ",", "0.1,", "a", "-0.1", "nan", "inf", "1/0", "0;1", "0.1 0.2", "8/255/2", "0x1"]
NO_RANGE = ["::", "0:1", "0:1:0.1:2", "0:1:0", "0.5:0:0.1", "0:1:-0.1", "0:1:0.0005", "0:1:1e-320", "0:1:5e-324"]


def test_what_is_no_epsilon(capsys: pytest.CaptureFixture[str]) -> None:
    for text in NO_NUMBER + NO_RANGE:
        with pytest.raises(AdvcoreError):
            options.epsilon_grid(text)
        assert "ε" in refused(capsys, "curve", "--checkpoint", STANDARD, "--epsilons", text)
