"""Plotly charts: the one module that imports plotly."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from torch import Tensor

from advcore.attacks import NORM_TITLES
from advcore.evaluation.curves import Predictions, RobustnessCurve
from advcore.evaluation.inside import Inside
from advcore.evaluation.interval import wilson_interval
from advcore.evaluation.scrub import Scrub
from advcore.evaluation.transfer import Transfer
from ui.components.chart_files import chart_files

GREY = "rgba(128,128,128,0.25)"
HEIGHT = 430
"""Of a chart, in pixels, where nothing else is said."""


@dataclass(frozen=True)
class Trace:
    """How a curve is drawn: its name, its colour (the model) and its dash (the attack).

    With a `label` (HTML of Plotly's) it is named at the end of its line, without one in the legend.
    """

    name: str
    colour: str
    dash: str = "solid"
    label: str = ""


SLIDE = {"width": 960, "height": 540, "scale": 2}
"""A saved chart has 1920 × 1080 pixels, with letters twice as large as on the page."""
_BELOW_HEADING = 480  # pixels of a chart that fits below a heading and a row of controls on a projector of 720 lines


def show(figure: go.Figure, *, key: str, **more: Any) -> Any:
    """Draw the chart, and the buttons that save it; `more` and the result are those of `st.plotly_chart`."""
    options = SLIDE | {"filename": re.sub(r"\W+", "-", key)}
    if st.context.is_embedded:  # a screen of a presentation
        margin = {side: 1.5 * figure.layout.margin[side] for side in "lr"}
        height = max(figure.layout.height, min(1.3 * figure.layout.height, _BELOW_HEADING))
        figure.update_layout(height=height, margin=margin, font_size=18, legend_font_size=18)
        figure.update_xaxes(tickfont_size=18, title_font_size=20).update_yaxes(tickfont_size=18, title_font_size=20)
        figure.update_annotations(font_size=16)
        figure.for_each_annotation(lambda text: text.update(xshift=1.5 * (text.xshift or 0)))
        if figure.layout.legend.yref == "container":  # in sight also where the chart is taller than the screen
            figure.update_layout(legend={"y": 1, "yanchor": "top"}, margin_t=50)
        return st.plotly_chart(figure, key=key, **more)
    with st.container(key=f"figure {key}", gap=None):
        found = st.plotly_chart(figure, key=key, **more)
        chart_files(options, key=f"files {key}")
    return found


@dataclass(frozen=True)
class Points:
    """Published points: accuracies (shares) at ε in pixel space, under one reading of the study."""

    name: str
    colour: str
    symbol: str
    epsilons: tuple[float, ...]
    accuracy: tuple[float, ...]


def layout(figure: go.Figure, *, x: str, y: str, height: int = HEIGHT, **more: Any) -> go.Figure:
    """The layout that all charts share: light grid, legend below the chart, margins for touch screens; `more` is added."""
    shared = {
        "margin": {"l": 8, "r": 12, "t": 16, "b": 8},
        "hovermode": "x unified",
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
        "uirevision": "keep",
    }
    figure.update_layout(shared, height=height).update_layout(**more)
    figure.update_xaxes(title=x, gridcolor=GREY, zeroline=False, automargin=True)
    figure.update_yaxes(title=y, gridcolor=GREY, zeroline=False, automargin=True)
    return figure


def _faint(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


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
    layout(figure, x="clean accuracy (%)", y="accuracy under AutoAttack (%)", hovermode="closest")
    figure.update_yaxes(range=[-4, 80])
    return figure


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
    layout(figure, x="answer", y="true class", height=520, hovermode="closest")
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def transfer_chart(found: Transfer, names: Sequence[str], picked: tuple[int, int]) -> go.Figure:
    """The accuracy left in percent: a row for no attack and for each source, by name, a column for each victim, by number.

    The pair `picked` (source, victim) has a frame. Each cell has a point with its pair as custom data, for clicks.
    """
    count = len(names)
    sources, figure = [None, *range(count)], go.Figure()
    left = [[found.left(source, victim) for victim in range(count)] for source in sources]
    shares = [[100 * correct / images if images else None for correct, images in row] for row in left]
    words = [["" if share is None else f"{share:.0f}" for share in row] for row in shares]
    columns = [str(victim + 1) for victim in range(count)]
    titles = [wrap(f"{number} · {name}", 44) for number, name in zip(columns, names, strict=True)]
    rows = ["no attack", *("<br>".join(escape(line, quote=False) for line in lines) for lines in titles)]
    figure.add_heatmap(
        z=shares,
        x=columns,
        y=rows,
        text=words,
        texttemplate="%{text}",
        colorscale=[[0, "#B34700"], [0.5, "#F0C9A8"], [1, "#E8EEF2"]],
        zmin=0,
        zmax=100,
        xgap=2,
        ygap=2,
        colorbar={"title": {"text": "still right (%)", "side": "right"}, "thickness": 12},
        hoverinfo="skip",
    )
    pairs = [(row, source, victim) for row, source in enumerate(sources) for victim in range(count)]
    told = []
    for row, source, victim in pairs:
        correct, images = left[row][victim]
        low, high = wilson_interval(correct, images)
        made = "no attack" if source is None else f"made on {escape(names[source], quote=False)}"
        share = f"{100 * correct / images:.1f} % ({100 * low:.1f} … {100 * high:.1f}), {correct} of {images}" if images else "–"
        told.append(f"{made}<br>tried on {escape(names[victim], quote=False)}<br><b>{share}</b>")
    figure.add_scatter(
        x=[columns[victim] for _, _, victim in pairs],
        y=[rows[row] for row, _, _ in pairs],
        mode="markers",
        marker={"symbol": "square", "size": 26, "opacity": 0},
        customdata=[[-1 if source is None else source, victim] for _, source, victim in pairs],
        hovertext=told,
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    source, victim = picked
    layout(
        figure,
        x="made on the row's model, tried on the column's",
        y="",
        height=90 + 30 * (count + 1),
        hovermode="closest",
        dragmode=False,
    )
    box = {"x0": victim - 0.5, "x1": victim + 0.5, "y0": source + 0.5, "y1": source + 1.5}
    figure.add_shape(type="rect", **box, line={"color": "#0072B2", "width": 3})
    whole = {"type": "category", "showgrid": False, "fixedrange": True, "dtick": 1}
    figure.update_xaxes(whole, range=[-0.5, count - 0.5], side="top").update_yaxes(
        whole, range=[count + 0.5, -0.5], tickfont_size=11
    )
    return figure


# Okabe–Ito and three more; a symbol of its own tells each class without colour.
_CLASS_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#8C6D5A", "#7A5FB5", "#7F8A94")
_CLASS_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down", "star", "hexagon", "bowtie")


def inside_chart(found: Inside, path: Tensor, seen: Scrub, at: int, class_names: Sequence[str]) -> go.Figure:
    """Test images in two dimensions by class, and the path of one of them (E×2) over the ε of `seen`; `at` has a mark.

    With more classes than colours only those that the path's answers name are told apart.
    """
    names, answers = _plain(class_names), seen.answers.tolist()
    few = len(names) <= len(_CLASS_COLOURS)
    own = list(range(len(names))) if few else list(dict.fromkeys([seen.label, *answers]))[: len(_CLASS_COLOURS)]
    figure = go.Figure()
    groups = [(found.labels == label, names[label], place) for place, label in enumerate(own)]
    if not few:
        rest = ~sum(mask for mask, _, _ in groups).bool()
        groups.insert(0, (rest, "other classes", None))
    for mask, name, place in groups:
        colour = "rgba(128,128,128,0.3)" if place is None else _CLASS_COLOURS[place]
        figure.add_scatter(
            x=found.places[mask, 0].tolist(),
            y=found.places[mask, 1].tolist(),
            mode="markers",
            name=name,
            marker={"size": 6, "opacity": 0.6, "color": colour, "symbol": _CLASS_SYMBOLS[place or 0]},
            text=[f"test image {index}" for index in mask.nonzero().flatten().tolist()],
            hovertemplate="%{text}, " + name + "<extra></extra>",
        )
    for mask, name, place in groups:
        if place is not None and mask.any():
            middle = found.places[mask].median(0).values.tolist()
            figure.add_annotation(
                x=middle[0],
                y=middle[1],
                text=f"<b>{name}</b>",
                showarrow=False,
                bgcolor=_CLASS_COLOURS[place],
                font={"color": "#000000", "size": 12},
                opacity=0.85,
            )
    told = [f"ε = {epsilon:.3f}: {names[answer]}" for epsilon, answer in zip(seen.epsilons, answers, strict=True)]
    fooled = seen.fooled.tolist()
    # White below, so that the line can be read on the points in both themes; the end that fools is drawn again in vermilion.
    inked = [(range(len(fooled)), "#ffffff", 7), (range(len(fooled)), "#333f48", 3.5)]
    for places, colour, width in (*inked, ([place for place, each in enumerate(fooled) if each], "#D55E00", 3.5)):
        figure.add_scatter(
            x=[float(path[place, 0]) for place in places],
            y=[float(path[place, 1]) for place in places],
            mode="lines",
            line={"color": colour, "width": width},
            text=[told[place] for place in places],
            hovertemplate="%{text}<extra></extra>",
        )
    for place, size, fill in ((0, 13, "#ffffff"), (at, 15, "rgba(255,255,255,0.3)")):
        figure.add_scatter(
            x=[float(path[place, 0])],
            y=[float(path[place, 1])],
            mode="markers",
            marker={"size": size, "color": fill, "line": {"width": 2.5, "color": "#000000"}},
            text=[told[place]],
            hovertemplate="%{text}<extra></extra>",
        )
    one, two = (f"direction {place + 1} ({100 * share:.0f} %)" for place, share in enumerate(found.variance))
    return layout(figure, x=one, y=two, height=420, hovermode="closest", showlegend=False)


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
    layout(figure, x="training step", y="loss", height=320, showlegend=False)
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


_BELOW = {"yref": "container", "y": 0, "yanchor": "bottom", "traceorder": "normal"}  # the chart's height leaves it room
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
        height=round(100 + 20 * height),
        hovermode="closest",
        legend=_BELOW,
        margin={"l": _NAMES},
    )
    chart.update_xaxes(range=[-3, 103])
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
        chart, x="ε as the study writes it", y="accuracy (%)", height=420, hovermode="closest", legend=_BELOW, transition=moving
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
        add(bars, mode="lines", line={"color": _faint(colour, 0.45), "width": 5}, hoverinfo="skip", showlegend=False)

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
