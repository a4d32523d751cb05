"""A job as the Retrain page shows it: its state, its live curves, its result and its buttons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from advcore import attacks, data
from advcore.defenses import DEFENSES
from advcore.errors import AdvcoreError
from advcore.evaluation.diagnosis import masking
from advcore.jobs import queue
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES
from advcore.recipe import Recipe
from advcore.training.estimate import duration
from ui import charts, load, measured
from ui.tiles import Tile, tiles
from ui.words import DEFENDED, STANDARD, epsilon_text, markdown_safe, percent, role_colour

Row = Mapping[str, Any]
# Word, icon and colour of each state; the colours are Streamlit's names.
STATES = {
    "queued": ("waiting for its turn", ":material/hourglass_empty:", "gray"),
    "running": ("running", ":material/sync:", "blue"),
    "stopped": ("stopped", ":material/pause:", "gray"),
    "failed": ("failed", ":material/error:", "red"),
    "finished": ("finished", ":material/check_circle:", "green"),
}


def name(recipe: Recipe | None) -> str:
    """What a job trains, in words."""
    if recipe is None:
        return "unreadable recipe"
    architecture, dataset = ARCHITECTURES.get(recipe.architecture), data.BUILT_IN.get(recipe.dataset)
    budget = f" {recipe.epsilon:.3g}" if recipe.epsilon else ""
    return (
        f"{architecture.title if architecture else recipe.architecture} · {recipe.defense}{budget} · "
        f"{dataset.title if dataset else recipe.dataset}"
    )


def option(job: queue.Job) -> str:
    """A job in a list, as a text that does not change: the browser remembers the choice by it."""
    return f"{name(job.recipe)} · {job.created:%d %b %H:%M:%S}"


# --- while it runs ---------------------------------------------------------------------------------------------------------


def panel(job: queue.Job) -> None:
    """A job as its folder now shows it, with its buttons."""
    word, icon, colour = STATES[job.state]
    rows = queue.progress(job.folder)
    st.markdown(
        f"#### {markdown_safe(name(job.recipe))} &nbsp; :{colour}-badge[{icon} {'stopping …' if job.stopping else word}]"
    )
    if job.message:
        (st.error if job.state == "failed" else st.caption)(markdown_safe(job.message))
    if job.state in {"queued", "running"}:
        st.progress(*_how_far(job, rows[-1] if rows else {}))
    steps = [row for row in rows if row["phase"] == "training"]
    if steps and job.state != "finished":
        _numbers(steps, job)
        _charts(steps, job)
    if job.state != "finished":
        buttons(job)
    if job.state == "failed":
        with st.expander("What its process printed", icon=":material/terminal:"):
            st.code(queue.log_tail(job.folder) or "nothing", language=None)


def _how_far(job: queue.Job, last: Row) -> tuple[float, str]:
    """The share that is done, and the same in words."""
    if job.state == "queued":
        return 0.0, "Waiting for the training before it. It starts by itself, also when this page is closed."
    if last.get("phase") == "measuring":
        done = float(last.get("done", 0.0))
        return min(done, 1.0), f"Trained. Measuring the final figures on the test images: {done:.0%}"
    if last.get("phase") == "training":
        step, steps = last["step"], max(last["steps"], 1)
        return min(step / steps, 1.0), f"Step {step:,} of {steps:,}, epoch {last['epoch']}"
    return 0.0, "Saving the model …" if last.get("phase") == "saving" else "Starting: loading the images …"


def _numbers(steps: Sequence[Row], job: queue.Job) -> None:
    """The latest accuracies, loss and pace."""
    last, colour = steps[-1], _colour(job)
    seen = [row["evaluation"] for row in steps if isinstance(row.get("evaluation"), dict)]
    shown = []
    for key, title in (("clean", "Clean"), ("fgsm", "FGSM"), ("pgd", "PGD-10")):
        before = f"{100 * (seen[-1][key] - seen[-2][key]):+.1f} points".replace("-", "−") if len(seen) > 1 else ""
        shown.append(Tile(title, percent(seen[-1][key]) if seen else "–", before, colour))
    shown.append(Tile("Loss", f"{last['loss']:.3f}"))
    shown.append(Tile("Images a second", f"{last['images_per_second']:,.0f}"))
    running = job.state == "running" and not job.stopping
    spent = f"after {duration(last['seconds'])}"
    shown.append(Tile("Time left", duration(last["seconds_left"]), spent) if running else Tile("Time spent", spent[6:]))
    tiles(shown)


def _charts(steps: Sequence[Row], job: queue.Job) -> None:
    left, right = st.columns([3, 2])
    left.plotly_chart(charts.watched_chart(steps, _colour(job)), key=f"watched {job.id}", config=charts.CONFIG)
    right.plotly_chart(charts.loss_chart(steps, _colour(job)), key=f"loss {job.id}", config=charts.CONFIG)
    if seen := next((row["evaluation"] for row in reversed(steps) if isinstance(row.get("evaluation"), dict)), None):
        st.caption(
            f"Accuracies on {seen['images']:.0f} images held out of the training split (the test split is not touched), "
            f"attacked at ε = {epsilon_text(seen['epsilon'])}."
        )
    if warning := next((row["warning"] for row in reversed(steps) if row.get("warning")), None):
        st.warning(markdown_safe(str(warning)), icon=":material/science:")


def _colour(job: queue.Job) -> str:
    return role_colour(job.recipe.defense) if job.recipe else STANDARD


def buttons(job: queue.Job) -> None:
    """What can be done with the job in its state."""
    offered = []
    if not job.over:
        offered.append(("Stop", ":material/stop:", queue.stop))
    if job.resumable:
        offered.append(("Resume", ":material/play_arrow:", queue.resume))
    if job.state != "running":
        offered.append(("Delete", ":material/delete:", queue.delete))
    with st.container(horizontal=True):
        for label, icon, what in offered:
            st.button(
                label,
                icon=icon,
                key=f"{label} {job.id}",
                on_click=act,
                args=(what, job.id),
                disabled=job.stopping,
                help=_HELP[label],
            )


_HELP = {
    "Stop": "Saves its state and ends; it can be resumed.",
    "Resume": "Continues from the saved state.",
    "Delete": "Removes this training from the list; a model it made stays.",
}


def act(what: Any, job_id: str) -> None:
    """Stop, resume or delete a job; an error is shown when the page is drawn next."""
    try:
        what(job_id)
    except (AdvcoreError, OSError) as error:
        st.session_state["job problem"] = str(error)


def recipe_details(recipe: Recipe) -> None:
    """Every field of the recipe that differs from its default, and the command that trains with it."""
    with st.expander("The recipe, and how to run it elsewhere", icon=":material/receipt_long:"):
        st.markdown(f"**{DEFENSES[recipe.defense].title}**: {markdown_safe(DEFENSES[recipe.defense].described)}")
        values = {key.replace("_", " "): str(value) for key, value in recipe.to_dict().items() if value not in (None, [])}
        st.dataframe([{"setting": key, "value": value} for key, value in values.items()], hide_index=True, width="content")
        st.caption(
            "On the command line, on this machine or on a larger one (`torchrun --nproc-per-node N -m advcore train …`):"
        )
        st.code(recipe.command, language="bash", wrap_lines=True)


# --- its result --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BeforeAfter:
    """The new model and its baseline under one attack, on the first `count` test images."""

    title: str
    count: int
    traces: dict[measured.Curve, charts.Trace]

    @property
    def measured(self) -> int:
        """The number of images that every curve has."""
        return min(measured.images_measured(curve, self.count) for curve in self.traces)

    @property
    def done(self) -> bool:
        """Whether every curve is measured."""
        return self.measured >= self.count


def made_by(job: queue.Job) -> checkpoints.Checkpoint | None:
    """The job's model, also when it has been renamed; None when it was deleted."""
    if job.state != "finished":
        return None
    for _ in range(2):
        for item in load.catalog().values():
            mine = item.own and (item.provenance.get("job") == job.id or item.id == job.checkpoint)
            if mine and item.path.exists():
                return item
        load.catalog.clear()  # it may be older than the model
    return None


def baseline(made: checkpoints.Checkpoint) -> checkpoints.Checkpoint | None:
    """The model to compare with: the one training started from, else an undefended one, of the same architecture if any."""
    known = load.catalog(made.recipe.dataset)
    start = known.get(made.recipe.warm_start or "")
    others = [item for item in known.values() if not item.defended and item.id != made.id]
    alike = [item for item in others if item.recipe.architecture == made.recipe.architecture]
    return start or next(iter(alike or others), None)


def comparisons(made: checkpoints.Checkpoint) -> list[BeforeAfter]:
    """Before and after under FGSM, then under PGD, which takes longer and is measured on fewer images and ε."""
    info, before = data.dataset(made.recipe.dataset), baseline(made)
    pair = [made] if before is None else [before, made]
    size, at = len(load.dataset(info.name)), shown_epsilon(made)
    found = []
    for title, attack, points, count in (("FGSM", attacks.FGSM(), 12, 500), ("PGD-10", attacks.PGD(steps=10), 6, 200)):
        grid = sorted({*data.even_epsilons(info.epsilon_max, points), at})
        traces = {}
        for item in pair:
            colour = role_colour(item.recipe.defense)
            if item is not made and colour == role_colour(made.recipe.defense):
                colour = DEFENDED if colour == STANDARD else STANDARD
            when = "after" if item is made else "before"
            traces[measured.curve(item.id, attack, grid)] = charts.Trace(f"{when}: {item.title}", colour)
        found.append(BeforeAfter(title, min(count, size), traces))
    return found


def shown_epsilon(made: checkpoints.Checkpoint) -> float:
    """The ε at which before and after are compared in numbers: the one it was trained at, else the dataset's."""
    return made.recipe.epsilon or data.dataset(made.recipe.dataset).epsilon


def result(made: checkpoints.Checkpoint) -> None:
    """The result of a finished job: accuracies, and curves before and after, as far as they are measured."""
    shown = comparisons(made)
    _before_and_after(made, shown)
    for column, comparison in zip(st.columns(2), shown, strict=True):
        seen = [(line, measured.so_far(curve, comparison.count)) for curve, line in comparison.traces.items()]
        column.markdown(f"**Under {comparison.title}**, before and after")
        chart = charts.accuracy_chart([(line, part.curve) for line, part in seen if part], cursor=shown_epsilon(made))
        column.plotly_chart(chart, key=f"{comparison.title} of {made.id}", config=charts.CONFIG)
        column.caption(f"{comparison.measured:,} of {comparison.count:,} test images; bands 95 % (Wilson).")
    if finding := masking(made):
        st.info(f"{markdown_safe(made.title)} {markdown_safe(finding)}.", icon=":material/science:")


def measure(made: checkpoints.Checkpoint) -> None:
    """Have the comparisons measured in the background."""
    measured.ask({curve: comparison.count for comparison in comparisons(made) for curve in comparison.traces})


def compared(made: checkpoints.Checkpoint) -> bool:
    """Whether all of the comparisons are measured."""
    return all(comparison.done for comparison in comparisons(made))


def _before_and_after(made: checkpoints.Checkpoint, shown: Sequence[BeforeAfter]) -> None:
    """Three numbers after, each with what it was before."""
    at, colour = shown_epsilon(made), role_colour(made.recipe.defense)

    def share(comparison: BeforeAfter, place: int, epsilon: float) -> str:
        """The accuracy of the curve number `place` (−1: after) at one ε, in words."""
        part = measured.so_far(list(comparison.traces)[place], comparison.count)
        return percent(part.curve.accuracy[part.epsilons.index(epsilon)]) if part else "…"

    several = len(shown[0].traces) > 1
    wanted = [("Clean", shown[0], 0.0), *((f"{item.title} at ε = {at:.3g}", item, at) for item in shown)]
    tiles(
        [
            Tile(title, share(item, -1, epsilon), f"before: {share(item, 0, epsilon)}" if several else "", colour)
            for title, item, epsilon in wanted
        ]
    )


def links(made: checkpoints.Checkpoint) -> None:
    """Links to the pages that show the new model."""
    before = baseline(made)
    pair = [made.id] if before is None else [before.id, made.id]
    attack = urlencode({"dataset": made.recipe.dataset, "a": pair[0], "b": made.id})
    curves = urlencode({"dataset": made.recipe.dataset, "models": "~".join(pair)})
    with st.container(horizontal=True):
        st.link_button("Attack the new model", f"/?{attack}", icon=":material/bolt:", type="primary")
        st.link_button("Its accuracy against ε", f"/accuracy?{curves}", icon=":material/show_chart:")
        st.link_button("Rename, download", f"/models?{urlencode({'model': made.id})}", icon=":material/inventory_2:")
