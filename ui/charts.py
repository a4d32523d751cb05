"""Plotly charts: the one module that imports plotly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from advcore.attacks import NORM_TITLES
from advcore.evaluation.curves import Predictions, RobustnessCurve

GREY = "rgba(128,128,128,0.25)"


@dataclass(frozen=True)
class Trace:
    """How a curve is drawn: its name in the legend, its colour (the model) and its dash (the attack)."""

    name: str
    colour: str
    dash: str = "solid"


CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}


@dataclass(frozen=True)
class Points:
    """Published points: accuracies (shares) at ε in pixel space, under one reading of the study."""

    name: str
    colour: str
    symbol: str
    epsilons: tuple[float, ...]
    accuracy: tuple[float, ...]


def layout(figure: go.Figure, *, x: str, y: str, height: int = 430) -> go.Figure:
    """The layout that all charts share: light grid, legend below the chart, margins for touch screens."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 16, "b": 8},
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
        plot_bgcolor="rgba(0,0,0,0)",
        paper_bgcolor="rgba(0,0,0,0)",
        uirevision="keep",
    )
    figure.update_xaxes(title=x, gridcolor=GREY, zeroline=False, automargin=True)
    figure.update_yaxes(title=y, gridcolor=GREY, zeroline=False, automargin=True)
    return figure


def _faint(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


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
            fillcolor=_faint(line.colour, 0.16),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=epsilons,
            y=[100 * share for share in curve.accuracy],
            mode="lines+markers",
            name=line.name,
            line={"color": line.colour, "dash": line.dash, "width": 2.5},
            marker={"size": 5},
            customdata=[
                (epsilon * 255, 100 * least, 100 * most, count, curve.total)
                for epsilon, least, most, count in zip(epsilons, low, high, curve.correct, strict=True)
            ],
            hovertemplate="%{y:.1f} % (%{customdata[1]:.1f} … %{customdata[2]:.1f}), %{customdata[3]} of %{customdata[4]}",
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
    return figure


@dataclass(frozen=True)
class Model:
    """A model in a chart of clean against robust accuracy, both in percent; with a `label`, it is named beside its mark."""

    title: str
    architecture: str
    clean: float
    robust: float
    colour: str = "#888888"
    label: str = ""


def models_chart(published: Sequence[Model], ours: Sequence[Model]) -> go.Figure:
    """Accuracy under AutoAttack against clean accuracy, in percent: published models as circles, ours as stars."""
    figure = go.Figure()
    for name, models, symbol in (("published", published, "circle-open"), ("ours", ours, "star")):
        figure.add_scatter(
            x=[model.clean for model in models],
            y=[model.robust for model in models],
            mode="markers+text",
            name=name,
            marker={
                "symbol": symbol,
                "size": 15 if models is ours else 9,
                "color": [model.colour for model in models],
                "line": {"width": 1.5, "color": [model.colour for model in models]},
            },
            text=_plain([model.label for model in models]),
            textposition="middle left",
            textfont={"size": 11},
            hovertext=[f"<b>{escape(model.title)}</b><br>{escape(model.architecture)}" for model in models],
            hovertemplate="%{hovertext}<br>clean %{x:.1f} %, AutoAttack %{y:.1f} %<extra></extra>",
        )
    layout(figure, x="clean accuracy (%)", y="accuracy under AutoAttack (%)")
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(range=[-4, 80])
    return figure


def smallest_epsilon_chart(curves: Sequence[tuple[Trace, Predictions]]) -> go.Figure:
    """The share of images, in percent, whose smallest fooling ε is each value of the grid; the last group is “never”."""
    figure = go.Figure()
    for line, seen in curves:
        smallest = seen.smallest_epsilon().tolist()
        counts = [smallest.count(epsilon) for epsilon in (*seen.epsilons, math.inf)]
        labels = [f"{epsilon:.3g}" for epsilon in seen.epsilons]
        figure.add_bar(
            x=[*labels, "never"],
            y=[100 * count / len(seen) for count in counts],
            name=line.name,
            marker={"color": line.colour, "pattern": {"shape": "" if line.dash == "solid" else "/"}},
            customdata=[(count, len(seen)) for count in counts],
            hovertemplate="%{y:.1f} % (%{customdata[0]} of %{customdata[1]})",
        )
    figure.update_layout(barmode="group", bargap=0.15)
    layout(figure, x="smallest ε that fools (0: wrong anyway)", y="images (%)")
    figure.update_xaxes(type="category")
    return figure


def _plain(names: Sequence[str]) -> list[str]:
    """Untrusted names, escaped: Plotly interprets tags for bold type, line breaks and links."""
    return [escape(name, quote=False) for name in names]


def per_class_chart(curves: Sequence[tuple[Trace, Predictions]], place: int, class_names: Sequence[str]) -> go.Figure:
    """Accuracy in percent of each true class at the ε in that place of the grid, one bar per curve."""
    figure = go.Figure()
    for line, seen in curves:
        rows = seen.per_class(place, len(class_names))
        figure.add_bar(
            x=_plain(class_names),
            y=[100 * right / total if total else None for right, total in rows],
            name=line.name,
            marker={"color": line.colour, "pattern": {"shape": "" if line.dash == "solid" else "/"}},
            customdata=rows,
            hovertemplate="%{y:.1f} % (%{customdata[0]} of %{customdata[1]})",
        )
    figure.update_layout(barmode="group", bargap=0.2)
    layout(figure, x="true class", y="accuracy (%)")
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
            x=_plain(class_names),
            y=_plain(class_names),
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
    layout(figure, x="answer", y="true class", height=520)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def loss_chart(rows: Sequence[Mapping[str, Any]], colour: str) -> go.Figure:
    """The training loss over the steps of a job's progress: every batch faintly, their running mean in `colour`."""
    seen = [row for row in rows if isinstance(row.get("loss"), int | float)]
    steps, losses = [row["step"] for row in seen], [row["loss"] for row in seen]
    figure = go.Figure()
    figure.add_scatter(
        x=steps, y=losses, mode="lines", name="batch", line={"color": _faint(colour, 0.3), "width": 1}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=steps,
        y=_running_mean(losses),
        mode="lines",
        name="loss",
        line={"color": colour, "width": 2.5},
        hovertemplate="%{y:.3f}",
    )
    layout(figure, x="training step", y="loss", height=320)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(range=_whole_run(rows))
    figure.update_yaxes(rangemode="tozero")
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
            line={"color": _faint(colour, opacity), "dash": dash, "width": 2.5},
            marker={"symbol": symbol, "size": 8},
            hovertemplate="%{y:.1f} %",
        )
    layout(figure, x="training step", y="held-out accuracy (%)", height=320)
    figure.update_xaxes(range=_whole_run(rows))
    figure.update_yaxes(range=[-2, 104])
    return figure


@dataclass(frozen=True)
class Bars:
    """One bar a place, in percent; None leaves a place empty. `error` is drawn up and down, `pattern` tells without colour."""

    name: str
    colour: str
    values: tuple[float | None, ...]
    error: tuple[float, ...] = ()
    pattern: str = ""


def bars_chart(places: Sequence[str], bars: Sequence[Bars], *, x: str = "accuracy (%)") -> go.Figure:
    """Lying bars, a group a place and the first place on top: published and measured figures, or models under attacks."""
    figure = go.Figure()
    for group in bars:
        figure.add_bar(
            x=list(group.values),
            y=list(places),
            orientation="h",
            name=group.name,
            marker={"color": group.colour, "pattern": {"shape": group.pattern}},
            error_x={"type": "data", "array": list(group.error), "thickness": 1.5, "width": 4} if group.error else None,
            hovertemplate="%{x:.1f}",
        )
    figure.update_layout(barmode="group", bargap=0.25)
    layout(figure, x=x, y="", height=110 + len(places) * (24 + 15 * len(bars)))
    figure.update_layout(hovermode="y unified", legend={"y": 1.02, "yanchor": "bottom", "traceorder": "normal"})
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    if x.startswith("accuracy"):
        figure.update_xaxes(range=[0, 102])
    return figure


@dataclass(frozen=True)
class Phases:
    """Accuracies in percent over the four phases of adversarial training, None where there is no figure."""

    measured: tuple[float | None, ...]
    published: tuple[float | None, ...]
    pgd: tuple[float | None, ...]


PHASES = ("trained", "attacked", "retrained", "attacked<br>again")


def cycle_chart(phases: Phases, before: str, after: str) -> go.Figure:
    """Trained, attacked, retrained, attacked again; `before` and `after` are the colours of the two models."""
    figure = go.Figure()
    colours = [before, before, after, after]
    figure.add_scatter(
        x=list(PHASES),
        y=list(phases.measured),
        mode="lines+markers+text",
        name="measured (FGSM)",
        line={"color": GREY.replace("0.25", "0.8"), "width": 2},
        marker={"size": 14, "color": colours},
        text=["" if value is None else f"{value:.0f}" for value in phases.measured],
        textposition="top center",
        hovertemplate="%{y:.1f} % measured",
    )
    for name, values, symbol in (("published", phases.published, "x-open"), ("PGD-20, measured", phases.pgd, "diamond-open")):
        if any(value is not None for value in values):
            figure.add_scatter(
                x=list(PHASES),
                y=list(values),
                mode="markers",
                name=name,
                marker={"symbol": symbol, "size": 11, "color": colours, "line": {"width": 2, "color": colours}},
                hovertemplate=f"%{{y:.1f}} % {name}",
            )
    layout(figure, x="", y="accuracy (%)", height=330)
    figure.update_xaxes(type="category", tickangle=0)
    figure.update_yaxes(range=[-4, 112], tickvals=[0, 25, 50, 75, 100])
    return figure
