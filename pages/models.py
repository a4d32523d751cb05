"""Models: every checkpoint with its recipe and figures; a user's can be renamed, deleted, downloaded and imported."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from advcore import data
from advcore.defenses import DEFENSES
from advcore.errors import LimitError
from advcore.evaluation import figures, importing
from advcore.evaluation.diagnosis import masking
from advcore.jobs import queue
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES
from advcore.models.pickles import SUFFIXES as PICKLES
from advcore.recipe import Recipe
from advcore.training import presets
from ui import frame, load, share, visitor
from ui.actions import attempt
from ui.components.model_list import Line, model_list
from ui.downloads import offer_csv, offer_file
from ui.frame import choose, chosen, heading, remember
from ui.links import link
from ui.pickers import epsilon_field
from ui.tiles import Tile, tiles
from ui.words import epsilon_text, markdown_safe, percent, role_colour

EVERY = "all"
OWN = "your own"
BARS = (
    "The bar shows clean accuracy in the lightest shade, then FGSM, then the strongest attack measured; point at its figure to "
    "see which, and on how many images. Masked: accuracy under FGSM is far above that under stronger attacks, or a check fails."
)


def page() -> None:
    """The list of all models, the details of one, and the import of another.

    As a screen of a presentation: the list of one dataset's models.
    """
    if not frame.presented():
        heading("The models", wide=True)
    known = {name: item for name, item in load.catalog().items() if item.path.exists()}
    message = st.empty()  # always drawn: else what follows would move, and close
    if said := st.session_state.pop("models message", None):
        message.success(markdown_safe(said))
    if known:
        list_and_detail(known)
    else:
        st.info("There is no model yet: train one on the Retrain page, or import one below.")
    frame.enough()
    allowed = visitor.rules()
    for path, reason in checkpoints.problems().items() if allowed.everything else ():
        st.warning(f"{markdown_safe(path.name)} is left out: {markdown_safe(reason)}")
    if allowed.imports:
        with st.expander("Import a model", icon=":material/upload:", expanded=not known):
            upload()


def list_and_detail(known: Mapping[str, checkpoints.Checkpoint]) -> None:
    """The list, of one dataset or all, and beside it the model chosen."""
    groups = by_dataset(known.values())
    titles = {EVERY: "All"} | {name: dataset_title(name) for name in groups}
    with st.container(key="aside"):
        asked = frame.asked_for("dataset")  # as other pages call it
        only = choose(st.pills, "Dataset", "of", titles, asked if asked in titles else EVERY, bare=True, required=True)
    ids = [item.id for name, of in groups.items() if only in (EVERY, name) for item in of]
    name = st.session_state[chosen("model", ids, ids[0])]
    remember(model=name, of=None if only == EVERY else only)
    one = known[name].dataset if frame.presented() else only
    lines = {dataset_title(name): [line(item) for item in of] for name, of in groups.items() if one in (EVERY, name)}
    if frame.presented():
        heading(f"{markdown_safe(dataset_title(one))}: what attacks leave of each model's accuracy")
        bars(lines, name)
        st.caption(BARS)
        return
    share.shows("The models" if one == EVERY else f"The models of {dataset_title(one)}")
    listed, details = st.columns([1.5, 1], gap="medium")
    with listed:
        bars(lines, name)
    with details:
        detail(known[name])
    about(known)


def bars(lines: Mapping[str, list[Line]], name: str) -> None:
    """The models with their bars, each a button that chooses it."""
    model_list(lines, name, key="model list", on_pick=lambda picked: st.session_state.update(model=picked))


def by_dataset(models: Iterable[checkpoints.Checkpoint]) -> dict[str, list[checkpoints.Checkpoint]]:
    """The models by dataset, in the order of the datasets; those of one architecture together, undefended before defended."""
    places = {name: place for place, name in enumerate(data.datasets())}
    found: dict[str, list[checkpoints.Checkpoint]] = {}
    for item in sorted(models, key=lambda item: (item.architecture, item.defended, item.recipe.epsilon or 0.0, item.id)):
        found.setdefault(item.dataset, []).append(item)
    return dict(sorted(found.items(), key=lambda group: (places.get(group[0], len(places)), group[0])))


def dataset_title(name: str) -> str:
    """A dataset's name for people."""
    info = data.datasets().get(name)
    return info.title if info else name


def line(item: checkpoints.Checkpoint) -> Line:
    """A model as a line of the list."""
    at = figures.claimed_epsilon(item)
    strongest = figures.strongest(item.metrics, at) or {}
    return Line(
        id=item.id,
        title=item.title,
        colour=role_colour(item.defense),
        clean=item.metrics.get("clean"),
        fgsm=figures.accuracy_under(item.metrics, "FGSM", at),
        strongest=strongest.get("accuracy"),
        measured=f"{strongest['attack']}, {strongest.get('images', 0):,} images" if strongest else "",
        epsilon=at,
        masked=masking(item) is not None,
        own=whose(item) == OWN,
    )


def whose(item: checkpoints.Checkpoint) -> str:
    """Whose model it is, in words; the host of a public server also sees visitors' models."""
    if not item.own:
        return "shipped"
    return "a visitor's" if item.visitor and visitor.owner() is None else OWN


def about(known: Mapping[str, checkpoints.Checkpoint]) -> None:
    """What the figures of the list mean, and all of them as CSV."""
    st.caption(
        "Accuracy in percent on the test split, white-box, at the model's own ε (undefended models: the dataset's). Strongest: "
        f"PGD, AutoAttack or all checks together. {BARS}"
    )
    offer_csv("All figures (CSV)", lambda: map(row, known.values()), "models.csv")


def row(item: checkpoints.Checkpoint) -> dict[str, Any]:
    """A model as a row of the CSV file; accuracies are shares in [0, 1]."""
    shown, strong = line(item), figures.strongest(item.metrics, figures.claimed_epsilon(item)) or {}
    return {
        "model": item.id,
        "title": item.title,
        "epsilon": shown.epsilon,
        "clean": shown.clean,
        "fgsm": shown.fgsm,
        "strongest": shown.strongest,
        "strongest_attack": strong.get("attack"),
        "strongest_images": strong.get("images"),
        "masked": shown.masked,
        "weights": item.parameters,
        "bytes": item.path.stat().st_size,
        "own": item.own,
    }


def carry_out(done: str, what: Callable[..., object], *arguments: object) -> bool:
    """Do it, and show the message `done` or why it failed; returns whether it succeeded."""
    succeeded = attempt(what, *arguments)
    if succeeded:
        st.session_state["models message"] = done
    load.read_again()
    return succeeded


def detail(item: checkpoints.Checkpoint) -> None:
    """One model: figures, actions, and everything in its header."""
    st.markdown(f"## {markdown_safe(item.title)}")
    st.caption(f"{markdown_safe(dataset_title(item.dataset))} · {whose(item)} · `{item.id}`")
    at, colour = figures.claimed_epsilon(item), role_colour(item.defense)
    whole = f"{item.metrics.get('images', 0):,} images"
    shown = [Tile("Clean", percent(item.metrics["clean"]), whole, colour)] if "clean" in item.metrics else []
    strongest = figures.strongest(item.metrics, at)
    for found in (figures.under(item.metrics, "FGSM", at), strongest, figures.under(item.metrics, "random noise", at)):
        if found is not None:
            title, images = str(found["attack"]), found.get("images", 0)
            shown.append(Tile(title[:1].upper() + title[1:], percent(found["accuracy"]), f"{images:,} images", colour))
    tiles(shown)
    size = f"{compact(item.parameters)} weights, {item.path.stat().st_size / 1e6:.1f} MB"
    caveat = data.BUILT_IN[item.dataset].caveat if item.dataset in data.BUILT_IN and not item.own else ""
    st.caption(f"{size}. {caveat}" if at is None else f"Attacks at ε = {epsilon_text(at)}. {size}. {caveat}")
    if finding := masking(item):
        st.warning(f"This model {markdown_safe(finding)}.", icon=":material/science:")
    with st.container(horizontal=True):
        actions(item)
    measured, recipe, origin = st.tabs(["Figures", "Recipe", "Where it came from"])
    with measured:
        clean = [{"attack": "none", "accuracy": item.metrics.get("clean"), "images": item.metrics.get("images")}]
        st.dataframe(
            [
                {**found, "accuracy": None if found["accuracy"] is None else 100 * found["accuracy"]}
                for found in clean + figures.rows_in(item.metrics)
            ],
            hide_index=True,
            column_order=("attack", "epsilon", "accuracy", "images"),
            placeholder="–",
            column_config={
                "accuracy": st.column_config.NumberColumn("right", format="%.1f %%"),
                "epsilon": st.column_config.NumberColumn("ε", format="%.4f"),
                "images": st.column_config.NumberColumn(format="localized"),
            },
        )
    with recipe:
        st.markdown(f"**{DEFENSES[item.defense].title}**: {markdown_safe(DEFENSES[item.defense].described)}")
        facts(item.recipe.to_dict() | ({"epsilon": epsilon_text(item.recipe.epsilon)} if item.recipe.epsilon else {}))
    with origin:
        hidden = {"command"} if visitor.rules().everything else {"command", "visitor"}
        facts({key: value for key, value in item.provenance.items() if key not in hidden})
        if command := item.provenance.get("command"):
            st.caption("The command that trained it:")
            st.code(str(command)[:2000], language="bash", wrap_lines=True)


def compact(count: int) -> str:
    """A count in short form: 950, 85 K, 4.7 M."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.0f} K" if count < 999_500 else f"{count / 1e6:.1f} M"


def facts(values: Mapping[str, Any]) -> None:
    """Names and values as a table, all shown as plain text."""
    rows = [{"": str(key).replace("_", " ")[:60], "value": str(value)[:300]} for key, value in values.items()]
    if rows:
        st.dataframe(rows, hide_index=True)
    else:
        st.caption("Nothing is recorded.")


def actions(item: checkpoints.Checkpoint) -> None:
    """Links to where the model can be used, and the actions on a user's model."""
    dataset, architecture = item.dataset, item.architecture
    link("Attack it", "", icon=":material/bolt:", dataset=dataset, b=item.id)
    link("Can it be believed?", "believe", icon=":material/verified:", dataset=dataset, model=item.id)
    onward = {"dataset": dataset, "architecture": architecture, "start": item.id, "job": "new"}
    link("Train it further", "retrain", icon=":material/school:", **onward)
    offer_file("Download", item.path.read_bytes, f"{dataset}-{item.path.name}")
    if not item.own:
        return
    # A form sends the name with the click: neither is lost while the page is drawn again.
    with st.popover("Rename", icon=":material/edit:"), st.form(f"rename {item.id}", border=False):
        st.text_input("New name", value=item.id.split("/", 1)[1], max_chars=95, key=f"name of {item.id}")
        st.form_submit_button("Rename it", on_click=rename, args=(item.id,))
    with st.popover("Delete", icon=":material/delete:"):
        st.write("The file is removed from the disk. This cannot be undone.")
        st.button("Delete it", type="primary", on_click=carry_out, args=(f"{item.id} is deleted.", checkpoints.delete, item.id))


def rename(checkpoint_id: str) -> None:
    """Give it the name from its form, and go on showing it."""
    wanted = st.session_state[f"name of {checkpoint_id}"]

    def change() -> None:
        st.session_state["model"] = checkpoints.rename(checkpoint_id, wanted).id

    carry_out(f"Renamed to {wanted}.", change)


def upload() -> None:
    """Import a checkpoint of this app, or plain weights with their dataset and architecture."""
    file = st.file_uploader("Its file", type=[checkpoints.SUFFIX, *PICKLES], key=f"import {st.session_state.get('imports', 0)}")
    kind = st.radio(
        "It is",
        ["checkpoint", "weights"],
        format_func={"checkpoint": "a checkpoint of this app", "weights": "plain weights (a state dict)"}.get,
        horizontal=True,
        key="import kind",
    )
    values: dict[str, Any] = {}
    if kind == "weights":
        values = named()
    if file is not None:
        name = file_stem(file)
        prefix = next((f"{known}-" for known in data.datasets() if name.startswith(f"{known}-")), "")
        values["name"] = st.text_input("Its name here", name.removeprefix(prefix), max_chars=95, key=f"name of {file.file_id}")
    st.button("Import", icon=":material/upload:", disabled=file is None, on_click=take, args=(file, values))
    st.caption(
        "No code in a file is executed: of a pickle (.pt, .pth, .ckpt), such as RobustBench's, only the tensors are read, in a "
        "separate process. The weights must fit the architecture. Plain weights are measured on "
        f"{importing.TRIAL_IMAGES:,} test images, which shows a wrong match."
    )


def named() -> dict[str, Any]:
    """The dataset, architecture and training of plain weights, as the person gives them."""
    one, two, three = st.columns(3)
    dataset = one.selectbox("Trained on", list(load.available()), format_func=dataset_title, key="import dataset")
    fitting = presets.architectures(dataset)
    architecture = two.selectbox(
        "Architecture", fitting, format_func=lambda name: ARCHITECTURES[name].title, key="import architecture"
    )
    kinds = importing.NORMALIZATIONS
    normalization = three.selectbox("It expects images", list(kinds), format_func=kinds.get, key="import normalization")
    values: dict[str, Any] = {"dataset": dataset, "architecture": architecture, "normalization": normalization}
    one, two, three = st.columns(3)
    offered = [name for name, defense in DEFENSES.items() if not defense.needs_teacher]
    values["defense"] = one.selectbox(
        "Trained with", offered, format_func=lambda name: DEFENSES[name].title, key="import defense"
    )
    if DEFENSES[values["defense"]].epsilon != "none":
        st.session_state.setdefault("import epsilon", 0.1)
        values["epsilon"] = epsilon_field(two, "at ε", 0.001, 1.0, key="import epsilon")
    if ARCHITECTURES[architecture].default_width is not None:
        values["width"] = three.number_input("Width", 4, 256, None, key="import width", placeholder="default")
    return values


def file_stem(file: Any) -> str:
    """The name of an uploaded file without its suffix, of letters, digits and a few signs only."""
    return re.sub(r"[^\w.+-]+", "-", Path(file.name).stem, flags=re.ASCII).strip("-.+")[:90] or "upload"


def take(file: Any, values: dict[str, Any]) -> None:
    """Import the uploaded file through a temporary folder, under the name that its owner gave it."""
    with tempfile.TemporaryDirectory() as folder:
        suffix = Path(file.name).suffix.lower()
        path = Path(folder) / f"{file_stem(file)}{suffix if suffix in PICKLES else checkpoints.SUFFIX}"
        path.write_bytes(file.getvalue())
        # A refused file stays, for another name.
        if carry_out("The model is imported and shown here.", bring_in, path, values):
            st.session_state["imports"] = st.session_state.get("imports", 0) + 1


def bring_in(path: Path, values: dict[str, Any]) -> None:
    """Import the file as the person describes it, and show the model; raises AdvcoreError."""
    mine = visitor.owner()
    if not visitor.rules().imports:
        raise LimitError("Importing is off on this server.")
    if mine is not None:
        queue.check_room(mine, jobs=False)
    name = {"name": values.pop("name") or None, "visitor": mine}
    with visitor.heavy("import"):
        if values:
            normalization = values.pop("normalization")
            made = importing.import_weights(path, Recipe.from_dict(values), normalization=normalization, **name)
        else:
            made = importing.import_checkpoint(path, **name)
    st.session_state["model"] = made.id


if __name__ == "__main__":
    frame.run()
