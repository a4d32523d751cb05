"""When a robustness counts as masked: a single step leaves far more than stronger attacks do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MASKED_GAP = 0.3
"""How far, as a share, single-step accuracy lies above what stronger attacks leave where robustness is called masked."""


def masked(single_step: float, stronger: float) -> bool:
    """Whether a defended model is *masked*: its single-step accuracy is far above what stronger attacks leave.

    Both are accuracies, shares in [0, 1], at the same ε, one that the model claims. A gap of thirty points is taken as the
    sign of masked gradients (Athalye et al. 2018, arXiv 1802.00420).
    """
    return single_step - stronger >= MASKED_GAP


def masking_of(rows: Sequence[Mapping[str, Any]], epsilon: float) -> str | None:
    """A sentence where rows as a header has them (`attack`, `epsilon`, `images`, `accuracy`) show it at one ε, else None."""
    here = [row for row in rows if math.isclose(row["epsilon"], epsilon, abs_tol=1e-6)]
    single = next((row for row in here if row["attack"] == "FGSM"), None)
    others = (row for row in here if row["attack"].startswith(("PGD", "AutoAttack")))
    stronger = min(others, key=lambda row: row["accuracy"], default=None)
    if single is None or stronger is None or not masked(single["accuracy"], stronger["accuracy"]):
        return None
    return (
        f"holds {100 * single['accuracy']:.1f} % of {single.get('images', 0):,} test images under FGSM at ε = {epsilon:.3g}, "
        f"but {100 * stronger['accuracy']:.1f} % of {stronger.get('images', 0):,} under {stronger['attack']}: "
        "its robustness is masked, not real"
    )
