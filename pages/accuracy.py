"""Accuracy vs ε: the accuracy of several models on the test images, under several attacks."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import partial
from html import escape

import streamlit as st

from advcore import attacks, data
from advcore.attacks import NORM_TITLES, Norm
from advcore.data import even_epsilons
from advcore.epsilon import nearest
from advcore.evaluation.curves import READINGS, Predictions, Reading
from advcore.evaluation.diagnosis import masking
from advcore.models.architectures import ARCHITECTURES
from advcore.models.checkpoints import Checkpoint
from advcore.papers import studies
from advcore.training.estimate import duration
from ui import charts, frame, load, measured, share
from ui.card import curves_drawn
from ui.components.curve import curve_data, telling_epsilon
from ui.downloads import offer_csv
from ui.frame import choose, chosen, chosen_number, chosen_several, heading, here, remember
from ui.pickers import about_images, dataset_picker, default_pair, epsilon_field, images_and_models
from ui.slides import Slide, licence, models_shown, offer_slide
from ui.snippets import curve_command
from ui.words import DEFENDED, STANDARD, epsilon_text, markdown_safe, model_colours, percent

plain = "{:.6g}".format
NORMS: tuple[Norm, ...] = ("linf", "l2")
COUNTS = (100, 200, 500, 1000, 2000, 5000, 10_000)
SMALLEST = 0.0001
LARGEST: dict[Norm, float] = {"linf": 1.0, "l2": 100.0}
MOST_STEPS = 100
MOST_LABELS = 10
"""Up to so many lines have room for their names at their ends."""
SECONDS = 0.5
"""How often the charts are drawn while curves are measured."""
STOPPED, DRAWN = "curves stopped", "curves drawn"


CHIPS_CSS = """<style>
[data-testid="stMultiSelect"] [data-tag] { height: auto; max-width: 100%; padding-block: .2rem; }
[data-testid="stMultiSelect"] [data-tag] > span { white-space: normal; max-width: none; line-height: 1.25; }
</style>"""
"""The names of models are shown whole, over two lines if need be."""


@dataclass(frozen=True)
class Request:
    """The dataset with its test images, and what the sidebar asks for."""

    info: data.Dataset
    images: data.LabeledImages
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
        """The curves to measure, and how each is drawn: its full name, and a short one for the end of its line."""
        colours, networks = model_colours(self.models), {ARCHITECTURES[model.architecture].title for model in self.models}
        narrow = frame.phone()
        labelled = len(self.models) * len(self.attacks) <= MOST_LABELS and not narrow
        traces = {}
        for model, spec in itertools.product(self.models, self.attacks):
            attack = spec.kind(norm=self.norm)
            title = attacks.title(attack)
            short = escape(model.title.replace(f"{next(iter(networks))}, ", "") if len(networks) == 1 else model.title)
            curve = measured.curve(model.id, attack, self.epsilons, reading=self.reading)
            label = f"{short}<br>{title}" if labelled else ""
            name = f"{short if narrow else model.title}, {title}"
            traces[curve] = charts.Trace(name, colours[model.id], spec.dash, label)
        return traces

    @property
    def commands(self) -> str:
        """The commands that measure these curves, a line for each attack."""
        ids = [model.id for model in self.models]
        more = {"norm": self.norm, "reading": self.reading, "images": self.count}
        return "\n".join(curve_command(ids, spec.name, self.epsilons, **more) for spec in self.attacks)


def page() -> None:
    """The controls, the chart, which is drawn while it is measured, and then the details of the answers."""
    heading("How does accuracy fall as ε grows?")
    with st.sidebar:
        info = dataset_picker()
    images, known = images_and_models(info)
    with st.sidebar:
        request = controls(info, images, known)
        about_images(images)
    if not request.models or not request.attacks:
        st.info("Choose at least one model and one attack in the sidebar.")
        return
    remember(
        info.name,
        dataset=info.name,
        models="~".join(model.id for model in request.models),
        reading=None if request.reading == "exact" else request.reading,
        images=request.count,
        steps=request.steps,
        published=True if request.published else None,
    )
    remember("curve", norm=None if request.norm == "linf" else request.norm)
    remember(request.norm, attacks="~".join(spec.name for spec in request.attacks))
    remember(f"{info.name}:{request.norm}", end=request.end)
    traces = request.traces()
    measuring = growing_chart(request, traces)
    seen = measured_traces(traces, request.count)
    curves = [(trace, part.curve) for trace, part in seen]
    drawing = partial(curves_drawn, curves) if seen else None
    share.shows(f"Accuracy against ε on {info.title}, the first {request.count:,} test images.", drawing)
    frame.enough()
    if measuring or not seen:
        return
    draw = {
        "Fooled up to ε": lambda: fooled_up_to(seen),
        "Classes at one ε": lambda: per_class(request, seen),
        "Table, files, command line": lambda: download(request, traces),
    }
    for tab, drawn in zip(st.tabs(list(draw), key="details", on_change="rerun"), draw.values(), strict=True):
        if tab.open:
            with tab:
                drawn()


def controls(info: data.Dataset, images: data.LabeledImages, known: dict[str, Checkpoint]) -> Request:
    """The sidebar's controls."""
    pair = list(dict.fromkeys(default_pair(known)))
    st.html(CHIPS_CSS)
    models = st.multiselect(
        "Models",
        list(known),
        format_func=lambda name: known[name].title,
        key=chosen_several("models", list(known), pair, key=f"models:{info.name}"),
    )
    norms = {norm: NORM_TITLES[norm] for norm in NORMS}
    norm = choose(st.radio, "Norm of ε", "norm", norms, key="norm:curve", horizontal=True)
    offered = {name: spec for name, spec in attacks.offered().items() if norm in spec.norms}
    names = st.pills(
        "Attacks",
        list(offered),
        format_func=lambda name: attacks.title(offered[name].kind(norm=norm)),
        selection_mode="multi",
        key=chosen_several("attacks", list(offered), ["fgsm", "noise"], key=f"attacks:{norm}"),
        help="A curve of PGD-20 takes fifty to eighty times as long as one of FGSM, AutoAttack thousands of times.",
    )
    reading = choose(
        st.radio,
        "Accuracy",
        "reading",
        READINGS,
        help="At exactly ε: under the attack with that budget. Worst case up to ε: an image on which the model is fooled at a "
        "smaller ε counts as fooled too. This is what robust accuracy at ε means; the curve never rises.",
    )
    counts = sorted({min(count, len(images)) for count in COUNTS})
    usual = counts[min(2, len(counts) - 1)]
    titles = {count: f"{count:,}" for count in counts}
    count = choose(st.select_slider, "Test images", "images", titles, usual, key=f"images:{info.name}")
    # On colour images every ε of the usual grid is a whole or half number of grey levels.
    usual_end, usual_steps = (info.epsilon_max, 20.0 if info.grey else 16.0) if norm == "linf" else (4 * info.l2_budget, 20.0)
    left, right = st.columns(2)
    key, reach = f"end:{info.name}:{norm}", LARGEST[norm]
    chosen_number("end", SMALLEST, reach, usual_end, scope=f"{info.name}:{norm}", key=key)
    end = epsilon_field(left, "ε from 0 to", SMALLEST, reach, key=key)
    steps = right.number_input(
        "Steps of ε",
        min_value=1.0,
        max_value=float(MOST_STEPS),
        step=1.0,
        format="%.0f",
        key=chosen_number("steps", 1, MOST_STEPS, usual_steps, scope=info.name, key=f"steps:{info.name}"),
    )
    if norm == "linf":
        st.caption(f"ε up to {epsilon_text(end)}, every {epsilon_text(end / steps)}")
    published = tuple(studies.published_curves(info.name)) if norm == "linf" else ()
    shown = bool(published) and st.toggle("Published points", key=chosen("published", (True, False), False))
    picked, of_norm = [known[name] for name in models], [offered[name] for name in names]
    return Request(info, images, picked, of_norm, norm, reading, count, end, int(steps), published if shown else ())


def growing_chart(request: Request, traces: dict[measured.Curve, charts.Trace]) -> bool:
    """Draw the curves and go on drawing them while they are measured; returns whether they are."""
    wanted = dict.fromkeys(traces, request.count)

    def going() -> bool:
        return st.session_state.get(STOPPED) != wanted and not measured.complete(wanted)

    measuring = going()

    @st.fragment(run_every=SECONDS if measuring else None)
    def chart() -> None:
        now = going()
        if now and st.session_state.get(DRAWN) == wanted:  # measuring at once, the browser would wait for the cores
            measured.ask(wanted)
        st.session_state[DRAWN] = wanted
        progress(wanted, now)
        if measuring and not now:  # stopped or complete: the whole page is drawn again
            st.rerun()
        seen = []
        for trace, part in measured_traces(traces, request.count):
            more = f", n = {len(part):,}: {percent(part.curve.accuracy[-1])}"
            where = {"label": trace.label + more} if trace.label else {"name": trace.name + more}
            seen.append((replace(trace, **where), part.curve))
        points = published_points(request)
        # The browser loads Plotly, a second's work, when there is something to draw with it.
        if now and not (seen or points or measured.problem(wanted)):
            st.container(height=charts.HEIGHT, border=False).caption("Measuring the first images …")
            return
        drawn = charts.accuracy_chart(seen, points)
        drawn.update_xaxes(range=[-0.01 * request.end, 1.01 * request.end])
        charts.show(drawn, key="accuracy chart")

    chart()
    return measuring


def progress(wanted: dict[measured.Curve, int], measuring: bool) -> None:
    """The progress of the measurement, with a button to stop or continue it."""
    text, button = st.columns([4, 1], vertical_alignment="center")
    done = measured.progress(wanted)
    if done.finished == len(wanted):
        text.caption("✓ Measured. n: test images. Bands: 95 % (Wilson). Every model is attacked with its own gradient.")
        return
    if error := measured.problem(wanted):
        text.error(markdown_safe(error))
    left = f", about {duration(done.left)} left" if measuring and done.left is not None else ""
    state = f"{done.finished} of {len(wanted)} curves finished"
    text.progress(done.share, f"{state}{left}" if measuring else f"Stopped: {state}; the results so far are kept")
    label, icon = ("Stop", ":material/stop:") if measuring else ("Go on", ":material/play_arrow:")
    button.button(label, icon=icon, width="stretch", on_click=stop_or_go_on, args=(wanted, measuring))


def stop_or_go_on(wanted: dict[measured.Curve, int], measuring: bool) -> None:
    """Stop what is measured, or let it continue."""
    st.session_state[STOPPED] = wanted if measuring else None
    if measuring:
        measured.stop()


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


def fooled_up_to(traces: list[tuple[charts.Trace, Predictions]]) -> None:
    """The share of images that an ε, or a smaller one, fools."""
    charts.show(charts.fooled_chart(traces), key="fooled chart")
    st.caption(
        "The share of images on which the model is wrong at this ε or a smaller one of the grid. Each image counts from the "
        "smallest such ε on; a stronger attack may need a smaller one."
    )


def per_class(request: Request, traces: list[tuple[charts.Trace, Predictions]]) -> None:
    """Accuracy of each class, and one model's confusion matrix, at an ε of the grid."""
    norm, epsilons, names = request.norm, request.epsilons, request.images.class_names
    near = nearest(epsilons, request.info.epsilon)
    at = st.select_slider(
        "ε",
        epsilons,
        key=chosen("at", epsilons, near, key=f"at:{epsilons}", text=plain),
        format_func=lambda value: epsilon_text(value, norm),
    )
    charts.show(charts.per_class_chart(traces, epsilons.index(at), names), key="class chart")
    which = st.selectbox(
        "Confusion of", range(len(traces)), format_func=lambda place: traces[place][0].name, key="confusion of"
    )
    trace, seen = traces[min(which, len(traces) - 1)]
    charts.show(charts.confusion_chart(seen, epsilons.index(at), names, trace.colour), key="confusion chart")
    st.caption(f"Rows: true class; columns: the model's answer at ε = {epsilon_text(at, norm)}; the numbers count images.")


def download(request: Request, traces: dict[measured.Curve, charts.Trace]) -> None:
    """Every point as a table and as a CSV file, every image as a CSV file, and the commands that measure the same."""
    name, images = request.info.name, request.images
    parts = [(curve, seen) for curve in traces if (seen := measured.so_far(curve, request.count)) is not None]
    rows = [
        {"model": curve.checkpoint_id, "attack": attacks.title(curve.attack), "images": len(seen), **point}
        for curve, seen in parts
        for point in seen.curve.points()
    ]
    st.dataframe(
        [row | {share: 100 * row[share] for share in ("accuracy", "low", "high")} for row in rows],
        hide_index=True,
        column_config={
            "norm": None,
            "reading": None,
            "epsilon": st.column_config.NumberColumn("ε", format="%.4f"),
            "correct": st.column_config.NumberColumn("right"),
            "accuracy": st.column_config.NumberColumn("accuracy, %", format="%.1f"),
            "low": st.column_config.NumberColumn("95 % from", format="%.1f"),
            "high": st.column_config.NumberColumn("to", format="%.1f"),
        },
    )
    with st.container(horizontal=True):
        offer_csv("Download the curves (CSV)", lambda: rows, f"{name}-accuracy.csv")
        offer_csv("Download every image (CSV)", lambda: image_rows(images, parts), f"{name}-images.csv")
        if all(len(seen) >= request.count for _, seen in parts):
            offer_slide(partial(slide_of, request, traces, here()), f"{name}-accuracy")
    st.caption(f"The first test images of {markdown_safe(request.info.title)}; {load.device_text()}. On the command line:")
    st.code(request.commands, language="bash", wrap_lines=True)


def slide_of(request: Request, traces: dict[measured.Curve, charts.Trace], link: str | None) -> Slide:
    """The curves as a living slide."""
    curves = [(trace, seen.curve) for trace, seen in measured_traces(traces, request.count)]
    found = ((model.title, masking(model)) for model in request.models)
    notes = [f"{title} {finding}." for title, finding in found if finding]
    return Slide(
        "curve",
        curve_data(curves, telling_epsilon([drawn for _, drawn in curves])),
        f"Accuracy against ε: {request.info.title}",
        " ".join([f"The first {request.count:,} test images; bands: 95 % (Wilson).", *notes]),
        models_shown(request.models),
        licence(request.info, request.images),
        link,
    )


def image_rows(images: data.LabeledImages, parts: list[tuple[measured.Curve, Predictions]]) -> list[dict[str, object]]:
    """A row for each image of each curve: the smallest ε of the grid that fools the model (empty: none), and its answers."""
    names = images.class_names
    return [
        {
            "image": index,
            "class": names[label],
            "model": curve.checkpoint_id,
            "attack": attacks.title(curve.attack),
            "norm": seen.norm,
            "reading": seen.reading,
            "smallest_epsilon": "" if math.isinf(smallest) else smallest,
            **{f"answer at {epsilon:g}": names[answer] for epsilon, answer in zip(seen.epsilons, answers, strict=True)},
        }
        for curve, seen in parts
        for index, label, smallest, answers in zip(
            images.indices.tolist(),
            seen.labels.tolist(),
            seen.smallest_epsilon().tolist(),
            seen.predicted.T.tolist(),
            strict=False,
        )
    ]


if __name__ == "__main__":
    frame.run()
