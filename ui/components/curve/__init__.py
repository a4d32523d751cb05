"""Accuracy against ε, drawn in the browser: ε can be dragged, and each line's figure at it is read beside its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from advcore.attacks import NORM_TITLES
from advcore.evaluation.curves import RobustnessCurve
from ui.components import mount

if TYPE_CHECKING:
    from ui.charts import Trace


def curve(curves: Sequence[tuple[Trace, RobustnessCurve]], *, epsilon: float, key: str) -> None:
    """Draw the curves, at least one, with ε standing at `epsilon`."""
    mount("curve", curve_data(curves, epsilon), key=key)


def curve_data(curves: Sequence[tuple[Trace, RobustnessCurve]], epsilon: float) -> dict[str, Any]:
    """What the browser draws: each line's accuracy and 95 % interval, shares, on its own ε grid."""
    norm, reading = curves[0][1].norm, curves[0][1].reading
    return {
        "x": f"ε ({NORM_TITLES[norm]}, pixel space)",
        "y": "Accuracy" if reading == "exact" else "Worst-case accuracy up to ε,",
        "levels": norm == "linf",
        "epsilon": epsilon,
        "lines": [_line(trace, drawn) for trace, drawn in curves],
    }


def telling_epsilon(curves: Sequence[RobustnessCurve]) -> float:
    """The ε at which the curves, all on one grid, differ most, the smallest of several: where a drawing begins."""
    spread = [max(shares) - min(shares) for shares in zip(*(drawn.accuracy for drawn in curves), strict=True)]
    return curves[0].epsilons[spread.index(max(spread))]


def _line(trace: Trace, drawn: RobustnessCurve) -> dict[str, Any]:
    return {
        "name": trace.name,
        "colour": trace.colour,
        "dash": trace.dash,
        "epsilons": list(drawn.epsilons),
        "accuracy": list(drawn.accuracy),
        "interval": [list(pair) for pair in drawn.interval],
        "correct": list(drawn.correct),
        "total": drawn.total,
    }
