"""RobustBench's published figures, and which of ours stand beside them."""

from __future__ import annotations

import pytest

from advcore.papers import robustbench


@pytest.mark.parametrize(
    ("norm", "epsilon", "wanted"),
    [("linf", 8 / 255, True), ("linf", 0.031, True), ("linf", 0.03, False), ("l2", 8 / 255, False)],
)
def test_only_results_at_its_epsilon_are_comparable(norm: str, epsilon: float, wanted: bool) -> None:
    assert robustbench.comparable({"norm": norm, "epsilon": epsilon}) == wanted
