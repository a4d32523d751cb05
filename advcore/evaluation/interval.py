"""The confidence interval of a share that was counted."""

from __future__ import annotations

import math

_Z = 1.959963984540054  # the normal quantile of a two-sided 95 % interval


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval for the share `correct / total` (Wilson 1927); (0, 1) when nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = correct / total, _Z * _Z / total
    centre = (share + z2 / 2) / (1 + z2)
    half = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total)) / (1 + z2)
    # Rounding must not push a bound past the share itself: none right begins at 0, all right ends at 1.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))
