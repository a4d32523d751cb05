"""Charts of a measured curve: accuracy against ε, images fooled, and the answers by class."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from advcore.attacks import NORM_TITLES
from advcore.evaluation.curves import Predictions, RobustnessCurve
from ui.charts.base import faint, layout, plain


@dataclass(frozen=True)
class Trace:
    """How a curve is drawn: its name, its colour (the model) and its dash (the attack).

    With a `label` (HTML of Plotly's) it is named at the end of its line, without one in the legend.
    """

    name: str
    colour: str
    dash: str = "solid"
    label: str = ""


@dataclass(frozen=True)
class Points:
    """Published points: accuracies (shares) at ε in pixel space, under one reading of the study."""

    name: str
    colour: str
    symbol: str
    epsilons: tuple[float, ...]
    accuracy: tuple[float, ...]


def accuracy_chart(
    curves: Sequence[tuple[Trace, RobustnessCurve]], published: Sequence[Points] = (), *, cursor: float | None = None
) -> go.Figure:
    """Accuracy in percent against ε, one line a curve with its 95 % band; published points as markers.

    The axes say the norm and the reading of the curves, which all share.
    """
    figure = go.Figure()
    for line, curve in curves:
        epsilons = list(curve.epsilons)
        low, high = zip(*curve.interval, strict=True)
        figure.add_scatter(
            x=epsilons + epsilons[::-1],
            y=[100 * share for share in (*high, *low[::-1])],
            mode="lines",
            fill="toself",
            fillcolor=faint(line.colour, 0.16),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
        _add_curve(
            figure,
            line,
            epsilons,
            [100 * share for share in curve.accuracy],
            shape="linear",
            customdata=[
                (100 * least, 100 * most, count, curve.total)
                for least, most, count in zip(low, high, curve.correct, strict=True)
            ],
            hovertemplate="%{y:.1f} % (%{customdata[0]:.1f} … %{customdata[1]:.1f}), %{customdata[2]} of %{customdata[3]}",
        )
    for points in published:
        figure.add_scatter(
            x=list(points.epsilons),
            y=[100 * share for share in points.accuracy],
            mode="markers",
            name=points.name,
            marker={
                "symbol": points.symbol,
                "size": 10,
                "color": points.colour,
                "line": {"width": 1.5, "color": points.colour},
            },
            hovertemplate="%{y:.1f} % published",
        )
    if cursor is not None:
        figure.add_vline(x=cursor, line={"color": "grey", "dash": "dot", "width": 1})
    norm, reading = next(((curve.norm, curve.reading) for _, curve in curves), ("linf", "exact"))
    unit = "L∞, pixel space; 0.1 = 25.5/255" if norm == "linf" else f"{NORM_TITLES[norm]}, pixel space"
    layout(figure, x=f"ε ({unit})", y="accuracy (%)" if reading == "exact" else "accuracy, worst case up to ε (%)")
    figure.update_yaxes(range=[-2, 102], ticksuffix="")
    _label_ends(figure, [(line, 100 * curve.accuracy[-1]) for line, curve in curves])
    return figure


def _add_curve(figure: go.Figure, line: Trace, x: Sequence[float], y: Sequence[float], *, shape: str, **hover: Any) -> None:
    """A line with its marks; without a label at its end it is named in the legend."""
    figure.add_scatter(
        x=list(x),
        y=list(y),
        mode="lines+markers",
        name=line.name,
        showlegend=not line.label,
        line={"color": line.colour, "dash": line.dash, "width": 2.5, "shape": shape},
        marker={"size": 5},
        **hover,
    )


_LINE = 4.5
"""The height of a line of a label, in percent of an axis of 104 %."""
_WIDEST = 24
"""The letters of a label's longest line: a longer one is broken, for the margin has no room for it."""


def _label_ends(figure: go.Figure, ends: Sequence[tuple[Trace, float]]) -> None:
    """Write the labels beside the ends of their lines (in percent), moved apart so that each can be read."""
    told = sorted((end for end in ends if end[0].label), key=lambda end: end[1])
    if not told:
        return
    labels = [
        [part for line in each.label.split("<br>") for part in wrap(line, _WIDEST, break_long_words=False)] for each, _ in told
    ]
    apart = [_LINE * (len(one) + len(other)) / 2 for one, other in itertools.pairwise(labels)]
    heights = [max(told[0][1], 3.0)]
    for (_, end), gap in zip(told[1:], apart, strict=True):
        heights.append(max(end, heights[-1] + gap))
    over = 98.0
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], over)
        over = heights[place] - (apart[place - 1] if place else 0.0)
    for (line, _), label, height in zip(told, labels, heights, strict=True):
        mark = {"solid": "━", "dash": "╍", "dot": "┅"}.get(line.dash, "┅")
        figure.add_annotation(
            x=1,
            xref="paper",
            y=height,
            xanchor="left",
            xshift=4,
            align="left",
            showarrow=False,
            font={"size": 11},
            text=f'<span style="color:{line.colour}"><b>{mark}</b></span> {"<br>".join(label)}',
        )
    widest = max(len(part) for label in labels for part in label)
    figure.update_layout(margin={"r": min(180, round(24 + 6.1 * widest))})


def fooled_chart(curves: Sequence[tuple[Trace, Predictions]]) -> go.Figure:
    """The share of images, in percent, that are fooled at some ε of the grid up to each ε; at 0: wrong without an attack."""
    figure = go.Figure()
    ends = []
    for line, seen in curves:
        counts = [int((seen.fooled_at <= place).sum()) for place in range(len(seen.epsilons))]
        shares = [100 * count / len(seen) for count in counts]
        ends.append((line, shares[-1]))
        _add_curve(
            figure,
            line,
            seen.epsilons,
            shares,
            shape="hv",
            customdata=[(count, len(seen)) for count in counts],
            hovertemplate="%{y:.1f} % fooled, %{customdata[0]} of %{customdata[1]}",
        )
    layout(figure, x="ε", y="images fooled up to ε (%)")
    figure.update_yaxes(range=[-2, 102])
    _label_ends(figure, ends)
    return figure


def per_class_chart(curves: Sequence[tuple[Trace, Predictions]], place: int, class_names: Sequence[str]) -> go.Figure:
    """Accuracy in percent of each true class at the ε in that place of the grid, one bar per curve."""
    figure = go.Figure()
    for line, seen in curves:
        rows = seen.per_class(place, len(class_names))
        figure.add_bar(
            x=plain(class_names),
            y=[100 * right / total if total else None for right, total in rows],
            name=line.name,
            marker={"color": line.colour, "pattern": {"shape": "" if line.dash == "solid" else "/"}},
            customdata=rows,
            hovertemplate="%{y:.1f} % (%{customdata[0]} of %{customdata[1]})",
        )
    layout(figure, x="true class", y="accuracy (%)", barmode="group", bargap=0.2)
    figure.update_xaxes(type="category")
    figure.update_yaxes(range=[0, 102])
    return figure


def confusion_chart(seen: Predictions, place: int, class_names: Sequence[str], colour: str) -> go.Figure:
    """How many images of each true class (rows) got each answer (columns) at one ε."""
    counts = seen.confusion(place, len(class_names))
    shares = 100 * counts / counts.sum(1, keepdim=True).clamp(min=1)
    few = len(class_names) <= 12
    figure = go.Figure(
        go.Heatmap(
            z=shares.tolist(),
            x=plain(class_names),
            y=plain(class_names),
            customdata=counts.tolist(),
            text=counts.tolist() if few else None,
            texttemplate="%{text}" if few else None,
            colorscale=[[0, "rgba(128,128,128,0.06)"], [1, colour]],
            zmin=0,
            zmax=100,
            colorbar={"title": "% of class", "thickness": 12},
            hovertemplate="true %{y}, answered %{x}: %{customdata} (%{z:.1f} %)<extra></extra>",
        )
    )
    layout(figure, x="answer", y="true class", height=520, hovermode="closest")
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure
