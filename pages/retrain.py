"""Retrain: choose a recipe, train with it in the background, watch the accuracies."""

from __future__ import annotations

import json
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from advcore import data
from advcore.errors import AdvcoreError
from advcore.jobs import limits, queue
from advcore.models.architectures import ARCHITECTURES
from advcore.recipe import Recipe
from advcore.training import estimate, presets
from ui import frame, load, share, visitor
from ui.actions import attempt
from ui.frame import asked_for, choose, chosen, drop_controls, heading, remember
from ui.glossary import tell
from ui.pickers import offer_missing
from ui.training import job as job_views
from ui.training.cards import cards
from ui.training.form import advanced, drawn_before, fill, forget, recipe_form
from ui.words import markdown_safe

NEW = "new"
SCRATCH = "scratch"
ICONS = {"quick": "timer", "papers": "menu_book", "robust": "shield"}


def page() -> None:
    """The form for a new training, or a training with its buttons and its result.

    As a screen of a presentation: the chosen preset with its button, or the training with its outcome.
    """
    queue.advance()
    every, mine = queue.listing(), visitor.owner()
    known = {job.id: job for job in every if mine in (None, job.owner)}
    running = next((job.id for job in known.values() if job.state == "running"), None)
    title, choice = st.columns([3, 2], vertical_alignment="center")
    with title:
        heading("Train a network that resists attacks")
    shown = NEW
    if known:
        titles = {NEW: "+ New training"} | {item: job_views.option(job) for item, job in known.items()}
        with choice.container(key="aside-job"):
            shown = choose(st.selectbox, "Training", "job", titles, running, bare=True)
    note_shown(shown)
    with st.container():
        if deleted := st.session_state.get("deleted job"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(":material/delete: The training was deleted.", width="content")
                st.button("Undo", icon=":material/undo:", on_click=job_views.undelete, args=(deleted,))
    # The two views have places of their own. The one that is not shown is emptied: else parts of it would stay for a moment.
    if shown == NEW:
        with st.container():
            remember(job=NEW if known else None)
            new_training(busy=any(job.state == "running" for job in every))
        st.empty()
    else:
        st.empty()
        with st.container():
            remember(job=shown)
            one_training(known[shown])


def note_shown(shown: str) -> None:
    """Note the order in which trainings were shown: after a deletion the page shows the one before."""
    earlier = st.session_state.get("jobs shown", [])
    if earlier[-1:] != [shown]:
        st.session_state["jobs shown"] = [*(item for item in earlier if item != shown), shown]
        # Else Streamlit would show the first option of each of the form's controls when it is drawn again.
        drop_controls(keep="job")
        forget()


def one_training(job: queue.Job) -> None:
    """A training with its result, its recipe and its buttons."""
    share.shows(job_views.name(job.recipe))
    job_views.watched(job)
    frame.enough()
    if job.recipe:
        job_views.recipe_details(job.recipe)
    with st.container(horizontal=True):
        st.button("New training", icon=":material/add:", on_click=ask, args=(NEW,))
        if job.state == "finished":
            job_views.buttons(job)


def ask(job_id: str) -> None:
    """Show another job, or the form for a new one."""
    st.session_state["job"] = job_id
    st.session_state.pop("deleted job", None)


def launch(recipe: Recipe) -> None:
    """Make a job of the recipe and show it."""
    attempt(lambda: ask(job_views.start(recipe)), failed="The training could not be started: ")


@st.cache_data(ttl=600, show_spinner=False, max_entries=50)
def timed(text: str) -> estimate.Estimate:
    """How long the recipe will take here."""
    with visitor.heavy("estimate"):
        return estimate.estimate(Recipe.from_json(text))


def estimated(recipe: Recipe) -> str:
    """How long the recipe will take here, in a sentence; for a visitor of a public server without its hardware."""
    found = timed(recipe.to_json())
    return (found if visitor.rules().machine else replace(found, device=load.SERVER)).sentence


def what_to_train() -> tuple[data.Dataset, str, DeltaGenerator]:
    """The dataset, the architecture, and the place beside them for the starting point."""
    trainable = [item for item in data.datasets() if item in data.available("train") and item in load.available()]
    titles = {item: data.datasets()[item].title for item in trainable}
    first = next(item for item in ("mnist", "digits") if item in trainable)
    one, two, three = st.columns(3)
    name = choose(one.selectbox, "Dataset", "dataset", titles, first)
    offer_missing(trainable)
    fitting = presets.architectures(name)
    architecture = choose(
        two.selectbox,
        "Architecture",
        "architecture",
        {item: ARCHITECTURES[item].title for item in fitting},
        key=f"architecture:{name}",
        help="  \n".join(f"**{ARCHITECTURES[item].title}**: {ARCHITECTURES[item].about}" for item in fitting),
    )
    return data.dataset(name), architecture, three


def starting_point(place: DeltaGenerator, preset: presets.Preset) -> str:
    """The checkpoint to start from, or SCRATCH; the preset's own until another is chosen."""
    recipe = preset.recipe
    fitting = [item for item in load.catalog(recipe.dataset).values() if item.architecture == recipe.architecture]
    starts = {SCRATCH: "from scratch"} | {item.id: item.title for item in fitting}
    return choose(
        place.selectbox,
        "Starting point",
        "start",
        starts,
        recipe.warm_start if recipe.warm_start in starts else SCRATCH,
        key=f"start:{recipe.dataset}:{recipe.architecture}:{preset.name}",
        help="Training can continue from a model of the same architecture.",
    )


def new_training(*, busy: bool) -> None:
    """The form: what to train, three presets, and all other settings."""
    about = "Adversarial training: at every step the network is trained on images attacked with its own gradient. "
    steps = "" if frame.presented() else "Choose a preset, start it, watch its accuracies, then attack the result."
    tell(about + steps, key="retrain")
    with st.container(key="aside-what"):
        info, architecture, place = what_to_train()
    offered = {item.name: item for item in presets.presets(info.name, architecture)}
    key = chosen("preset", list(offered), next(iter(offered)), key=f"preset:{info.name}:{architecture}")
    picked = st.session_state[key]
    start = starting_point(place, offered[picked])
    if not frame.presented():
        cards([(item.name, ICONS[item.name], item.title, item.about) for item in offered.values()], picked, key=key)
    preset = offered[picked].recipe
    changes = asked_for("recipe")
    # An address that names a preset and no changes asks for the preset as it is: Back from a changed recipe does.
    if changes or asked_for("preset") or st.session_state.get("filled for") != (info.name, architecture, picked):
        st.session_state["filled for"] = (info.name, architecture, picked)
        fill(asked_recipe(preset, changes or "{}"))
    elif not drawn_before():
        fill(st.session_state.get("form", preset))
    summary = st.container(border=True)
    with st.container(key="aside-recipe"):
        with st.expander("Change the recipe", icon=":material/tune:"):
            values = recipe_form(info, architecture, load.catalog(info.name), None if start == SCRATCH else start)
        with st.expander("Advanced options", icon=":material/settings:"):
            values |= advanced(architecture, values["defense"])
    remember(info.name, dataset=info.name, architecture=architecture)
    remember(f"{info.name}:{architecture}", preset=picked)
    remember(f"{info.name}:{architecture}:{picked}", start=start)
    with summary:
        try:
            recipe = Recipe.from_dict(values)
            if not visitor.rules().everything:
                queue.check(recipe)
        except AdvcoreError as error:
            st.error(markdown_safe(str(error)))
            return
        if frame.presented():
            st.markdown(f"## :material/{ICONS[picked]}: {offered[picked].title}\n{offered[picked].about}")
        timing = offer(recipe)
        if not visitor.rules().everything:
            st.caption(f":material/public: {limits.in_a_line()}")
    st.session_state["form"] = recipe
    usual = preset.every_field()
    changed = {name: value for name, value in recipe.every_field().items() if value != usual[name]}
    changed.pop("warm_start", None)  # that is `start`
    remember(recipe=json.dumps(changed, separators=(",", ":")) if changed else None)
    share.shows(f"Train it: {job_views.name(recipe)}")
    if not frame.presented():
        job_views.recipe_details(recipe)
    say_how_long(recipe, timing, busy=busy)


def asked_recipe(preset: Recipe, changes: str) -> Recipe:
    """The preset with the changes that the address names as JSON, or without them where they make no recipe."""
    try:
        fixed = {"dataset": preset.dataset, "architecture": preset.architecture}
        return Recipe.from_dict(preset.every_field() | json.loads(changes) | fixed)
    except (AdvcoreError, TypeError, ValueError, RecursionError):
        return preset


def offer(recipe: Recipe) -> DeltaGenerator:
    """The recipe in a line, with its button; returns the placeholder for the estimate."""
    about, button = st.columns([3, 1], vertical_alignment="center")
    used = "all images" if recipe.images is None else f"{recipe.images:,} images"
    known = load.catalog(recipe.dataset).get(recipe.warm_start or "")
    began = f", continuing from {markdown_safe(known.title)}" if known else ""
    passes = f"{recipe.length} of {used} in batches of {recipe.batch_size}"
    about.markdown(f"**{markdown_safe(job_views.name(recipe))}**  \n{passes}{began}")
    button.button(
        "Start training", type="primary", icon=":material/play_arrow:", width="stretch", on_click=launch, args=(recipe,)
    )
    return about.empty()


def say_how_long(recipe: Recipe, place: DeltaGenerator, *, busy: bool) -> None:
    """Time a few steps and show the estimate; not while another training runs, which would slow them down."""
    if busy:
        place.caption(":material/schedule: Another training is running; this one will wait for it.")
        return
    place.caption(":material/schedule: Timing a few steps, to say how long it will take …")
    try:
        place.caption(f":material/schedule: {estimated(recipe)}")
    except AdvcoreError as error:
        place.error(markdown_safe(str(error)))


if __name__ == "__main__":
    frame.run()
