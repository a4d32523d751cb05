"""The charts of a study or a question, drawn from its record."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from advcore import data
from advcore.evaluation.curves import RobustnessCurve
from advcore.papers import verdicts
from advcore.papers.record import Record, value
from advcore.papers.study import Figure, Reading, Study, quantity
from ui import charts, load
from ui.frame import chosen
from ui.papers.report import MEASURES
from ui.words import DEFENDED, FOOLED, OTHERS, STANDARD, markdown_safe

PUBLISHED = "#888888"


def colour(model: str) -> str:
    """Blue for an undefended model, green for a defended one."""
    return STANDARD if model.endswith("-standard") else DEFENDED


def short(model: str) -> str:
    """A model's id without its dataset."""
    return model.split("/")[1]


def study_charts(study: Study, record: Record) -> None:
    """Everything that is drawn of a study."""
    draw = {"cycle": _cycles, "curves": _curves, "bars": _bars, "training": _training, "models": _models}
    for name in study.charts:
        draw[name](study, record)


def _cycles(study: Study, record: Record) -> None:
    """The four phases of every row that has them."""
    rows: dict[str, list[Figure]] = {}
    for figure in study.figures:
        rows.setdefault(figure.row, []).append(figure)
    drawn = {row: phases for row, found in rows.items() if (phases := _phases(study, found, record))}
    if not drawn:
        return
    st.markdown("##### The four phases, measured")
    st.caption("Trained → attacked with FGSM → retrained on clean + FGSM images → attacked again. Crosses: published.")
    for start in range(0, len(drawn), 2):
        for column, (row, phases) in zip(st.columns(2), list(drawn.items())[start : start + 2], strict=False):
            epsilon = max(figure.epsilon for figure in rows[row])
            column.markdown(f"**{markdown_safe(row)}**, ε = {epsilon:g}")
            column.plotly_chart(
                charts.cycle_chart(phases, STANDARD, DEFENDED), key=f"cycle {study.key} {row}", config=charts.CONFIG
            )


def _phases(study: Study, found: Sequence[Figure], record: Record) -> charts.Phases | None:
    """Clean and attacked, before and after; None where a row has no such figures or none was measured."""
    pairs = {figure.defended: figure for figure in found if figure.single_step}
    if set(pairs) != {True, False}:
        return None
    measured, published, pgd = [], [], []
    for defended in (False, True):
        attacked = pairs[defended]
        epsilon = study.readings[0].epsilon(attacked)
        for name, into in (("clean", measured), ("FGSM", measured), ("PGD", pgd)):
            seen = value(record, quantity(attacked.model, name, epsilon))
            into.append(seen.percent if seen else None)
        published += [_clean(attacked, found), _left(attacked, found)]
    if not any(percent is not None for percent in measured):
        return None
    return charts.Phases(tuple(measured), tuple(published), (None, pgd[0], None, pgd[1]))


def _clean(figure: Figure, among: Sequence[Figure]) -> float | None:
    """The clean accuracy published in a figure's row for its model, in percent."""
    same = (item for item in among if (item.row, item.model, item.measures) == (figure.row, figure.model, "clean"))
    return next((item.percent for item in same), None)


def _left(figure: Figure, among: Sequence[Figure]) -> float | None:
    """The accuracy a figure publishes, in percent; of a drop what it leaves of its row's clean accuracy."""
    if figure.measures != "drop" or figure.percent is None:
        return figure.percent
    clean = _clean(figure, among)
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


def _curves(study: Study, record: Record) -> None:
    """Accuracy against ε of the study's models, FGSM and PGD-20, with what it published under the chosen reading."""
    names = [name for name in study.datasets if any(item.model.startswith(f"{name}/") for item in record.measured)]
    if not names:
        return
    st.markdown("##### Accuracy against ε")
    left, right = st.columns([1, 2]) if len(names) > 1 else (st, st)
    dataset = names[0]
    if len(names) > 1:
        key = chosen("data", names, names[0], key=f"data:{study.key}")
        dataset = left.selectbox("Dataset", names, format_func=lambda name: data.dataset(name).title, key=key)
    words = [reading.words for reading in study.readings]
    said = right.selectbox("Read the study's ε as", words, key=f"reading of {study.key}")
    reading = study.readings[words.index(said)]
    here = [figure for figure in study.figures if figure.dataset == dataset]
    traces: list[tuple[charts.Trace, RobustnessCurve]] = []
    for model in dict.fromkeys(reading.model(figure) for figure in here):
        taken = {trace.colour for trace, _ in traces}
        tint = next((free for free in (colour(model), *OTHERS) if free not in taken), OTHERS[0])
        for attack, dash in ((reading.fgsm, "solid"), ("PGD", "dash")):
            if (curve := _curve(record, model, attack)) is not None:
                title = f"{short(model)}, {'PGD-20' if attack == 'PGD' else attack}"
                traces.append((charts.Trace(title, tint, dash), curve))
    points = [*_crosses(here, reading, False), *_crosses(here, reading, True)]
    st.plotly_chart(charts.accuracy_chart(traces, points), key=f"curves {study.key}", config=charts.CONFIG)
    st.caption(
        "Lines: measured here, with their 95 % bands. Crosses: what the study published on clean images and under FGSM, at its "
        "ε under this reading; of a drop what it leaves of the clean accuracy, of a range its lower end."
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


def _bars(study: Study, record: Record) -> None:
    """Every published figure beside what was measured as written and under the best reading, and what PGD leaves."""
    rows = [row for row in verdicts.table(study, record) if row.figure.percent is not None]
    if not any(row.cells[0].measured for row in rows):
        return
    st.markdown("##### Published and measured")
    best = next((fit for fit in verdicts.fits(study, rows) if fit.mean < fit.literal), None)
    shown = [
        charts.Bars("published", PUBLISHED, tuple(row.figure.percent for row in rows), pattern="/"),
        charts.Bars("measured as written", STANDARD, tuple(_percent(row.cells[0].measured) for row in rows)),
        charts.Bars("PGD-20, as written", PUBLISHED, tuple(_percent(row.cells[0].pgd) for row in rows), pattern="x"),
    ]
    if best:
        cells = [next((cell for cell in row.cells if cell.reading == best.reading), None) for row in rows]
        under = tuple(_percent(cell.measured) if cell else None for cell in cells)
        shown.insert(2, charts.Bars(best.reading.words, OTHERS[2], under))
    places = [f"{row.figure.row}<br>{MEASURES[row.figure.measures]}" for row in rows]
    st.plotly_chart(charts.bars_chart(places, shown), key=f"bars {study.key}", config=charts.CONFIG)


def _percent(found: verdicts.Value | None) -> float | None:
    return found.percent if found else None


def _training(study: Study, record: Record) -> None:
    """The accuracies on held-out images during the training of its models, where their headers have them."""
    known = load.catalog()
    watched = {
        model: history
        for model in study.models
        if (item := known.get(model)) and not item.own and (history := item.metrics.get("history"))
    }
    if not watched:
        return
    st.markdown("##### The training, watched on held-out images")
    st.caption("Where FGSM accuracy rises while PGD accuracy falls, the model learns to read the label from the single step.")
    for column, (model, history) in zip(st.columns(len(watched)), watched.items(), strict=True):
        rows = [{"step": seen["step"], "steps": history[-1]["step"], "evaluation": seen} for seen in history]
        column.markdown(f"**{markdown_safe(model)}**")
        column.plotly_chart(charts.watched_chart(rows, colour(model)), key=f"watched {model}", config=charts.CONFIG)


def _models(study: Study, record: Record) -> None:
    """A bar for every model under every attack, with its 95 % interval as error bar."""
    rows = [row for row in verdicts.table(study, record) if row.cells[0].measured]
    models = list(dict.fromkeys(row.figure.model for row in rows))
    several = len(study.datasets) > 1
    places = [short(model) + (f"<br>{model.split('/')[0]}" if several else "") for model in models]
    bars = []
    for kind, tint in zip(MEASURES, (PUBLISHED, STANDARD, FOOLED, *OTHERS), strict=False):
        found = {row.figure.model: row.cells[0].measured for row in rows if row.figure.measures == kind}
        if found:
            error = tuple((one.high - one.low) / 2 if (one := found.get(model)) else 0.0 for model in models)
            bars.append(charts.Bars(MEASURES[kind], tint, tuple(_percent(found.get(model)) for model in models), error))
    if bars:
        st.plotly_chart(charts.bars_chart(places, bars), key=f"models {study.key}", config=charts.CONFIG)
        st.caption("Error bars: half the width of the 95 % interval, over test images and seeds.")
