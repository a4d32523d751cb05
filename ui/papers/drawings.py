"""The charts of a study or a question, drawn from its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from advcore import data
from advcore.evaluation.curves import RobustnessCurve
from advcore.papers import grid, verdicts
from advcore.papers.record import Record, value
from advcore.papers.studies import FEWEST
from advcore.papers.study import Chart, Figure, Reading, Study
from ui import charts, load
from ui.frame import choose, presented
from ui.papers.report import MEASURES
from ui.words import DEFENDED, FOOLED, OTHERS, STANDARD, markdown_safe

PUBLISHED = "#888888"
_FIT = 12  # lines of the comparison on a screen of 720 pixels in large type


def colour(model: str) -> str:
    """Blue for an undefended model, green for a defended one."""
    return STANDARD if model.endswith("-standard") else DEFENDED


def titled(model: str) -> str:
    """A shipped model in words; the id of one that is not here."""
    item = load.catalog().get(model)
    return model if item is None or item.own else item.title


def _lines(model: str, with_dataset: bool) -> str:
    """A model in words, a part a line, as a place of a chart."""
    network, _, how = titled(model).partition(", ")
    return "<br>".join([*([data.dataset(model.split("/")[0]).title] if with_dataset else []), network, *filter(None, [how])])


def comparison(study: Study, record: Record, reading: Reading) -> None:
    """What a study published beside ours under one reading of its ε, and what PGD-20 leaves of the same models.

    A screen of a presentation leaves out what was not published, and of many figures the clean ones, so that the rest fits.
    """
    rows = verdicts.table(study, record)
    curve = [row for row in rows if row.figure.measures == "FGSM" and row.figure.percent is not None]
    lies = len(curve) < 2 * FEWEST  # else it published a curve before and one after its defense
    shown = rows if lies else curve
    if presented():
        shown = [row for row in shown if row.figure.percent is not None]
        if lies and len(shown) > _FIT:
            shown = [row for row in shown if row.figure.measures != "clean"]
    figures = [one for row in shown if (one := _compared(study, record, row, reading, lies)).ours is not None]
    if not figures:
        return
    draw = charts.dumbbell_chart if lies else charts.reading_chart
    charts.show(draw(figures), key=f"compared {study.key}")


def _compared(study: Study, record: Record, row: verdicts.Row, reading: Reading, lies: bool) -> charts.Compared:
    """A figure of the table as a line of the chart; of a drop, what it leaves."""
    figure, part = row.figure, row.under(reading).part
    ours = value(record, {part: 1.0})
    pgd = value(record, {replace(part, attack="PGD"): 1.0}) if figure.single_step else None
    left = _left(figure, study.figures)
    kind = MEASURES["FGSM" if figure.measures == "drop" else figure.measures].removeprefix("under ").removesuffix(" accuracy")
    words = ("defended: " if figure.defended else "") + kind + (f" {figure.epsilon:g}" if figure.epsilon else "")
    return charts.Compared(
        place=words if lies else figure.epsilon,
        colour=colour(figure.model),
        published=None if left is None else (left, figure.up_to or left),
        ours=ours.percent if ours else None,
        interval=(ours.low, ours.high) if ours else None,
        pgd=pgd.percent if pgd else None,
        group=figure.row,
    )


def study_chart(name: Chart, study: Study, record: Record, reading: Reading) -> None:
    """One of the charts that a study has besides the comparison, under one reading of its ε."""
    if name == "curves":
        _curves(study, record, reading)
    elif name == "training":
        _training(study)
    elif name == "map":
        _map(study, reading)
    else:
        _models(study, record)


def _left(figure: Figure, among: Sequence[Figure]) -> float | None:
    """The accuracy that a figure publishes, in percent; a drop is subtracted from its row's clean accuracy."""
    if figure.measures != "drop" or figure.percent is None:
        return figure.percent
    same = (item.percent for item in among if (item.row, item.model, item.measures) == (figure.row, figure.model, "clean"))
    clean = next(same, None)
    return None if clean is None else clean - figure.percent


def _crosses(among: Sequence[Figure], reading: Reading, defended: bool) -> list[charts.Points]:
    """What was published of the undefended or the defended model, clean and under FGSM."""
    told = [
        (reading.epsilon(figure), left / 100)
        for figure in among
        if figure.defended == defended and figure.measures != "PGD" and (left := _left(figure, among)) is not None
    ]
    name, tint = ("published, defended", DEFENDED) if defended else ("published, undefended", STANDARD)
    return [charts.Points(name, tint, "x", *zip(*told, strict=True))] if told else []


def _curves(study: Study, record: Record, reading: Reading) -> None:
    """Accuracy against ε of the study's models, FGSM and PGD-20, with what it published under the reading."""
    names = [name for name in study.datasets if any(item.model.startswith(f"{name}/") for item in record.measured)]
    if not names:
        return
    dataset = names[0]
    if len(names) > 1:
        titles = {name: data.dataset(name).title for name in names}
        dataset = choose(st.selectbox, "Dataset", "data", titles, key=f"data:{study.key}")
    here = [figure for figure in study.figures if figure.dataset == dataset]
    traces: list[tuple[charts.Trace, RobustnessCurve]] = []
    for model in dict.fromkeys(reading.model(figure) for figure in here):
        taken = {trace.colour for trace, _ in traces}
        tint = next((free for free in (colour(model), *OTHERS) if free not in taken), OTHERS[0])
        for attack, dash in ((reading.fgsm, "solid"), ("PGD", "dash")):
            if (curve := _curve(record, model, attack)) is not None:
                title = f"{titled(model)}: {'PGD-20' if attack == 'PGD' else attack}"
                traces.append((charts.Trace(title, tint, dash), curve))
    points = [*_crosses(here, reading, False), *_crosses(here, reading, True)]
    charts.show(charts.accuracy_chart(traces, points), key=f"curves {study.key}")
    st.caption(
        "Lines: measured here, with 95 % bands. Crosses: published clean and FGSM accuracy, at the study's ε under this "
        "reading. A published drop is subtracted from the clean accuracy; of a range the lower end is drawn."
    )


def _curve(record: Record, model: str, attack: str) -> RobustnessCurve | None:
    """The measured accuracies of a model over ε, clean first; None below two points.

    ε = 0 is left out where it was measured on another number of images.
    """
    points = record.curve(model, attack)
    kept = [item for item in points if item.images == points[-1].images]
    if len(kept) < 2:
        return None
    return RobustnessCurve(tuple(item.epsilon for item in kept), tuple(item.right for item in kept), kept[0].images)


def _training(study: Study) -> None:
    """The accuracies on held-out images during the training of its models, where their headers have them."""
    known = load.catalog()
    watched = {
        model: history
        for model in study.models
        if (item := known.get(model)) and not item.own and (history := item.metrics.get("history"))
    }
    if not watched:
        return
    st.caption(
        "Where FGSM accuracy rises while PGD accuracy falls, the model holds against the single step alone: label leaking or "
        "catastrophic overfitting."
    )
    for column, (model, history) in zip(st.columns(len(watched)), watched.items(), strict=True):
        rows = [{"step": seen["step"], "steps": history[-1]["step"], "evaluation": seen} for seen in history]
        column.markdown(f"**{data.dataset(model.split('/')[0]).title}**, {titled(model)}")
        with column:
            charts.show(charts.watched_chart(rows, colour(model)), key=f"watched {model}")


def _map(study: Study, reading: Reading) -> None:
    """Where the published figures lie among networks of other widths and amounts of training, under one reading of ε."""
    st.markdown("\n".join(f"- {markdown_safe(words)}" for words in grid.sentences(study)))
    rows = [row for row in grid.rows(study) if row["reading"] == reading.words]
    if not rows:
        st.caption(f"Not measured yet: `{grid.command(study)}`")
        return
    for dataset in study.mapped:
        for column, start in zip(st.columns(len(grid.STARTS)), grid.STARTS.values(), strict=True):
            cells = [row for row in rows if (row["dataset"], row["start"]) == (dataset, start)]
            if cells:
                column.markdown(f"**{data.dataset(dataset).title}**, {reading.words}, adversarial training {start}")
                with column:
                    charts.show(charts.map_chart(cells), key=f"map {study.key} {dataset} {start}")
    st.caption(
        f"In a cell, in percent: {grid.FIGURES}. Darker: nearer to the published figures. Each network was trained with one "
        f"seed, on each of its images once, and measured on {grid.HELD_OUT:,} random images of the training split, which no "
        "network saw. That a setting comes near does not show that the study used it."
    )


def _models(study: Study, record: Record) -> None:
    """A bar for every model under every attack, with its 95 % interval as error bar."""
    rows = [row for row in verdicts.table(study, record) if row.cells[0].measured]
    models = list(dict.fromkeys(row.figure.model for row in rows))
    several = len(study.datasets) > 1
    places = [_lines(model, several) for model in models]
    bars = []
    accuracies = (kind for kind in MEASURES if kind != "zero gradient")
    for kind, tint in zip(accuracies, (PUBLISHED, STANDARD, FOOLED, *OTHERS), strict=True):
        found = {row.figure.model: row.cells[0].measured for row in rows if row.figure.measures == kind}
        if found:
            shown = [found.get(model) for model in models]
            values = tuple(one and one.percent for one in shown)
            errors = tuple((one.percent - one.low, one.high - one.percent) if one else (0.0, 0.0) for one in shown)
            bars.append(charts.Bars(MEASURES[kind], tint, values, errors))
    if bars:
        charts.show(charts.bars_chart(places, bars), key=f"models {study.key}")
        st.caption("Error bars: 95 % intervals over test images, and over seeds where several were trained.")
