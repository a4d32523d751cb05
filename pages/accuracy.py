"""Accuracy vs ε: the accuracy of several models on the test images, under several attacks."""

from __future__ import annotations

import time
from dataclasses import dataclass

import streamlit as st

from advcore import attacks, data
from advcore.attacks import NORM_TITLES, Norm
from advcore.data import even_epsilons
from advcore.evaluation.curves import READINGS, Predictions, Reading
from advcore.models.checkpoints import Checkpoint
from advcore.papers import studies
from ui import charts, frame, load, measured
from ui.frame import chosen, chosen_several, remember, report_unavailable
from ui.pickers import about_images, dataset_picker, default_pair, images_and_models
from ui.tables import csv_text
from ui.words import DEFENDED, STANDARD, epsilon_text, markdown_safe, model_colours

plain = "{:.6g}".format
NORMS: tuple[Norm, ...] = ("linf", "l2")
COUNTS = (100, 200, 500, 1000, 2000, 5000, 10_000)
SECONDS = 0.5
"""How often the charts are drawn while curves are measured."""
STOPPED = "curves stopped"


@dataclass(frozen=True)
class Request:
    """What the sidebar asks for."""

    models: list[Checkpoint]
    attacks: list[attacks.AttackSpec]
    norm: Norm
    reading: Reading
    count: int
    end: float
    steps: int
    published: tuple[studies.PublishedCurve, ...]

    @property
    def epsilons(self) -> tuple[float, ...]:
        """The ε grid."""
        return even_epsilons(self.end, self.steps)

    def traces(self) -> dict[measured.Curve, charts.Trace]:
        """The curves to measure, and how each is drawn."""
        colours = model_colours(self.models)
        return {
            measured.curve(model.id, attack := spec.kind(norm=self.norm), self.epsilons, reading=self.reading): charts.Trace(
                f"{model.title}, {attacks.title(attack)}", colours[model.id], spec.dash
            )
            for model in self.models
            for spec in self.attacks
        }


def page() -> None:
    """The controls, the chart, which grows while it is measured, and then the details of the answers."""
    st.markdown("## How does accuracy fall as ε grows?")
    with st.sidebar:
        info = dataset_picker()
    images, known = images_and_models(info)
    with st.sidebar:
        request = controls(info, images, known)
        about_images(images)
    report_unavailable()
    if not request.models or not request.attacks:
        st.info("Choose at least one model and one attack in the sidebar.")
        return
    remember(
        info.name,
        dataset=info.name,
        models="~".join(model.id for model in request.models),
        norm=None if request.norm == "linf" else request.norm,
        reading=None if request.reading == "exact" else request.reading,
        images=request.count,
        steps=request.steps,
        published=True if request.published else None,
    )
    remember(request.norm, attacks="~".join(spec.name for spec in request.attacks))
    remember(f"{info.name}:{request.norm}", end=request.end)
    traces = request.traces()
    measuring = growing_chart(request, traces)
    seen = measured_traces(traces, request.count)
    if measuring or not seen:
        return
    smallest, classes, table = st.tabs(["Smallest ε that fools", "Classes at one ε", "Table and download"])
    with smallest:
        st.plotly_chart(charts.smallest_epsilon_chart(seen), key="smallest chart")
        st.caption(
            "For every image, the first ε of the grid at which the model is wrong: an upper bound, since another attack may "
            "find a smaller one."
        )
    with classes:
        per_class(info, images, request.epsilons, seen)
    with table:
        download(info, traces, request.count)


def controls(info: data.Dataset, images: data.LabeledImages, known: dict[str, Checkpoint]) -> Request:
    """The sidebar's controls."""
    pair = list(dict.fromkeys(default_pair(known)))
    models = st.multiselect(
        "Models",
        list(known),
        format_func=lambda name: known[name].title,
        key=chosen_several("models", list(known), pair, key=f"models:{info.name}"),
    )
    norm = st.radio("Norm of ε", NORMS, format_func=NORM_TITLES.get, horizontal=True, key=chosen("norm", NORMS, "linf"))
    offered = {name: spec for name, spec in attacks.offered().items() if norm in spec.norms}
    names = st.pills(
        "Attacks",
        list(offered),
        format_func=lambda name: attacks.title(offered[name].kind(norm=norm)),
        selection_mode="multi",
        key=chosen_several("attacks", list(offered), ["fgsm", "noise"], key=f"attacks:{norm}"),
        help="PGD-20 takes about twenty times as long as FGSM, AutoAttack thousands of times.",
    )
    reading = st.radio(
        "A point of a curve",
        list(READINGS),
        format_func=READINGS.get,
        key=chosen("reading", list(READINGS), "exact"),
        help="At exactly ε: the attack with that budget. Worst case up to ε: an image that is fooled at any smaller ε counts "
        "as fooled too. That is what robust accuracy at ε means; the curve never rises.",
    )
    counts = sorted({min(count, len(images)) for count in COUNTS})
    usual = counts[min(2, len(counts) - 1)]
    count = st.select_slider(
        "Test images", counts, key=chosen("images", counts, usual, key=f"images:{info.name}"), format_func="{:,}".format
    )
    ends = info.curve_ends if norm == "linf" else tuple(round(info.l2_budget * factor, 6) for factor in (1, 2, 4))
    end = st.select_slider(
        "ε from 0 to",
        ends,
        key=chosen("end", ends, ends[2], key=f"end:{info.name}:{norm}", text=plain),
        format_func=lambda value: epsilon_text(value, norm),
    )
    grids = info.curve_steps
    steps = st.select_slider("Steps of ε", grids, key=chosen("steps", grids, grids[1], key=f"steps:{info.name}"))
    published = tuple(studies.published_curves(info.name)) if norm == "linf" else ()
    shown = bool(published) and st.toggle("Published points", key=chosen("published", (True, False), False))
    picked, of_norm = [known[name] for name in models], [offered[name] for name in names]
    return Request(picked, of_norm, norm, reading, count, end, steps, published if shown else ())


def growing_chart(request: Request, traces: dict[measured.Curve, charts.Trace]) -> bool:
    """Draw the curves and go on drawing them while they are measured; returns whether they are."""
    wanted = dict.fromkeys(traces, request.count)
    stopped = st.session_state.get(STOPPED) == wanted
    measuring = not stopped and not measured.complete(wanted)
    began, before = time.monotonic(), share_measured(wanted)

    @st.fragment(run_every=SECONDS if measuring else None)
    def chart() -> None:
        if measuring:
            measured.ask(wanted)
        progress(wanted, measuring, began, before)
        seen = [(trace, part.curve) for trace, part in measured_traces(traces, request.count)]
        drawn = charts.accuracy_chart(seen, published_points(request))
        drawn.update_xaxes(range=[-0.01 * request.end, 1.01 * request.end])
        st.plotly_chart(drawn, key="accuracy chart", config=charts.CONFIG)
        if measuring and measured.complete(wanted):
            st.rerun()

    chart()
    return measuring


def share_measured(wanted: dict[measured.Curve, int]) -> float:
    """The share of all images of all curves that is measured, in [0, 1]."""
    return sum(measured.images_measured(curve, count) for curve, count in wanted.items()) / sum(wanted.values())


def progress(wanted: dict[measured.Curve, int], measuring: bool, began: float, before: float) -> None:
    """The progress of the measurement, with a button to stop or continue it."""
    share, count = share_measured(wanted), next(iter(wanted.values()))
    text, button = st.columns([4, 1], vertical_alignment="center")
    if share >= 1:
        text.caption(
            f"✓ Measured on {count:,} images. Bands: 95 % (Wilson). White-box: every model is attacked with its own gradient."
        )
        return
    if error := measured.problem(wanted):
        text.error(markdown_safe(error))
    finished = sum(measured.images_measured(curve, count) >= count for curve in wanted)
    gained, spent = share - before, time.monotonic() - began
    left = f", about {spent * (1 - share) / gained:.0f} s left" if measuring and gained > 0 else ""
    state = "Measuring" if measuring else "Stopped; what was measured is kept"
    text.progress(share, f"{state}: {100 * share:.0f} %, {finished} of {len(wanted)} curves finished{left}")
    label, icon = ("Stop", ":material/stop:") if measuring else ("Go on", ":material/play_arrow:")
    if button.button(label, icon=icon, width="stretch"):
        st.session_state[STOPPED] = wanted if measuring else None
        measured.stop()
        st.rerun()


def measured_traces(traces: dict[measured.Curve, charts.Trace], count: int) -> list[tuple[charts.Trace, Predictions]]:
    """The curves of which anything is measured, with their answers."""
    found = [(trace, measured.so_far(curve, count)) for curve, trace in traces.items()]
    return [(trace, seen) for trace, seen in found if seen is not None]


def published_points(request: Request) -> list[charts.Points]:
    """The published points under each reading of their ε, up to the end of the axis."""
    found = []
    for curve in request.published:
        points = [(at, share) for at, share in zip(curve.epsilons, curve.accuracy, strict=True) if at <= request.end]
        colour, symbol = DEFENDED if curve.defended else STANDARD, "x" if curve.literal else "diamond-open"
        if points:
            found.append(charts.Points(curve.title, colour, symbol, *zip(*points, strict=True)))
    return found


def per_class(
    info: data.Dataset,
    images: data.LabeledImages,
    epsilons: tuple[float, ...],
    traces: list[tuple[charts.Trace, Predictions]],
) -> None:
    """Accuracy of each class, and one model's confusion matrix, at an ε of the grid."""
    norm = traces[0][1].norm
    near = min(epsilons, key=lambda value: abs(value - info.epsilon))
    at = st.select_slider(
        "ε",
        epsilons,
        key=chosen("at", epsilons, near, key=f"at:{epsilons}", text=plain),
        format_func=lambda value: epsilon_text(value, norm),
    )
    st.plotly_chart(charts.per_class_chart(traces, epsilons.index(at), images.class_names), key="class chart")
    which = st.selectbox(
        "Confusion of", range(len(traces)), format_func=lambda place: traces[place][0].name, key="confusion of"
    )
    trace, seen = traces[min(which, len(traces) - 1)]
    st.plotly_chart(charts.confusion_chart(seen, epsilons.index(at), images.class_names, trace.colour), key="confusion chart")
    st.caption(f"Rows: true class; columns: the model's answer at ε = {epsilon_text(at, norm)}; the numbers count images.")


def download(info: data.Dataset, traces: dict[measured.Curve, charts.Trace], count: int) -> None:
    """Every point as a table and as a CSV file, and which images they were measured on."""
    parts = [(curve, seen) for curve in traces if (seen := measured.so_far(curve, count)) is not None]
    rows = [
        {
            "model": curve.checkpoint_id,
            "attack": attacks.title(curve.attack),
            "images": len(seen),
            **point,
        }
        for curve, seen in parts
        for point in seen.curve.points()
    ]
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            "epsilon": st.column_config.NumberColumn("ε", format="%.4f"),
            "correct": st.column_config.NumberColumn("right"),
            "accuracy": st.column_config.NumberColumn("accuracy", format="percent"),
            "low": st.column_config.NumberColumn("95 % from", format="percent"),
            "high": st.column_config.NumberColumn("to", format="percent"),
        },
    )
    st.download_button(
        "Download the curves (CSV)",
        csv_text(rows),
        file_name=f"{info.name}-accuracy.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    counts = sorted({len(seen) for _, seen in parts})
    which = f"the first {counts[-1]:,}" if len(counts) == 1 else f"the first {counts[0]:,} to {counts[-1]:,}"
    st.caption(f"{markdown_safe(info.title)}: {which} test images, {load.device_text()}.")


if __name__ == "__main__":
    frame.run()
