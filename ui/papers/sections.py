"""What stands below every study: links to its models, exports, and measuring or training again on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from advcore import data
from advcore.errors import AdvcoreError
from advcore.jobs import queue
from advcore.papers import replication, verdicts
from advcore.papers.p4 import LEAKED
from advcore.papers.record import Record
from advcore.papers.studies import published_curves
from advcore.papers.study import Study
from advcore.training import estimate
from ui import load, visitor
from ui.downloads import offer_csv, offer_file
from ui.links import link
from ui.papers import drawings, report
from ui.words import markdown_safe


def links(of: Study) -> None:
    """Links to its models on the Attack and Accuracy pages, at their ε (if it is on the track, see `beyond`)."""
    known = load.catalog()
    here = {name: found for name, found in _offered(of).items() if all(model in known for model in found[0])}
    if not here:
        return
    name = st.selectbox("Look at its models yourself", list(here), key=f"models of {of.key}", format_func=_words, width=320)
    models, epsilon = here[name]
    link("Attack them", "", icon=":material/bolt:", **attack_query(models, epsilon))
    link("Their accuracy", "accuracy", icon=":material/show_chart:", **accuracy_query(of, models, epsilon))


def _words(model: str) -> str:
    return f"{data.dataset(model.split('/')[0]).title}: {drawings.titled(model)}"


def beyond(of: Study) -> None:
    """Say so if the ε of the chosen models is larger than the Attack page allows."""
    name = st.session_state.get(f"models of {of.key}")
    if name is None:
        return
    models, epsilon = _offered(of)[name]
    info = data.dataset(models[0].split("/")[0])
    if epsilon > info.epsilon_max:
        st.caption(f"On {info.title} the Attack page ends at ε = {info.epsilon_max:.3f}; the study has ε = {epsilon:g}.")


def _offered(of: Study) -> dict[str, tuple[tuple[str, ...], float]]:
    """By defended model (where there is none, by model): the first undefended model of its dataset and itself, and their ε."""
    offered: dict[str, tuple[tuple[str, ...], float]] = {}
    single_steps = [figure for figure in of.figures if figure.single_step]
    for figure in single_steps:
        if figure.defended or not any(item.defended for item in single_steps):
            first = [item.model for item in of.figures if item.dataset == figure.dataset and not item.defended][:1]
            offered.setdefault(figure.model, ((*first, figure.model), of.readings[0].epsilon(figure)))
    return offered


def attack_query(models: Sequence[str], epsilon: float) -> dict[str, str]:
    """The query of a link to the Attack page: these models at this ε, or at the largest one there."""
    dataset = models[0].split("/")[0]
    at = min(epsilon, data.dataset(dataset).epsilon_max)
    return {"dataset": dataset, "a": models[0], "b": models[-1], "epsilon": f"{at:.6g}"}


def accuracy_query(of: Study, models: Sequence[str], epsilon: float) -> dict[str, str]:
    """The query of a link to the Accuracy page: these models under FGSM and PGD-20, up to the study's ε."""
    dataset = models[0].split("/")[0]
    # A study that published a curve is shown up to that curve's end.
    curves = [curve for curve in published_curves(dataset) if f"({of.key})" in curve.title and curve.literal]
    end = max([epsilon if curves else 2 * epsilon, *(at for curve in curves for at in curve.epsilons)])
    query = {"dataset": dataset, "models": "~".join(dict.fromkeys(models)), "attacks": "fgsm~pgd", "end": f"{end:.6g}"}
    return query | ({"published": "True"} if curves else {})


def exports(of: Study, record: Record | None) -> None:
    """The table as CSV, and a report to print."""
    offer_csv("Table (CSV)", lambda: verdicts.rows(of, record), f"{of.key}.csv", key=f"csv {of.key}")
    offer_file(
        "Report to print", lambda: report.report([(of, record)]), f"{of.key}-report.html", "print", key=f"report {of.key}"
    )


def again(of: Study) -> None:
    """Measure a part of it now, or train one of its models again; not for visitors of a public server."""
    if not visitor.rules().studies:
        return
    with st.expander("Re-run on this machine", icon=":material/replay:"):
        st.caption(
            "Measures the shipped models on the first 500 test images (PGD-20: 100, C&W: 10). The recorded figures above do "
            f"not change; `python -m advcore papers run {of.key}` measures and records everything."
        )
        if st.button("Measure now", icon=":material/play_arrow:", key=f"measure {of.key}"):
            _measure(of)
        if found := st.session_state.get("measured again", {}).get(of.key):
            st.html(report.table(of, found))
            st.caption(markdown_safe(report.origin(of, found)))
        _train_again(of)


def _measure(of: Study) -> None:
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


def _train_again(of: Study) -> None:
    """One of its models as a job, with the time it will take."""
    models = [model for model in of.models if model != LEAKED]
    model = st.selectbox("Train one of its models again", models, index=None, placeholder="choose one", key=f"train {of.key}")
    if model is None:
        return
    try:
        st.caption(f":material/schedule: {_estimated(model)} It becomes a model of your own; the shipped one stays.")
        if st.button("Start training", icon=":material/school:", key=f"start {of.key}"):
            job = queue.start(replication.recipe(model))
            st.success("The training has started.", icon=":material/check_circle:")
            link("Watch it", "retrain", icon=":material/visibility:", job=job.id)
    except (AdvcoreError, OSError) as error:
        st.error(markdown_safe(str(error)))
