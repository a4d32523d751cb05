"""A study as its page shows it: charts, links to its models, exports, and measuring or training it anew on this machine."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import streamlit as st

from advcore import data
from advcore.errors import AdvcoreError
from advcore.evaluation.curves import RobustnessCurve
from advcore.jobs import queue
from advcore.papers import replication, studies, verdicts
from advcore.papers.replication import Record
from advcore.papers.studies import Entry, Figure, Question, Study
from advcore.training import estimate
from ui import charts, load
from ui.frame import chosen
from ui.papers import report
from ui.pickers import curve_ends
from ui.training.job import CHART
from ui.words import DEFENDED, FOOLED, OTHERS, STANDARD, markdown_safe

PUBLISHED = "#888888"


def colour(model: str) -> str:
    """Blue for an undefended model, green for a defended one."""
    return STANDARD if model.endswith("-standard") else DEFENDED


def short(model: str) -> str:
    """A model's id without its dataset."""
    return model.split("/")[1]


# --- charts ----------------------------------------------------------------------------------------------------------------


def all_charts(study: Study, record: Record) -> None:
    """Everything that is drawn of a study."""
    draw = {"cycle": _cycles, "curves": _curves, "bars": _bars, "training": _training}
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
            column.plotly_chart(charts.cycle_figure(phases, STANDARD, DEFENDED), key=f"cycle {study.key} {row}", config=CHART)


def _phases(study: Study, found: Sequence[Figure], record: Record) -> charts.Phases | None:
    """Clean and attacked, before and after; None where a row has no such figures or none was measured."""
    pairs = {figure.defended: figure for figure in found if figure.measures in {"FGSM", "drop"}}
    if set(pairs) != {True, False}:
        return None
    measured, published, pgd = [], [], []
    for defended in (False, True):
        attacked = pairs[defended]
        epsilon = replication.pixel_epsilon(attacked, study.readings[0])
        for name in ("clean", "FGSM", "PGD"):
            seen = verdicts.value(record, attacked.model, name, epsilon)
            (pgd if name == "PGD" else measured).append(seen.percent if seen else None)
        published += [_clean(attacked, found), _left(attacked, found)]
    if not any(value is not None for value in measured):
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


def _crosses(among: Sequence[Figure], reading: studies.Reading, defended: bool) -> charts.Points | None:
    """What was published of the undefended or the defended model, clean and under FGSM; None where nothing was."""
    told = [
        (replication.pixel_epsilon(figure, reading), left / 100)
        for figure in among
        if figure.defended == defended and figure.measures != "PGD" and (left := _left(figure, among)) is not None
    ]
    if not told:
        return None
    name, tint = ("published, defended", DEFENDED) if defended else ("published, undefended", STANDARD)
    return charts.Points(name, tint, "x", tuple(at for at, _ in told), tuple(left for _, left in told))


def _curves(study: Study, record: Record) -> None:
    """Accuracy against ε of the study's models, FGSM and PGD-20, with what it published under a reading of one's choice."""
    names = [name for name in study.datasets if any(item.model.startswith(f"{name}/") for item in record.measured)]
    if not names:
        return
    st.markdown("##### Accuracy against ε")
    left, right = st.columns([1, 2]) if len(names) > 1 else (None, st)
    dataset = names[0]
    if left is not None:
        titles = {name: info.title for name, info in data.datasets().items()}
        key = chosen("data", names, names[0], key=f"data:{study.key}")
        dataset = left.selectbox("Dataset", names, format_func=titles.get, key=key)
    readings = [reading for reading in study.readings if reading.dataset in (None, dataset)]
    words = [reading.words for reading in readings]
    said = right.selectbox("Read the study's ε as", words, key=f"reading of {study.key} {dataset}")
    reading = readings[words.index(said) if said in words else 0]
    figures_here = [figure for figure in study.figures if figure.dataset == dataset]
    lines = []
    for model in dict.fromkeys(reading.model(figure.model) for figure in figures_here):
        for attack, dash in ((reading.fgsm, "solid"), ("PGD", "dash")):
            if (curve := _curve(record, model, attack)) is not None:
                title = f"{short(model)}, {'PGD-20' if attack == 'PGD' else attack}"
                lines.append((charts.Line(title, _told_apart(model, lines), dash), curve))
    points = [found for defended in (False, True) if (found := _crosses(figures_here, reading, defended)) is not None]
    st.plotly_chart(charts.accuracy_figure(lines, points), key=f"curves {study.key}", config=CHART)
    st.caption(
        "Lines: measured here, with their 95 % bands. Crosses: what the study published on clean images and under FGSM, at its "
        "ε under this reading; of a drop what it leaves of the clean accuracy, of a range its lower end."
    )


def _told_apart(model: str, lines: Sequence[tuple[charts.Line, RobustnessCurve]]) -> str:
    """The model's colour; one of its own where another model already has that."""
    same = next((line.colour for line, _ in lines if line.name.startswith(f"{short(model)},")), None)
    taken = {line.colour for line, _ in lines}
    spare = next((other for other in OTHERS if other not in taken), OTHERS[0])
    return same or (spare if colour(model) in taken else colour(model))


def _curve(record: Record, model: str, attack: str) -> RobustnessCurve | None:
    """The measured accuracies of a model over ε, clean first; None below two points.

    ε = 0 is left out where it was measured on another number of images.
    """
    points = verdicts.curve(record, model, attack)
    images = points[-1][1].images if points else 0
    kept = [(at, item) for at, item in points if item.images == images]
    if len(kept) < 2:
        return None
    return RobustnessCurve(tuple(at for at, _ in kept), tuple(item.right for _, item in kept), images)


def _bars(study: Study, record: Record) -> None:
    """Every published figure beside what was measured as written, what PGD leaves, and the nearest reading."""
    lines = [line for line in verdicts.lines(study, record) if line.figure.percent is not None]
    if not any(line.literal.measured is not None for line in lines):
        return
    st.markdown("##### Published and measured")
    places = [f"{line.figure.row}<br>{report.MEASURES[line.figure.measures]}" for line in lines]
    shown = [
        charts.Bars("published", PUBLISHED, tuple(line.figure.percent for line in lines), pattern="/"),
        charts.Bars("measured as written", STANDARD, tuple(line.literal.measured for line in lines)),
        charts.Bars("nearest other reading", OTHERS[2], tuple(_nearest(line) for line in lines)),
        charts.Bars("PGD-20, as written", PUBLISHED, tuple(line.literal.pgd for line in lines), pattern="x"),
    ]
    st.plotly_chart(charts.bars_figure(places, shown), key=f"bars {study.key}", config=CHART)


def _nearest(line: verdicts.Line) -> float | None:
    """What was measured under another reading than the literal one, where that is the nearest."""
    return line.best.measured if line.best is not None and line.best is not line.literal else None


def _training(study: Study, record: Record) -> None:
    """How the accuracies on held-out images went while its models were trained, where their headers tell."""
    known = load.catalog()
    watched = {
        model: history
        for model in study.models
        if (item := known.get(model)) and not item.own and (history := item.metrics.get("history"))
    }
    if not watched:
        return
    st.markdown("##### The training, watched on held-out images")
    st.caption("Where FGSM accuracy rises while PGD accuracy falls, the model learns to read the label off the single step.")
    for column, (model, history) in zip(st.columns(len(watched)), watched.items(), strict=True):
        rows = [{"step": seen["step"], "steps": history[-1]["step"], "evaluation": seen} for seen in history]
        column.markdown(f"**{markdown_safe(model)}**")
        column.plotly_chart(charts.watched_figure(rows, colour(model)), key=f"watched {model}", config=CHART)


def question_chart(question: Question, record: Record) -> None:
    """A bar for every model under every attack; a question about drops shows the drops."""
    names = [subject.model for subject in question.subjects if verdicts.value(record, subject.model, "clean") is not None]
    if not names:
        return
    if any(term.measures == "drop" for claim in question.claims for item in claim.comparisons for term in item.more):
        _drops(question, record)
        return
    epsilons = {subject.model: subject.epsilon for subject in question.subjects}
    several = len({name.split("/")[0] for name in names}) > 1
    places = [f"{short(name)}<br>{name.split('/')[0]}" if several else short(name) for name in names]
    colours = dict(zip(question.attacks, (PUBLISHED, STANDARD, FOOLED, *OTHERS), strict=False))
    bars = []
    for attack in question.attacks:
        found = [verdicts.value(record, name, attack, epsilons[name]) for name in names]
        errors = tuple((value.spread or 0.0) if value else 0.0 for value in found)
        title = "PGD-20" if attack == "PGD" else "C&W (L2 budget)" if attack == "C&W" else attack
        values = tuple(value.percent if value else None for value in found)
        bars.append(charts.Bars(title, colours[attack], values, errors if any(errors) else ()))
    st.plotly_chart(charts.bars_figure(places, bars), key=f"bars {question.key}", config=CHART)
    if any(group.error for group in bars):
        st.caption("Error bars: the standard deviation over the seeds.")


def _drops(question: Question, record: Record) -> None:
    """The points that FGSM takes from each group's model, dataset by dataset, with their sampling error."""
    groups = list(dict.fromkeys(subject.group for subject in question.subjects))
    names = list(dict.fromkeys(subject.model.split("/")[0] for subject in question.subjects))
    titles = {name: info.title for name, info in data.datasets().items()}
    bars = []
    for group, tint in zip(groups, (STANDARD, *OTHERS), strict=False):
        mine = {subject.model.split("/")[0]: subject for subject in question.subjects if subject.group == group}
        found = [verdicts.value(record, mine[name].model, "drop", mine[name].epsilon) for name in names]
        noise = tuple(value.noise if value else 0.0 for value in found)
        bars.append(charts.Bars(group, tint, tuple(value.percent if value else None for value in found), noise))
    figure = charts.bars_figure([titles.get(name, name) for name in names], bars, x="drop under FGSM (points)")
    st.plotly_chart(figure, key=f"bars {question.key}", config=CHART)
    st.caption("Error bars: the sampling error at 95 %.")


# --- links -----------------------------------------------------------------------------------------------------------------


def links(of: Entry) -> None:
    """Where the very models can be attacked, at the very ε (or at the track's end, which is said)."""
    known = load.catalog()
    offered: dict[str, tuple[tuple[str, ...], float]] = {}
    if isinstance(of, Study):
        for figure in of.figures:
            if figure.measures in {"FGSM", "drop"} and figure.defended:
                pair = tuple(item.model for item in of.figures if item.dataset == figure.dataset and not item.defended)[:1]
                at = replication.pixel_epsilon(figure, of.readings[0])
                held = offered.get(figure.model, ((), 0.0))[1]
                offered[figure.model] = ((*pair, figure.model), held or at)
    else:
        for subject in of.subjects:
            offered[subject.model] = ((subject.model,), subject.epsilon)
    here = {name: found for name, found in offered.items() if all(model in known for model in found[0])}
    if not here:
        return
    name = st.selectbox("Look at its models yourself", list(here), key=f"models of {of.key}")
    models, epsilon = here[name if name in here else next(iter(here))]
    dataset = models[0].split("/")[0]
    info = data.dataset(dataset)
    with st.container(horizontal=True):
        st.link_button("Attack them", attack_link(models, epsilon), icon=":material/bolt:")
        st.link_button("Their accuracy against ε", accuracy_link(of, models, epsilon), icon=":material/show_chart:")
    if epsilon > info.epsilon_max:
        st.caption(f"Both pages end at ε = {info.epsilon_max:.3f} on {info.title}; the study's {epsilon:g} lies beyond.")


def attack_link(models: Sequence[str], epsilon: float) -> str:
    """The Attack page with these models, at this ε as far as its track goes."""
    dataset = models[0].split("/")[0]
    at = min(epsilon, data.dataset(dataset).epsilon_max)
    return f"/?{urlencode({'dataset': dataset, 'a': models[0], 'b': models[-1], 'epsilon': f'{at:.6g}'})}"


def accuracy_link(of: Entry, models: Sequence[str], epsilon: float) -> str:
    """The Accuracy page with these models under FGSM and PGD-20, up to the smallest end that holds this ε."""
    dataset = models[0].split("/")[0]
    ends = curve_ends(data.dataset(dataset))
    # A study with a curve of its own is shown to that curve's end.
    curves = [curve for curve in studies.published_curves(dataset) if f"({of.key})" in curve.study]
    end = next((end for end in ends if end >= max([epsilon, *(at for curve in curves for at in curve.epsilons)])), ends[-1])
    query = {"dataset": dataset, "models": "~".join(dict.fromkeys(models)), "attacks": "fgsm~pgd", "end": f"{end:.6g}"}
    published = bool(curves)
    return f"/accuracy?{urlencode(query | ({'published': 'True'} if published else {}))}"


def every_reading(study: Study, record: Record | None) -> None:
    """The whole table, a line for each reading of each figure."""
    st.dataframe(
        verdicts.rows(study, record),
        hide_index=True,
        column_order=(
            "row",
            "model",
            "measures",
            "attack",
            "epsilon_pixels",
            "published_percent",
            "measured_percent",
            "difference_points",
            "pgd20_percent",
            "reading",
        ),
        column_config={
            "epsilon_pixels": st.column_config.NumberColumn("ε (pixels)", format="%.4f"),
            "published_percent": st.column_config.NumberColumn("published (%)", format="%.2f"),
            "measured_percent": st.column_config.NumberColumn("measured (%)", format="%.2f"),
            "difference_points": st.column_config.NumberColumn("apart (points)", format="%+.1f"),
            "pgd20_percent": st.column_config.NumberColumn("PGD-20 (%)", format="%.2f"),
        },
    )


# --- exports ---------------------------------------------------------------------------------------------------------------


def exports(of: Entry, record: Record | None) -> None:
    """The table as CSV, and a report to print."""
    with st.container(horizontal=True):
        st.download_button(
            "Table (CSV)",
            as_csv(verdicts.rows(of, record)),
            file_name=f"{of.key}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key=f"csv {of.key}",
        )
        st.download_button(
            "Report to print",
            report.report([(of, record)]),
            file_name=f"{of.key}-report.html",
            mime="text/html",
            icon=":material/print:",
            on_click="ignore",
            key=f"report {of.key}",
        )


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as a CSV text with their names on top."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


# --- on this machine -------------------------------------------------------------------------------------------------------


def again(of: Entry) -> None:
    """Measure a slice of it here and now, or train one of its models anew as a job."""
    with st.expander("Re-run on this machine", icon=":material/replay:"):
        st.caption(
            "Measures the first 500 test images (PGD-20: 100, C&W: 10) with the shipped models. The recorded figures above "
            f"stay; `python -m advcore papers run {of.key}` measures everything and records it."
        )
        if st.button("Measure now", icon=":material/play_arrow:", key=f"measure {of.key}"):
            _measure(of)
        if found := st.session_state.get("measured again", {}).get(of.key):
            st.html(f"<style>{report.TABLE_CSS}</style>{report.table(of, found)}")
            st.caption(markdown_safe(report.origin(found)))
        _train_again(of)


def _measure(of: Entry) -> None:
    bar = st.progress(0.0, "Measuring …")
    try:
        for step in replication.measure(of, quick=True):
            bar.progress(min(step.done, 1.0), f"Measuring: {markdown_safe(step.words)}")
    except AdvcoreError as error:
        bar.empty()
        st.error(markdown_safe(str(error)))
        return
    bar.empty()
    st.session_state.setdefault("measured again", {})[of.key] = step.record


@st.cache_data(ttl=600, show_spinner="Timing a few steps …", max_entries=50)
def _estimated(model: str) -> str:
    """How long a model's recipe will take here, in a sentence."""
    return estimate.estimate(replication.recipe(model)).sentence


def _train_again(of: Entry) -> None:
    """One of its models as a job, with the time it will take."""
    models = [model for model in of.models if model != studies.LEAKED]
    model = st.selectbox("Train one of its models anew", models, index=None, placeholder="choose one", key=f"train {of.key}")
    if model is None:
        return
    try:
        st.caption(f":material/schedule: {_estimated(model)} It becomes a model of your own; the shipped one stays.")
        if st.button("Start training", icon=":material/school:", key=f"start {of.key}"):
            job = queue.start(replication.recipe(model))
            st.success("The training is under way.", icon=":material/check_circle:")
            st.link_button("Watch it", f"/retrain?{urlencode({'job': job.id})}", icon=":material/visibility:")
    except (AdvcoreError, OSError) as error:
        st.error(markdown_safe(str(error)))
