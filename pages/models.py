"""Models: every checkpoint with its recipe and figures; a user's can be renamed, deleted, downloaded and imported."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from advcore import data
from advcore.defenses import DEFENSES
from advcore.errors import AdvcoreError
from advcore.evaluation import figures, importing
from advcore.evaluation.diagnosis import masking
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES
from advcore.recipe import Recipe
from advcore.training import presets
from ui import frame, load
from ui.frame import chosen, remember, report_unavailable
from ui.tiles import Tile, tiles
from ui.words import epsilon_text, markdown_safe, percent, role_colour

SHARE = st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1, width="small")
EVERY = "all"


def page() -> None:
    """The table of all models, one of them in detail, and the import of another."""
    st.markdown("## The models")
    st.caption("Every model the app knows: shipped ones, and those you trained or imported. Choose one to see its details.")
    known = {name: item for name, item in load.catalog().items() if item.path.exists()}
    message = st.empty()  # drawn with and without a message, so that what follows keeps its place and stays open
    if said := st.session_state.pop("models message", None):
        (message.success if said[0] else message.error)(markdown_safe(said[1]))
    if known:
        table_and_detail(known)
    else:
        st.info("There is no model yet: train one on the Retrain page, or import one below.")
    report_unavailable()
    for path, reason in checkpoints.problems().items():
        st.warning(f"{markdown_safe(path.name)} is left out: {markdown_safe(reason)}")
    with st.expander("Import a model", icon=":material/upload:", expanded=not known):
        upload()


def table_and_detail(known: Mapping[str, checkpoints.Checkpoint]) -> None:
    """The table, of one dataset or all, and the model chosen."""
    here = [EVERY, *dict.fromkeys(item.recipe.dataset for item in known.values())]
    only = st.pills(
        "Dataset",
        here,
        format_func=lambda name: "All" if name == EVERY else dataset_title(name),
        key=chosen("of", here, EVERY),
        label_visibility="collapsed",
    )
    of = {name: item for name, item in known.items() if only in (None, EVERY, item.recipe.dataset)}
    table(of)
    name = st.selectbox("Model", list(known), key=chosen("model", list(known), next(iter(of))), on_change=other_model)
    with st.container(border=True):
        detail(known[name])
    remember(model=name, of=None if only in (None, EVERY) else only)


def dataset_title(name: str) -> str:
    """A dataset's name for people."""
    info = data.datasets().get(name)
    return info.title if info else name


def row(item: checkpoints.Checkpoint) -> dict[str, Any]:
    """A model as a line of the table."""
    at = figures.claimed_epsilon(item)
    return {
        "model": item.id,
        "clean": item.metrics.get("clean"),
        "FGSM": figures.accuracy_under(item.metrics, "FGSM", at),
        "PGD": figures.accuracy_under(item.metrics, "PGD", at),
        "AutoAttack": (autoattack(item, at) or {}).get("accuracy"),
        "at ε": at,
        "masked": "⚠ masked" if masking(item) else "",
        "weights": item.parameters,
        "MB": item.path.stat().st_size / 1e6,
        "trained": str(item.provenance.get("date", item.provenance.get("imported", ""))),
        "whose": "your own" if item.own else "shipped",
    }


def autoattack(item: checkpoints.Checkpoint, epsilon: float | None) -> dict[str, Any] | None:
    """What the header says of AutoAttack in L∞ at this ε, as a row like the others; None if it says nothing."""
    found = item.metrics.get("autoattack")
    if not found or found["norm"] != "linf" or epsilon is None or not math.isclose(found["epsilon"], epsilon, abs_tol=1e-6):
        return None
    return {"attack": "AutoAttack", **{name: found[name] for name in ("epsilon", "images", "accuracy")}}


def attempt(done: str, what: Callable[..., object], *arguments: object) -> bool:
    """Do it and show a message about it or its error; returns whether it succeeded."""
    try:
        what(*arguments)
        st.session_state["models message"] = (True, done)
    except (AdvcoreError, OSError) as error:
        st.session_state["models message"] = (False, str(error))
    load.catalog.clear()
    return st.session_state["models message"][0]


def table(of: Mapping[str, checkpoints.Checkpoint]) -> None:
    """The table; a click on a line shows that model below."""
    names = list(of)

    def pick() -> None:
        if chosen_lines := st.session_state[key].selection.rows:
            st.session_state["model"] = names[chosen_lines[0]]

    key = f"table {','.join(names)} {st.session_state.get('other model', 0)}"
    st.dataframe(
        [row(item) for item in of.values()],
        hide_index=True,
        placeholder="–",
        key=key,
        on_select=pick,
        selection_mode="single-row",
        column_config={
            "model": st.column_config.TextColumn(width=270),
            "clean": SHARE,
            "FGSM": SHARE,
            "PGD": SHARE,
            "AutoAttack": SHARE,
            "at ε": st.column_config.NumberColumn(format="%.3f", width=65),
            "masked": st.column_config.TextColumn(" ", width=90, help="Robust against one step, not against many."),
            "weights": st.column_config.NumberColumn(format="compact", width=75),
            "MB": st.column_config.NumberColumn(format="%.1f", width=55),
        },
    )
    st.caption(
        "Accuracy on the test split, white-box, at the model's own ε (an undefended one: the dataset's). PGD is PGD-20, and "
        "PGD-50-10 (the worst of ten starts) where a defense claims to hold. PGD and AutoAttack are measured on up to 1,000 "
        "images, all else on the whole split. "
        "The table can be sorted, searched and downloaded."
    )


def detail(item: checkpoints.Checkpoint) -> None:
    """One model: figures, actions, and everything in its header."""
    whose = ":green-badge[your own]" if item.own else ":gray-badge[shipped]"
    st.markdown(f"#### {markdown_safe(item.title)} &nbsp; {whose}")
    at, colour = figures.claimed_epsilon(item), role_colour(item.recipe.defense)
    whole = f"{item.metrics.get('images', 0):,} images"
    shown = [Tile("Clean", percent(item.metrics["clean"]), whole, colour)] if "clean" in item.metrics else []
    strongest = autoattack(item, at)
    for attack in ("AutoAttack", "FGSM", "PGD", "random noise"):
        found = strongest if attack == "AutoAttack" else figures.under(item.metrics, attack, at)
        if found is not None:
            title, images = str(found["attack"]), found.get("images", 0)
            note = f"at ε = {at:.3g}, {images:,} images"
            shown.append(Tile(title[:1].upper() + title[1:], percent(found["accuracy"]), note, colour))
    size = item.path.stat().st_size
    shown.append(Tile("Weights", compact(item.parameters), f"{size / 1e6:.1f} MB on disk"))
    tiles(shown)
    if finding := masking(item):
        st.warning(f"This model {markdown_safe(finding)}.", icon=":material/science:")
    with st.container(horizontal=True):
        actions(item)
    measured, recipe, origin = st.tabs(["Figures", "Recipe", "Where it came from"])
    with measured:
        clean = [{"attack": "none", "accuracy": item.metrics.get("clean"), "images": item.metrics.get("images")}]
        st.dataframe(
            clean
            + [found for found in item.metrics.get("attacks", []) if isinstance(found, dict)]
            + ([strongest] if strongest else []),
            hide_index=True,
            column_order=("attack", "epsilon", "accuracy", "images", "steps", "restarts"),
            placeholder="–",
            column_config={
                "accuracy": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
                "epsilon": st.column_config.NumberColumn("ε", format="%.4f"),
            },
        )
    with recipe:
        st.markdown(f"**{DEFENSES[item.recipe.defense].title}**: {markdown_safe(DEFENSES[item.recipe.defense].described)}")
        facts(item.recipe.to_dict() | ({"epsilon": epsilon_text(item.recipe.epsilon)} if item.recipe.epsilon else {}))
    with origin:
        facts({key: value for key, value in item.provenance.items() if key != "command"})
        if command := item.provenance.get("command"):
            st.caption("The command that trained it:")
            st.code(str(command)[:2000], language="bash", wrap_lines=True)


def compact(count: int) -> str:
    """A count in short form: 950, 85 K, 4.7 M."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.0f} K" if count < 1_000_000 else f"{count / 1e6:.1f} M"


def facts(values: Mapping[str, Any]) -> None:
    """Names and values as a table, all shown as plain text."""
    rows = [{"": str(key).replace("_", " ")[:60], "value": str(value)[:300]} for key, value in values.items()]
    if rows:
        st.dataframe(rows, hide_index=True)
    else:
        st.caption("Nothing is recorded.")


def actions(item: checkpoints.Checkpoint) -> None:
    """Links to where the model can be used, and the actions on a user's model."""
    dataset = item.recipe.dataset
    st.link_button("Attack it", f"/?{urlencode({'dataset': dataset, 'b': item.id})}", icon=":material/bolt:", type="primary")
    checks = urlencode({"dataset": dataset, "model": item.id})
    st.link_button("Can it be believed?", f"/believe?{checks}", icon=":material/verified:")
    onward = {"dataset": dataset, "architecture": item.recipe.architecture, "start": item.id, "job": "new"}
    st.link_button("Train it further", f"/retrain?{urlencode(onward)}", icon=":material/school:")
    st.download_button(
        "Download",
        item.path.read_bytes(),
        file_name=f"{dataset}-{item.path.name}",
        mime="application/octet-stream",
        icon=":material/download:",
        on_click="ignore",
    )
    if not item.own:
        return
    # A form sends the name with the click: neither is lost while the page is drawn again.
    with st.popover("Rename", icon=":material/edit:"), st.form(f"rename {item.id}", border=False):
        st.text_input("New name", value=item.id.split("/", 1)[1], max_chars=95, key=f"name of {item.id}")
        st.form_submit_button("Rename it", on_click=rename, args=(item.id,))
    with st.popover("Delete", icon=":material/delete:"):
        st.write("The file is removed from the disk. This cannot be undone.")
        st.button("Delete it", type="primary", on_click=attempt, args=(f"{item.id} is deleted.", checkpoints.delete, item.id))


def rename(checkpoint_id: str) -> None:
    """Give it the name from its form, and go on showing it."""
    wanted = st.session_state[f"name of {checkpoint_id}"]

    def change() -> None:
        st.session_state["model"] = checkpoints.rename(checkpoint_id, wanted).id

    attempt(f"Renamed to {wanted}.", change)


def upload() -> None:
    """Import a checkpoint of this app, or plain weights with what they belong to."""
    file = st.file_uploader("A .safetensors file", type="safetensors", key=f"import {st.session_state.get('imports', 0)}")
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
    st.button("Import", icon=":material/upload:", disabled=file is None, on_click=take, args=(file, values))
    st.caption(
        "Safetensors only: nothing in a file is ever executed. Every weight is tried on its architecture first; plain weights "
        f"are measured on {importing.TRIAL_IMAGES:,} test images, so that a wrong match shows."
    )


def named() -> dict[str, Any]:
    """What plain weights belong to, as their owner names it."""
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
        values["epsilon"] = two.number_input("at ε", 0.001, 1.0, 0.1, step=0.01, format="%.4f", key="import epsilon")
    if ARCHITECTURES[architecture].default_width is not None:
        values["width"] = three.number_input("Width", 4, 256, None, key="import width", placeholder="its usual one")
    return values


def take(file: Any, values: dict[str, Any]) -> None:
    """Import the uploaded file through a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload.safetensors"
        path.write_bytes(file.getvalue())

        def bring() -> None:
            if values:
                normalization = values.pop("normalization")
                made = importing.import_weights(path, Recipe.from_dict(values), normalization=normalization)
            else:
                made = importing.import_checkpoint(path)
            st.session_state["model"] = made.id

        if attempt("The model is imported, and shown above.", bring):  # a refused file stays for another name
            st.session_state["imports"] = st.session_state.get("imports", 0) + 1


def other_model() -> None:
    """Another model was chosen than the line of the table that is marked."""
    st.session_state["other model"] = st.session_state.get("other model", 0) + 1


if __name__ == "__main__":
    frame.run()
