"""ε as people write it, `0.1` or `8/255`, and on a grid."""

from __future__ import annotations

import math
from collections.abc import Iterable

from advcore.errors import AttackError


def read_epsilon(text: str) -> float:
    """The number that `0.1` or `8/255` means, at least 0, in pixel space; raises AttackError for anything else."""
    try:
        above, _, below = text.partition("/")
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not 0 <= value < math.inf:
        raise AttackError(f"'{text}' is not an ε: write a number such as 0.1 or 8/255.")
    return value


def write_epsilon(epsilon: float) -> str:
    """The shortest text that `read_epsilon` reads as this ε, to six digits: `0.1`, `8/255`, `0.0924`."""
    levels = 255 * epsilon
    if float(f"{epsilon:.4g}") != epsilon and math.isclose(levels, round(levels), rel_tol=1e-9):
        return f"{round(levels)}/255"
    return f"{epsilon:.6g}"


def nearest(epsilons: Iterable[float], wanted: float) -> float:
    """The one of `epsilons` that is nearest to `wanted`; the first of several. Raises ValueError if there is none."""
    return min(epsilons, key=lambda epsilon: abs(epsilon - wanted))
