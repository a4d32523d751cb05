"""Accuracy vs ε: how a whole test set falls, model by model, attack by attack."""

from __future__ import annotations

import csv
import io
import time
from itertools import compress

import streamlit as st

from advcore import attacks
from advcore.errors import AdvcoreError
from advcore.evaluation.curves import Predictions
from advcore.papers import studies
from ui import charts, load, measured
from ui.frame import chosen, chosen_several, remember, report_left_aside
from ui.pickers import about_images, curve_ends, curve_steps, dataset_picker, default_pair, images_and_models
from ui.words import DEFENDED, STANDARD, epsilon_text, markdown_safe, model_colours

ATTACKS = {"fgsm": attacks.FGSM(), "pgd": attacks.PGD(steps=20), "noise": attacks.UniformNoise()}
TITLES = {name: attacks.title(attack) for name, attack in ATTACKS.items()}
DASHES = {"fgsm": "solid", "pgd": "dash", "noise": "dot"}
plain = "{:.6g}".format
COUNTS = (100, 200, 500, 1000, 2000, 5000, 10_000)
SLICE_SECONDS = 0.4

st.markdown("## How does accuracy fall as ε grows?")

with st.sidebar:
    info = dataset_picker()
images, known = images_and_models(info)
with st.sidebar:
    titles = {name: item.title for name, item in known.items()}
    models = st.multiselect(
        "Models",
        list(known),
        format_func=titles.get,
        key=chosen_several("models", list(known), list(dict.fromkeys(default_pair(known))), key=f"models:{info.name}"),
    )
    names = st.pills(
        "Attacks",
        list(ATTACKS),
        format_func=TITLES.get,
        selection_mode="multi",
        key=chosen_several("attacks", list(ATTACKS), ["fgsm", "noise"]),
        help="PGD-20 takes about twenty times as long as FGSM.",
    )
    counts = sorted({min(count, len(images)) for count in COUNTS})
    usual = counts[min(2, len(counts) - 1)]
    count = st.select_slider(
        "Test images", counts, key=chosen("images", counts, usual, key=f"images:{info.name}"), format_func="{:,}".format
    )
    ends = curve_ends(info)
    end = st.select_slider(
        "ε from 0 to", ends, key=chosen("end", ends, ends[2], key=f"end:{info.name}", text=plain), format_func=epsilon_text
    )
    grids = curve_steps(info)
    steps = st.select_slider("Steps of ε", grids, key=chosen("steps", grids, grids[1], key=f"steps:{info.name}"))
    curves_published = studies.published_curves(info.name)
    published = bool(curves_published) and st.toggle("Published points", key=chosen("published", (True, False), False))
    about_images(images)
report_left_aside()

if not models or not names:
    st.info("Choose at least one model and one attack in the sidebar.")
    st.stop()

epsilons = tuple(round(end * step / steps, 10) for step in range(steps + 1))
colours = model_colours([known[name] for name in models])
lines: dict[measured.Wanted, charts.Line] = {}
for model in models:
    for name in names:
        title = f"{titles[model]}, {TITLES[name]}"
        lines[measured.wanted(model, ATTACKS[name], epsilons)] = charts.Line(title, colours[model], DASHES[name])
remember(
    info.name,
    dataset=info.name,
    models="~".join(models),
    attacks="~".join(names),
    images=count,
    end=end,
    steps=steps,
    published=True if published else None,
)


def points() -> list[charts.Points]:
    """The published points under each reading of their ε, as far as the axis goes."""
    found = []
    for curve in curves_published if published else []:
        colour = DEFENDED if curve.defended else STANDARD
        kind = "adversarially trained" if curve.defended else "standard"
        for reading, symbol in zip(curve.readings, ("x", "diamond-open"), strict=False):
            inside = [at <= end for at in curve.pixel_epsilons(reading)]
            at = tuple(compress(curve.pixel_epsilons(reading), inside))
            shares = tuple(compress(curve.accuracy, inside))
            found.append(charts.Points(f"{curve.study}, {kind}: {reading.words}", colour, symbol, at, shares))
    return found


def measured_lines() -> list[tuple[charts.Line, Predictions]]:
    """The curves with what is measured of each."""
    found = [(line, measured.so_far(curve, count)) for curve, line in lines.items()]
    return [(line, seen) for line, seen in found if seen is not None]


asked = (*lines, count)
if st.session_state.get("asked") != asked:
    st.session_state.update({"asked": asked, "stopped": False, "began": time.monotonic(), "began at": None})
done = all(len(measured.so_far(curve, count) or ()) >= count for curve in lines)
running = not done and not st.session_state["stopped"]


@st.fragment(run_every=0.05 if running else None)
def chart() -> None:
    """Draw what is measured, then measure a little more, until all is or somebody stops it."""
    if st.session_state["stopped"] == running and not done:
        st.rerun()
    progress()
    drawn = charts.accuracy_figure([(line, seen.curve) for line, seen in measured_lines()], points())
    drawn.update_xaxes(range=[-0.01 * end, 1.01 * end])
    st.plotly_chart(
        drawn,
        key="accuracy chart",
        config={"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d"]},
    )
    if running and not st.session_state.pop("whole page", False):
        try:
            complete = measured.grow(list(lines), count, SLICE_SECONDS)
        except AdvcoreError as error:
            st.error(markdown_safe(str(error)))
            return
        if complete:
            st.rerun()


def progress() -> None:
    """How far the measurement is, with a button to stop it or go on."""
    lengths = [len(measured.so_far(curve, count) or ()) for curve in lines]
    share = sum(lengths) / (count * len(lines))
    text, button = st.columns([4, 1], vertical_alignment="center")
    if share >= 1:
        text.caption(
            f"✓ Measured on {count:,} images. Bands: 95 % (Wilson). White-box: every model is attacked with its own gradient."
        )
        return
    if st.session_state["began at"] is None:
        st.session_state["began at"] = share
    gained, spent = share - st.session_state["began at"], time.monotonic() - st.session_state["began"]
    left = f", about {spent * (1 - share) / gained:.0f} s left" if running and gained > 0 else ""
    state = "Measuring" if running else "Stopped; what was measured is kept"
    whole = sum(length >= count for length in lengths)
    text.progress(share, f"{state}: {100 * share:.0f} %, {whole} of {len(lines)} curves whole{left}")
    label, icon = ("Stop", ":material/stop:") if running else ("Go on", ":material/play_arrow:")
    button.button(label, icon=icon, width="stretch", on_click=stop_or_go_on)


def stop_or_go_on() -> None:
    """What the button does, before anything is measured further."""
    st.session_state.update({"stopped": running, "began": time.monotonic(), "began at": None})


# While the whole page is drawn nothing is measured, so that no click of that time is lost.
st.session_state["whole page"] = True
chart()
seen_lines = measured_lines()
if running or not seen_lines:
    st.stop()

smallest, classes, table = st.tabs(["Smallest ε that fools", "Classes at one ε", "Table and download"])
with smallest:
    st.plotly_chart(charts.smallest_epsilon_figure(seen_lines), key="smallest chart")
    st.caption("For every image, the first ε of the grid at which the model is wrong.")
with classes:
    near = min(epsilons, key=lambda value: abs(value - info.epsilon))
    at = st.select_slider(
        "ε", epsilons, key=chosen("at", epsilons, near, key=f"at:{epsilons}", text=plain), format_func=epsilon_text
    )
    st.plotly_chart(charts.per_class_figure(seen_lines, at, images.class_names), key="class chart")
    which = st.selectbox(
        "Confusion of", range(len(seen_lines)), format_func=lambda place: seen_lines[place][0].name, key="confusion of"
    )
    line, seen = seen_lines[min(which, len(seen_lines) - 1)]
    st.plotly_chart(charts.confusion_figure(seen, at, images.class_names, line.colour), key="confusion chart")
    st.caption(f"Rows: true class; columns: the model's answer at ε = {epsilon_text(at)}; the numbers count images.")
with table:
    rows = [
        {"model": curve.checkpoint_id, "attack": attacks.title(curve.attack), "images": len(part), **point}
        for curve in lines
        if (part := measured.so_far(curve, count)) is not None
        for point in part.curve.points()
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
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    st.download_button(
        "Download the curves (CSV)",
        buffer.getvalue(),
        file_name=f"{info.name}-accuracy.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
kind = "sample" if images.samples else "test"
st.caption(f"{markdown_safe(info.title)}: the first {count:,} of {len(images):,} {kind} images, {load.device_text()}.")
