"""Can it be believed? Ten checks of whether a model's robustness is real."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from advcore import data
from advcore.evaluation.diagnosis import CHECKS, UPPER_BOUND, Check, Diagnosis, Progress, diagnosis_at
from advcore.evaluation.figures import claimed_epsilon, under
from advcore.models.checkpoints import Checkpoint
from advcore.papers import robustbench
from ui import charts, diagnoses, frame, load, share
from ui.actions import attempt, failed
from ui.frame import choose, chosen_number, heading, remember
from ui.glossary import tell
from ui.pickers import about_images, dataset_picker, default_pair, epsilon_field, images_and_models
from ui.tiles import Tile, tiles
from ui.words import DEFENDED, FOOLED, OTHERS, epsilon_text, markdown_safe, percent, role_colour
from ui.worker import worker

COUNTS = (50, 100, 200, 500, 1000)
SECONDS = 1.0
NAMED = ("Standard", "Madry2018Towards", "Carmon2019Unlabeled", "Bartoldson2024Adversarial_WRN-94-16")
"""The published models whose names are in the chart; the other names appear on hover."""
LIGHTS = {
    "holds": ("✓", "holds", DEFENDED),
    "doubtful": ("?", "doubtful", OTHERS[0]),
    "fails": ("✗", "fails", FOOLED),
    "says nothing": ("–", "says nothing", "#9aa3ab"),
    "not run": ("·", "not run", "#9aa3ab"),
}
SIGNS = {
    "Believable": ("✓", DEFENDED),
    "Doubtful": ("?", OTHERS[0]),
    "Not defended": ("–", "#9aa3ab"),
    "Masked": ("✗", FOOLED),
}
"""The sign and the colour of each conclusion."""
_CSS = """<style>
.checks { list-style: none; margin: 0 !important; padding: 0 !important; display: grid; gap: .5rem; }
.checks li { display: grid; grid-template-columns: 1.3rem 9.4rem 1fr; gap: .2rem .7rem; align-items: baseline;
  margin: 0 !important; padding: .55rem .8rem;
  border: 1px solid rgba(128,128,128,.28); border-left: 5px solid var(--light); border-radius: .6rem; }
.checks .number { font-weight: 650; opacity: .8; text-align: right; }
.checks .light { font-weight: 650; white-space: nowrap; }
.checks .light i { font-style: normal; color: #000; background: var(--light); border-radius: 50%; display: inline-block;
  width: 1.35em; height: 1.35em; line-height: 1.35em; text-align: center; margin-right: .4em; font-size: .85em; }
.checks b { font-weight: 600; } .checks p { margin: .15rem 0 0; font-size: .9rem; opacity: .85; line-height: 1.4; }
.verdict-line { border-radius: .8rem; border: 2px solid var(--light); padding: .8rem 1.1rem; margin: .3rem 0 .8rem; }
.verdict-line strong { font-size: clamp(1.2rem, 2.4vw, 1.6rem); display: block; }
@media (max-width: 640px) { .checks li { grid-template-columns: 1.2rem 1fr; } .checks li > div { grid-column: 2; } }
</style>"""


def page() -> None:
    """The verdict on one model, its ten checks, and for CIFAR-10 a comparison with published models."""
    heading("Can it be believed?")
    tell(
        "A defended model can look robust only because the attack on it is weak. These ten checks look for signs "
        "of that; to pass them proves nothing.",
        key="believe",
    )
    with st.sidebar:
        info = dataset_picker()
    images, known = images_and_models(info)
    with st.sidebar:
        model = pick_model(info, known)
        epsilon = pick_epsilon(info, model)
        about_images(images, "fp32")
    named = f"{model.title} at ε = {epsilon_text(epsilon)}"
    st.markdown(f"## {markdown_safe(model.title if epsilon == model.recipe.epsilon else named)}")
    if found := diagnosis_at(model, epsilon):
        show(found, autoattack=under(model.metrics, "AutoAttack", epsilon))
        share.shows(f"{named}: {found.verdict}")
        st.caption("Measured when the model was made; recorded in its file.")
    else:
        measure(info, images, model, epsilon)
    st.caption(UPPER_BOUND)
    remember(info.name, dataset=info.name, model=model.id)
    remember(model.id, epsilon=epsilon)
    frame.enough()
    if info.name == "cifar10":
        published()


def pick_model(info: data.Dataset, known: dict[str, Checkpoint]) -> Checkpoint:
    """The model to check: at first one that was checked when it was made, if possible the defended one of the pair."""
    _, usual = default_pair(known)
    first = min(known.values(), key=lambda item: ("diagnosis" not in item.metrics, item.id != usual, not item.defended)).id
    titles = {name: item.title for name, item in known.items()}
    return known[choose(st.selectbox, "Model", "model", titles, first, key=f"model:{info.name}")]


def pick_epsilon(info: data.Dataset, model: Checkpoint) -> float:
    """The ε of the checks: at first the one that the model claims."""
    usual = claimed_epsilon(model) or info.epsilon
    key = chosen_number("epsilon", 0.001, 0.5, usual, scope=model.id, key=f"believe epsilon:{model.id}")
    value = epsilon_field(st, "ε (L∞, pixel space)", 0.001, 0.5, key=key, help="A number, such as 0.1 or 8/255.")
    st.caption(f"ε = {epsilon_text(value)}{', what the model claims' if abs(value - usual) < 1e-6 else ''}")
    return value


def measure(info: data.Dataset, images: data.LabeledImages, model: Checkpoint, epsilon: float) -> None:
    """Run the checks: progress, a button to start, stop or continue, and the results so far."""
    counts = sorted({min(count, len(images)) for count in COUNTS})
    usual, key = counts[min(1, len(counts) - 1)], f"believe images:{info.name}"
    count = choose(st.sidebar.select_slider, "Test images", "images", counts, usual, key=key)
    remember(info.name, images=count)
    request = diagnoses.request(model, epsilon, count)
    running = diagnoses.running(request)

    @st.fragment(run_every=SECONDS if running else None)
    def watch() -> None:
        found = diagnoses.progress(request)
        complete = found is not None and found.check is None
        if failed() or running != diagnoses.running(request):
            st.rerun()
        if not complete:
            controls(request, found, running)
        if error := worker().error(request):
            st.error(markdown_safe(error))
        if found is not None and found.diagnosis.counts:
            show(found.diagnosis, complete=complete)

    watch()


def controls(request: diagnoses.Request, found: Progress | None, running: bool) -> None:
    """The progress of the checks, and the button."""
    text, button = st.columns([4, 1], vertical_alignment="center")
    share = found.share if found else 0.0
    if running:
        at = f": {CHECKS[found.check].title}" if found and found.check else ""
        text.progress(share, f"Measuring on {request.images:,} images, {100 * share:.0f} %{at}")
    elif found is None:
        text.info(
            f"This model has not been checked at this ε. The checks run on {request.images:,} test images in the background, "
            "even while the page is closed.",
            icon=":material/verified:",
        )
    else:
        text.progress(share, f"Stopped at {100 * share:.0f} %; finished checks are kept")
    label, icon = ("Stop", "stop") if running else ("Run the checks" if found is None else "Go on", "play_arrow")
    kind = "secondary" if running else "primary"
    act = diagnoses.stop if running else diagnoses.start
    button.button(label, icon=f":material/{icon}:", type=kind, width="stretch", on_click=attempt, args=(act, request))


def show(found: Diagnosis, *, complete: bool = True, autoattack: Mapping[str, Any] | None = None) -> None:
    """The verdict, the numbers behind it, AutoAttack's row of the header if there is one, and the checks."""
    numbers: dict[str, list[str]] = {}
    for number, check in enumerate(found.checks, 1):
        numbers.setdefault(check.light, []).append(str(number))
    if complete:
        sign, colour = SIGNS[found.conclusion]
        rest = found.verdict.split(":", 1)[-1].strip()
        if autoattack and autoattack["images"] > found.images:
            rest += f" AutoAttack leaves {percent(autoattack['accuracy'])} of the first {autoattack['images']:,}."
        st.html(
            f'{_CSS}<div class="verdict-line" style="--light: {colour}"><strong>{sign} {found.conclusion}</strong>'
            f"{escape(rest[:1].upper() + rest[1:])}</div>"
        )
    low, high = found.interval
    measured = []
    if autoattack:
        measured = [
            Tile("AutoAttack leaves", percent(autoattack["accuracy"]), f"the first {autoattack['images']:,} test images")
        ]
    tiles(
        [
            *measured,
            Tile(
                "All attacks leave",
                percent(found.accuracy),
                f"the first {found.images:,}; 95 %: {percent(low)} to {percent(high)}",
            ),
            *(
                Tile(f"{sign} {word}", str(len(numbers[light])), f"no. {', '.join(numbers[light])}", colour)
                for light, (sign, word, colour) in LIGHTS.items()
                if light in numbers
            ),
        ]
    )
    rows = "".join(check_row(place, check) for place, check in enumerate(found.checks, 1))
    st.html(f'{_CSS}<ol class="checks">{rows}</ol>')


def check_row(place: int, check: Check) -> str:
    """A check as HTML: its number, its light (a sign and a word), its title and its result."""
    sign, word, colour = LIGHTS[check.light]
    return (
        f'<li style="--light: {colour}"><span class="number">{place}</span><span class="light"><i>{sign}</i>{word}</span>'
        f"<div><b>{escape(check.title)}</b><p>{escape(check.sentence)}</p></div></li>"
    )


def published() -> None:
    """Clean accuracy against accuracy under AutoAttack: RobustBench's CIFAR-10 models, and ours that were measured so."""
    ours, counts = [], set()
    for item in load.catalog("cifar10").values():
        found = item.metrics.get("autoattack")
        if found and robustbench.comparable(found):
            counts.add(found["images"])
            colour = role_colour(item.recipe.defense)
            ours.append(
                charts.Model(
                    item.title, item.architecture, 100 * item.metrics["clean"], 100 * found["accuracy"], colour, item.title
                )
            )
    st.markdown(f"## Published CIFAR-10 models{' and ours' if ours else ''}")
    theirs = [
        charts.Model(each.title, each.network, each.clean, each.autoattack, label=each.title if each.name in NAMED else "")
        for each in robustbench.CIFAR10
    ]
    charts.show(charts.models_chart(theirs, ours), key="published models")
    which = " and ".join(f"{count:,}" for count in sorted(counts))
    mine = (
        f" Ours: under AutoAttack the first {which} test images of a JPEG copy of CIFAR-10, so the two groups do not compare "
        "exactly."
    )
    theirs_on = f"{robustbench.SOURCE}: all {robustbench.IMAGES:,} original test images."
    st.caption(f"CIFAR-10, AutoAttack (L∞, ε = 8/255). {theirs_on}{mine if ours else ''}")


if __name__ == "__main__":
    frame.run()
