"""Charts of several models: clean against robust accuracy, attacks carried over, and the last hidden layer of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

import plotly.graph_objects as go
from torch import Tensor

from advcore.evaluation.inside import Inside
from advcore.evaluation.interval import wilson_interval
from advcore.evaluation.scrub import Scrub
from advcore.evaluation.transfer import Transfer
from ui.charts.base import layout, plain


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
            text=plain([model.label for model in models]),
            textposition="middle left",
            textfont={"size": 11},
            hovertext=[f"<b>{escape(model.title)}</b><br>{escape(model.architecture)}" for model in models],
            hovertemplate="%{hovertext}<br>clean %{x:.1f} %, AutoAttack %{y:.1f} %<extra></extra>",
        )
    layout(figure, x="clean accuracy (%)", y="accuracy under AutoAttack (%)", hovermode="closest")
    figure.update_yaxes(range=[-4, 80])
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
    names, answers = plain(class_names), seen.answers.tolist()
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
