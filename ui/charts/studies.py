"""Charts of published figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from ui.charts.base import faint, layout


@dataclass(frozen=True)
class Bars:
    """One bar a place, in percent; None leaves a place empty.

    `errors` are the distances to the lower and the upper end of each interval; `pattern` tells without colour.
    """

    name: str
    colour: str
    values: tuple[float | None, ...]
    errors: tuple[tuple[float, float], ...] = ()
    pattern: str = ""


def bars_chart(places: Sequence[str], bars: Sequence[Bars], *, x: str = "accuracy (%)") -> go.Figure:
    """Lying bars, a group a place and the first place on top: published and measured figures, or models under attacks."""
    figure = go.Figure()
    for group in bars:
        below, above = zip(*group.errors, strict=True) if group.errors else ((), ())
        ends = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.5, "width": 4}
        figure.add_bar(
            x=list(group.values),
            y=list(places),
            orientation="h",
            name=group.name,
            marker={"color": group.colour, "pattern": {"shape": group.pattern}},
            error_x=ends if group.errors else None,
            hovertemplate="%{x:.1f}",
        )
    legend = {"y": 1.02, "yanchor": "bottom", "traceorder": "normal"}
    around, each = (18, 9) if len(places) > 12 else (24, 15)
    height = 110 + len(places) * (around + each * len(bars))
    layout(figure, x=x, y="", height=height, barmode="group", bargap=0.25, hovermode="y unified", legend=legend)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    if x.startswith("accuracy"):
        figure.update_xaxes(range=[0, 102])
    return figure


def map_chart(cells: Sequence[Mapping[str, Any]]) -> go.Figure:
    """A study's settings (rows of `papers.grid.rows`) by width and training images: three figures each, the nearest one framed.

    The colour is the distance from the published figures, in points.
    """
    by_place = {(f"{cell['width']}", f"{cell['images']:,}"): cell for cell in cells}
    widths, images = (list(dict.fromkeys(places)) for places in zip(*by_place, strict=True))
    table = [[by_place.get((width, count)) for count in images] for width in widths]
    shown = ("clean", "attacked", "defended")
    figure = go.Figure(
        go.Heatmap(
            x=images,
            y=widths,
            z=[[cell and cell["distance"] for cell in row] for row in table],
            text=[[_in_cell(cell, shown) if cell else "" for cell in row] for row in table],
            customdata=[[[cell[name] for name in shown] if cell else [None] * 3 for cell in row] for row in table],
            texttemplate="%{text}",
            colorscale=[[0, "#4B3F72"], [0.15, "#8F86B3"], [0.3, "#CFC9E0"], [1, "#F2F0F7"]],
            zmin=0,
            zmax=60,
            xgap=2,
            ygap=2,
            showscale=False,
            hovertemplate="width %{y}, %{x} images<br>clean %{customdata[0]:.1f} %, under FGSM %{customdata[1]:.1f} %, "
            "defended %{customdata[2]:.1f} %<br>%{z:.1f} points away at most<extra></extra>",
        )
    )
    layout(figure, x="training images", y="width", height=100 + 75 * len(widths), hovermode="closest", dragmode=False)
    for (width, count), cell in by_place.items():
        if cell["nearest"]:
            x, y = images.index(count), widths.index(width)
            frame = {"color": "#E69F00", "width": 4}
            figure.add_shape(type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line=frame)
    figure.update_xaxes(type="category", showgrid=False, fixedrange=True)
    figure.update_yaxes(type="category", showgrid=False, fixedrange=True)
    return figure


def _in_cell(cell: Mapping[str, Any], shown: Sequence[str]) -> str:
    """The figures of a setting, one a line, and a word where it is the nearest."""
    return "<br>".join([*(["<b>nearest</b>"] if cell["nearest"] else []), *(f"{cell[name]:.0f}" for name in shown)])


@dataclass(frozen=True)
class Compared:
    """A published figure beside ours, in percent; None where there is none. `place` is its row, or its ε.

    `published` is a range (of one figure: twice the same), `interval` the 95 % one of ours, `pgd` what PGD-20 leaves.
    """

    place: str | float
    colour: str
    published: tuple[float, float] | None
    ours: float | None
    interval: tuple[float, float] | None = None
    pgd: float | None = None
    group: str = ""


# In sight also where the chart is taller than the screen; the top margin leaves it room.
_LEGEND = {"yref": "container", "y": 1, "yanchor": "top", "traceorder": "normal"}
_NAMES = 140  # pixels for the names at the left


def dumbbell_chart(figures: Sequence[Compared]) -> go.Figure:
    """Published, ours and PGD-20 on one line a figure, joined by a bar; a group's name stands above its lines."""
    heights, names, height = [], [], 0.0
    for place, figure in enumerate(figures):
        if place == 0 or figure.group != figures[place - 1].group:
            height += 1.0 if place else 0.7
            names.append((height, figure.group))
            height += 0.9
        heights.append(height)
        height += 1.0
    chart = go.Figure()
    _add_compared(chart, figures, heights, lying=True)
    layout(
        chart,
        x="accuracy (%)",
        y="",
        height=round(120 + 20 * height),
        hovermode="closest",
        legend=_LEGEND,
        margin={"l": _NAMES, "t": 80},
    )
    chart.update_xaxes(range=[-3, 103], side="top", showgrid=True)
    words = [str(figure.place) for figure in figures]
    chart.update_yaxes(tickvals=heights, ticktext=words, range=[height, 0], showgrid=False, automargin=False)
    for at, name in names:
        head = f"<b>{escape(name)}</b>"
        chart.add_annotation(x=0, xref="paper", y=at, xanchor="left", xshift=8 - _NAMES, showarrow=False, text=head)
    return chart


def reading_chart(figures: Sequence[Compared]) -> go.Figure:
    """Published, ours and PGD-20 over ε as a study writes it, each joined by a bar to the published figure."""
    chart = go.Figure()
    for colour in dict.fromkeys(figure.colour for figure in figures):
        line = [figure for figure in figures if figure.colour == colour]
        for values, dash in (([one.ours for one in line], "solid"), ([one.pgd for one in line], "dot")):
            chart.add_scatter(
                x=[one.place for one in line],
                y=values,
                mode="lines",
                line={"color": colour, "dash": dash, "width": 2},
                hoverinfo="skip",
                showlegend=False,
            )
    _add_compared(chart, figures, [float(figure.place) for figure in figures], lying=False)
    moving = {"duration": 600, "easing": "cubic-in-out"}
    layout(
        chart,
        x="ε as the study writes it",
        y="accuracy (%)",
        height=420,
        hovermode="closest",
        legend=_LEGEND,
        margin={"t": 40},
        transition=moving,
    )
    chart.update_yaxes(range=[-3, 103])
    return chart


def _add_compared(chart: go.Figure, figures: Sequence[Compared], places: Sequence[float], *, lying: bool) -> None:
    """The bars and the three kinds of marks, along x where the chart is lying, else along y."""
    along, across = ("x", "y") if lying else ("y", "x")

    def add(points: Sequence[tuple[float | None, float | None]], **drawn: Any) -> None:
        values, at = zip(*points, strict=True) if points else ((), ())
        chart.add_scatter(**{along: list(values), across: list(at)}, **drawn)

    pairs = list(zip(places, figures, strict=True))
    for colour in dict.fromkeys(figure.colour for figure in figures):
        bars = [
            (value, place)
            for place, one in pairs
            if one.colour == colour and one.published and one.ours is not None
            for value in (sum(one.published) / 2, one.ours, None)
        ]
        add(bars, mode="lines", line={"color": faint(colour, 0.45), "width": 5}, hoverinfo="skip", showlegend=False)

    def marks(
        name: str, symbol: str, size: int, found: Sequence[tuple[float, float, Compared]], colour: str = "", **error: Any
    ) -> None:
        colours = [colour or one.colour for _, _, one in found]
        add(
            [(value, place) for value, place, _ in found],
            mode="markers",
            name=name,
            marker={"symbol": symbol, "size": size, "color": colours, "line": {"width": 2.5, "color": colours}},
            customdata=[f"{one.group} {one.place}" if lying else f"ε = {one.place:g}" for _, _, one in found],
            hovertemplate=f"%{{customdata}}<br>{name} %{{{along}:.1f}} %<extra></extra>",
            **{f"error_{along}": error} if error else {},
        )

    told = [(sum(one.published) / 2, place, one) for place, one in pairs if one.published]
    spread = [(one.published[1] - one.published[0]) / 2 for _, _, one in told]
    marks("published", "x-thin", 9, told, "#888888", array=spread, width=5, color="#888888")
    ours = [(one.ours, place, one) for place, one in pairs if one.ours is not None]
    ends = [(value, *(one.interval or (value, value))) for value, _, one in ours]
    above, below = [high - value for value, _, high in ends], [value - low for value, low, _ in ends]
    marks("ours", "circle", 12, ours, array=above, arrayminus=below, width=3, thickness=1.5, color="#888888")
    marks("PGD-20, ours", "diamond-open", 11, [(one.pgd, place, one) for place, one in pairs if one.pgd is not None])
