"""A job as the Retrain page shows it: its state, its live curves, its result and its buttons."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from advcore import attacks, data
from advcore.defenses import DEFENSES
from advcore.epsilon import write_epsilon
from advcore.errors import AdvcoreError
from advcore.evaluation.curves import Predictions
from advcore.evaluation.masking import masked
from advcore.jobs import queue
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES
from advcore.recipe import Recipe
from advcore.training.estimate import duration
from ui import charts, frame, load, measured, visitor
from ui.actions import attempt, failed
from ui.details import details
from ui.links import link
from ui.tiles import Tile, tiles
from ui.training.pictures import before_and_after
from ui.words import DEFENDED, FOOLED, STANDARD, epsilon_text, markdown_safe, model_colours, percent, role_colour

Row = Mapping[str, Any]
# Word, icon and colour of each state; the colours are Streamlit's names.
STATES = {
    "queued": ("queued", ":material/hourglass_empty:", "gray"),
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
    budget = f", ε {write_epsilon(recipe.epsilon)}" if recipe.epsilon else ""
    return (
        f"{architecture.title if architecture else recipe.architecture}, {DEFENSES[recipe.defense].trained}{budget} · "
        f"{dataset.title if dataset else recipe.dataset}"
    )


def option(job: queue.Job) -> str:
    """A job in a list, as a text that does not change: the browser remembers the choice by it.

    To the host of a public server it names the visitor whose job it is.
    """
    whose = f" · visitor {job.owner[:6]}" if job.owner and visitor.owner() is None else ""
    return f"{name(job.recipe)} · {job.created:%d %b %H:%M:%S}{whose}"


def watched(job: queue.Job) -> None:
    """Draw a training and its result, and draw them again while anything changes."""
    usual = pace(job)
    st.fragment(_watch, run_every=usual)(job.id, usual)


def pace(job: queue.Job) -> float | None:
    """Seconds between two drawings; None when it is over and its result is measured."""
    if not job.over:
        return 1.0
    made = made_by(job)
    return None if made is None or comparison(made).done else 0.5


def _watch(job_id: str, usual: float | None) -> None:
    """Draw the job as its folder now shows it, and have its model measured."""
    queue.advance()
    try:
        job = queue.find(job_id, visitor.owner())
    except AdvcoreError:
        st.rerun()
    now = pace(job)
    if now != usual or failed():
        st.rerun()  # before anything is drawn: what is opened or clicked here would be lost
    panel(job)
    if made := made_by(job):
        shown = comparison(made)
        result(shown)
        if now:
            measured.ask(shown.wanted)
    elif job.state == "finished":
        st.info("Its model is no longer among the models: it was deleted.", icon=":material/inventory_2:")


# --- while it runs ---------------------------------------------------------------------------------------------------------


def panel(job: queue.Job) -> None:
    """A job as its folder now shows it, with its buttons."""
    word, icon, colour = STATES[job.state]
    rows = queue.progress(job.folder)
    st.markdown(f"## {markdown_safe(name(job.recipe))} &nbsp; :{colour}-badge[{icon} {'stopping …' if job.stopping else word}]")
    if job.message and job.state != "finished":  # its figures follow, all on the same images
        (st.error if job.state == "failed" else st.caption)(markdown_safe(job.message))
    if job.state in {"queued", "running"}:
        st.progress(*_how_far(job, rows[-1] if rows else {}))
    steps = [row for row in rows if row["phase"] == "training"]
    if steps and job.state != "finished":
        _numbers(steps, job)
        _charts(steps, job)
    if job.state != "finished":
        buttons(job)
    if job.state == "failed" and visitor.rules().machine:
        details("What its process printed", partial(_printed, job), icon="terminal", key="printed")


def _printed(job: queue.Job) -> None:
    st.code(queue.log_tail(job.folder) or "nothing", language=None, wrap_lines=True)


def _how_far(job: queue.Job, last: Row) -> tuple[float, str]:
    """The share that is done, and the state in words."""
    if job.state == "queued":
        return 0.0, "Queued behind another training. It starts by itself, even when this page is closed."
    if last.get("phase") == "measuring":
        done = float(last.get("done", 0.0))
        return min(done, 1.0), f"Trained. Measuring the final figures on the test images: {100 * done:.0f} %"
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
    with left:
        charts.show(charts.watched_chart(steps, _colour(job)), key=f"watched {job.id}")
    with right:
        charts.show(charts.loss_chart(steps, _colour(job)), key=f"loss {job.id}")
    if seen := next((row["evaluation"] for row in reversed(steps) if isinstance(row.get("evaluation"), dict)), None):
        st.caption(
            f"Accuracy on {seen['images']:.0f} held-out images of the training split, attacked at "
            f"ε = {epsilon_text(seen['epsilon'])}. The test split is not used."
        )
    if warning := next((row["warning"] for row in reversed(steps) if row.get("warning")), None):
        st.warning(markdown_safe(str(warning)), icon=":material/science:")


def _colour(job: queue.Job) -> str:
    return role_colour(job.recipe.defense) if job.recipe else STANDARD


def buttons(job: queue.Job) -> None:
    """What can be done with the job in its state. A running one is stopped before it can be deleted."""
    offered = []
    if not job.over:
        offered.append(("Stop", ":material/stop:", queue.stop, "Saves its state and stops; it can be resumed."))
    if job.resumable:
        offered.append(("Resume", ":material/play_arrow:", queue.resume, "Continues from the saved state."))
    if job.restartable:
        offered.append(("Start again", ":material/restart_alt:", queue.start_again, "Its saved state is damaged."))
    with st.container(horizontal=True):
        for label, icon, what, help in offered:
            key = f"{label} {job.id}"
            st.button(
                label,
                icon=icon,
                key=key,
                on_click=attempt,
                args=(what, job.id, visitor.owner()),
                disabled=job.stopping,
                help=help,
            )
        if job.state != "running":
            with st.popover("Delete", icon=":material/delete:"):
                st.write("Removes this training from the list; a model it made stays.")
                st.button("Delete this training", key=f"Delete {job.id}", type="primary", on_click=delete, args=(job.id,))


def start(recipe: Recipe) -> str:
    """Make a job of the recipe; returns its id. Raises AdvcoreError or OSError."""
    visitor.spend("training")
    return queue.start(recipe, visitor.owner()).id


def delete(job_id: str) -> None:
    """Delete a job, offer to undo it, and show what was shown before."""
    if attempt(queue.delete, job_id, visitor.owner()):
        seen = st.session_state.get("jobs shown", [])
        st.session_state["jobs shown"] = seen = [item for item in seen if item != job_id]
        st.session_state["job"] = seen[-1] if seen else "new"
        st.session_state["deleted job"] = job_id


def undelete(job_id: str) -> None:
    """Undo the deletion, and show the job again."""
    st.session_state.pop("deleted job", None)
    if attempt(queue.restore, job_id, visitor.owner()):
        st.session_state["job"] = job_id


def recipe_details(recipe: Recipe) -> None:
    """Every field of the recipe that differs from its default, and the command that trains with it."""

    def draw() -> None:
        st.markdown(f"**{DEFENSES[recipe.defense].title}**: {markdown_safe(DEFENSES[recipe.defense].described)}")
        values = {key.replace("_", " "): str(value) for key, value in recipe.to_dict().items() if value not in (None, [])}
        st.dataframe([{"setting": key, "value": value} for key, value in values.items()], hide_index=True, width="content")
        st.caption("On the command line (on several GPUs: `torchrun --nproc-per-node N -m advcore train …`):")
        st.code(recipe.command, language="bash", wrap_lines=True)

    details("The recipe, and how to run it elsewhere", draw, icon="receipt_long", key="recipe")


# --- its result --------------------------------------------------------------------------------------------------------------


GREY_IMAGES, COLOUR_IMAGES = 500, 200
"""How many test images before and after are compared on."""
ATTACKS: dict[str, attacks.Attack] = {"PGD-10": attacks.PGD(steps=10), "FGSM": attacks.FGSM()}


@dataclass(frozen=True)
class Comparison:
    """A new model and its baseline, if any, under each attack of `ATTACKS`, all on the first `count` test images.

    `curves` holds, for each attack, a curve for each of `models`: before (if there is a baseline) and after.
    """

    models: tuple[checkpoints.Checkpoint, ...]
    epsilon: float
    count: int
    curves: dict[str, tuple[measured.Curve, ...]]

    @property
    def made(self) -> checkpoints.Checkpoint:
        """The new model."""
        return self.models[-1]

    @property
    def wanted(self) -> dict[measured.Curve, int]:
        """Every curve with its number of images."""
        return {curve: self.count for curves in self.curves.values() for curve in curves}

    @property
    def measured(self) -> int:
        """The number of images on which every curve is measured."""
        return min(itertools.starmap(measured.images_measured, self.wanted.items()))

    @property
    def done(self) -> bool:
        """Whether every curve is measured."""
        return self.measured >= self.count

    def seen(self, attack: str) -> list[Predictions]:
        """Each model's answers under the attack, on the images on which every curve is measured; empty before the first."""
        found = [measured.so_far(curve, self.measured) for curve in self.curves[attack]]
        return [part for part in found if part]

    def accuracy(self, attack: str, epsilon: float) -> list[float]:
        """The accuracy of each of the models at an ε of the grid, a share."""
        return [part.curve.accuracy[part.epsilons.index(epsilon)] for part in self.seen(attack)]


def made_by(job: queue.Job) -> checkpoints.Checkpoint | None:
    """The job's model, even if it was renamed; None if it was deleted."""
    if job.state != "finished":
        return None
    for _ in range(2):
        for item in load.catalog().values():
            mine = item.own and (item.provenance.get("job") == job.id or item.id == job.checkpoint)
            if mine and item.path.exists():
                return item
        load.read_again()  # the listing may be older than the model
    return None


def baseline(made: checkpoints.Checkpoint) -> checkpoints.Checkpoint | None:
    """The model to compare with: the one that training started from, else the standard model of the same architecture."""
    known = load.catalog(made.recipe.dataset)
    alike = [
        item
        for item in known.values()
        if item.recipe.defense == "standard" and item.architecture == made.architecture and item.id != made.id
    ]
    return known.get(made.recipe.warm_start or "") or min(alike, key=lambda item: item.own, default=None)


def standing(made: checkpoints.Checkpoint, before: checkpoints.Checkpoint | None) -> str:
    """What the new model is compared with, and how their trainings differ, in a sentence of Markdown."""

    def work(recipe: Recipe) -> str:
        return f"{'all' if recipe.images is None else f'{recipe.images:,}'} images × {recipe.length}"

    if before is None:
        return "There is no standard model of this architecture to compare it with."
    title = markdown_safe(before.title)
    if before.id == made.recipe.warm_start:
        return f"Before: {title}, the model it started from. After: {work(made.recipe)} more."
    same = work(before.recipe) == work(made.recipe)
    how = f"both {work(made.recipe)}" if same else f"{work(before.recipe)}, against {work(made.recipe)} here"
    return f"Before: {title}, the standard model of the same architecture, trained separately ({how})."


def comparison(made: checkpoints.Checkpoint) -> Comparison:
    """Before and after under FGSM and PGD-10, on the same images."""
    info, before = data.dataset(made.recipe.dataset), baseline(made)
    models = (made,) if before is None else (before, made)
    at = made.recipe.epsilon or info.epsilon
    grid = sorted({*data.even_epsilons(info.epsilon_max, 5), at})
    curves = {title: tuple(measured.curve(item.id, attack, grid) for item in models) for title, attack in ATTACKS.items()}
    return Comparison(models, at, min(GREY_IMAGES if info.grey else COLOUR_IMAGES, len(load.dataset(info.name))), curves)


def result(shown: Comparison) -> None:
    """The result of a finished job as far as it is measured: its figures, one picture, and its curves before and after."""
    if not shown.measured:
        st.progress(0.0, f"Measuring the models on the first {shown.count} test images …")
        return
    _outcome(shown)
    before = shown.models[0] if len(shown.models) > 1 else None
    many = f"the first {shown.measured:,} test images" + ("" if shown.done else f" of {shown.count:,}, still measuring")
    st.caption(f"{standing(shown.made, before)} All figures on this page are those of {many}.")
    at = shown.epsilon
    if masked(shown.accuracy("FGSM", at)[-1], shown.accuracy("PGD-10", at)[-1]):
        words = "Its accuracy under PGD is far below that under FGSM: part of its robustness is masked."
        st.info(words, icon=":material/science:")
    telling = _telling_image(shown)
    if not frame.presented():
        _links(shown, telling)
    if telling is not None:
        before_and_after(shown.models, ATTACKS["PGD-10"], at, telling)
    if not frame.presented():
        _chart(shown)


def _outcome(shown: Comparison) -> None:
    """The figures in three lines, the first one large."""
    at = shown.epsilon
    lines = [
        _line(f"Under PGD-10 at ε = {at:.3g}", shown.accuracy("PGD-10", at)),
        _line("On clean images", shown.accuracy("FGSM", 0.0)),
        _line(f"Under FGSM at ε = {at:.3g}", shown.accuracy("FGSM", at)),
    ]
    st.html(f"{_CSS}<div class='outcome'>{''.join(lines)}</div>")


def _line(what: str, accuracy: Sequence[float]) -> str:
    """`what: before → after`, with the signed difference in points, an arrow and a colour."""
    words = " → ".join(percent(share) for share in accuracy)
    if len(accuracy) < 2:
        return f"<div>{escape(what)}: <b>{words}</b></div>"
    points = round(100 * (accuracy[-1] - accuracy[0]), 1)
    arrow, colour = ("▲", DEFENDED) if points > 0 else ("▼", FOOLED) if points < 0 else ("", "inherit")
    delta = f"<i>{arrow}</i> {points:+.1f} points".replace("-", "−") if points else "no change"
    return f"<div>{escape(what)}: <b>{words}</b> <span class='delta' style='--delta: {colour}'>{delta}</span></div>"


_CSS = """<style>
.outcome { font-size: 1.1rem; line-height: 1.6; font-variant-numeric: tabular-nums; }
.outcome div:first-child { font-size: clamp(1.3rem, 2.6vw, 2rem); line-height: 1.35; margin-bottom: .35rem; }
.outcome b, .outcome .delta { white-space: nowrap; }
.outcome .delta { border-left: .3rem solid var(--delta); padding-left: .45rem; margin-left: .35rem; font-weight: 600; }
.outcome i { color: var(--delta); font-style: normal; }
.st-key-attack-new-model a { background: #0072B2; border-radius: .6rem; padding: .45rem .9rem; }
.st-key-attack-new-model a * { color: #fff !important; }
.st-key-attack-new-model a:hover { background: #005a8c; }
</style>"""


def _telling_image(shown: Comparison) -> int | None:
    """The first test image that both get right and on which PGD-10 fools only the baseline; None if there is none."""
    seen = shown.seen("PGD-10")
    if len(seen) < 2:
        return None
    clean, attacked = (seen[0].epsilons.index(epsilon) for epsilon in (0.0, shown.epsilon))
    right = [part.predicted == part.labels for part in seen]
    telling = right[0][clean] & ~right[0][attacked] & right[1][clean] & right[1][attacked]
    return int(telling.nonzero()[0]) if telling.any() else None


def _chart(shown: Comparison) -> None:
    """Accuracy against ε, before and after, under the attack that is chosen above it."""
    key = f"attack of {shown.made.id}"
    attack = st.segmented_control("Attack", list(ATTACKS), default="PGD-10", key=key, label_visibility="collapsed") or "PGD-10"
    colours = model_colours(shown.models[::-1])
    when = ("before", "after")[-len(shown.models) :]
    lines = [charts.Trace(f"{word}: {item.title}", colours[item.id]) for word, item in zip(when, shown.models, strict=True)]
    curves = [(line, part.curve) for line, part in zip(lines, shown.seen(attack), strict=True)]
    charts.show(charts.accuracy_chart(curves, cursor=shown.epsilon), key=f"chart of {shown.made.id}")
    st.caption(f"Accuracy under {attack}; dotted: ε = {epsilon_text(shown.epsilon)}; bands 95 % (Wilson).")


def _links(shown: Comparison, image: int | None) -> None:
    """Links to the pages that show the new model."""
    made, first = shown.made, shown.models[0]
    dataset = made.recipe.dataset
    attack = {"dataset": dataset, "a": first.id, "b": made.id, "attack": "pgd", "epsilon": f"{shown.epsilon:.6g}"}
    attack |= {} if image is None else {"image": str(image)}
    models = "~".join(item.id for item in shown.models)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(key="attack-new-model", width="content"):
            link("Attack the new model", "", icon=":material/bolt:", **attack)
        link("Its accuracy against ε", "accuracy", icon=":material/show_chart:", dataset=dataset, models=models)
        link("Rename, download", "models", icon=":material/inventory_2:", model=made.id)
