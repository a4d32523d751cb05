"""ε as people write it."""

from __future__ import annotations

import pytest

from advcore.epsilon import read_epsilon, write_epsilon
from advcore.errors import AttackError


@pytest.mark.parametrize(
    ("text", "epsilon"), [("0.1", 0.1), ("8/255", 8 / 255), ("0.0924", 0.0924), ("1", 1.0), ("0", 0.0), ("0.3", 0.3)]
)
def test_what_is_written_is_read_as_the_same_number(text: str, epsilon: float) -> None:
    assert read_epsilon(text) == epsilon
    assert write_epsilon(epsilon) == text


def test_many_digits_are_cut_to_six() -> None:
    assert write_epsilon(1 / 3) == "85/255"
    assert write_epsilon(0.0123456789) == "0.0123457"


@pytest.mark.parametrize("text", ["", "much", "-0.1", "8/0", "inf", "nan", "1/2/3"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(AttackError, match="is not an ε"):
        read_epsilon(text)
