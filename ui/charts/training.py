"""Charts of a training while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from ui.charts.base import faint, layout


def loss_chart(rows: Sequence[Mapping[str, Any]], colour: str) -> go.Figure:
    """The training loss over the steps of a job's progress: every batch faintly, their running mean in `colour`."""
    seen = [row for row in rows if isinstance(row.get("loss"), int | float)]
    steps, losses = [row["step"] for row in seen], [row["loss"] for row in seen]
    figure = go.Figure()
    figure.add_scatter(
        x=steps, y=losses, mode="lines", name="batch", line={"color": faint(colour, 0.3), "width": 1}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=steps,
        y=_running_mean(losses),
        mode="lines",
        name="loss",
        line={"color": colour, "width": 2.5},
        hovertemplate="%{y:.3f}",
    )
    layout(figure, x="training step", y="loss", height=320, showlegend=False)
    figure.update_xaxes(range=_whole_run(rows))
    figure.update_yaxes(rangemode="tozero")
    return figure


def watched_chart(rows: Sequence[Mapping[str, Any]], colour: str) -> go.Figure:
    """Clean, FGSM and PGD-10 accuracy on the held-out images, in percent, over the steps of a job's progress.

    The colour is the model's; dash, marker and the name at the line's end show the attack.
    """
    figure = go.Figure()
    seen = [(row["step"], row["evaluation"]) for row in rows if isinstance(row.get("evaluation"), dict)]
    for key, name, dash, symbol, opacity in (
        ("clean", "clean", "solid", "circle", 0.55),
        ("fgsm", "FGSM", "solid", "square", 1.0),
        ("pgd", "PGD-10", "dash", "diamond", 1.0),
    ):
        figure.add_scatter(
            x=[step for step, _ in seen],
            y=[100 * found[key] for _, found in seen],
            mode="lines+markers",
            name=name,
            line={"color": faint(colour, opacity), "dash": dash, "width": 2.5},
            marker={"symbol": symbol, "size": 8},
            hovertemplate="%{y:.1f} %",
        )
    layout(figure, x="training step", y="held-out accuracy (%)", height=320)
    figure.update_xaxes(range=_whole_run(rows))
    figure.update_yaxes(range=[-2, 104])
    return figure


def _running_mean(values: Sequence[float], weight: float = 0.8) -> list[float]:
    """Each value with its predecessors, the older the less."""
    found: list[float] = []
    for value in values:
        found.append(weight * found[-1] + (1 - weight) * value if found else value)
    return found


def _whole_run(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The axis from a run's first step to its last one, so that its lines grow into empty space instead of shrinking."""
    return [0, max((row["steps"] for row in rows), default=1) * 1.02]
