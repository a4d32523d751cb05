"""The controls that several pages share, and what a page says when data or models are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from advcore import attacks, data
from advcore.device import Precision
from advcore.epsilon import read_epsilon, write_epsilon
from advcore.errors import AdvcoreError
from advcore.models import pretrained
from advcore.models.checkpoints import Checkpoint
from ui import load, visitor
from ui.frame import Finished, choose, chosen
from ui.words import markdown_safe

ANY = "any"
"""The target of an attack that moves toward no class in particular."""


def dataset_picker(*, bare: bool = False) -> data.Dataset:
    """The dataset, among those whose test images are here; those with models come first. `bare`: without a visible label."""
    here, known = load.available(), {item.recipe.dataset for item in load.catalog().values()}
    compared = {item.recipe.dataset for item in load.catalog().values() if item.defended}

    def rank(name: str) -> tuple[bool, bool]:
        return name not in known, name not in compared

    titles = {}
    for name in sorted(here, key=rank):
        notes = [" · no model yet"] * (name not in known) + [" · samples"] * here[name].samples
        titles[name] = data.datasets()[name].title + "".join(notes)
    name = choose(st.selectbox, "Dataset", "dataset", titles, bare=bare)
    return data.dataset(name)


def images_and_models(info: data.Dataset) -> tuple[data.LabeledImages, dict[str, Checkpoint]]:
    """The dataset's test images, and its checkpoints that take them; stops the page with a sentence when either is missing."""
    try:
        images = load.dataset(info.name)
    except AdvcoreError as error:
        st.error(markdown_safe(str(error)))
        _offer_fetch(info)  # what is missing or was cut off can be had again
        raise Finished from error
    fitting, reasons = {}, []
    for name, item in load.catalog(info.name).items():
        try:
            item.require(images)
            fitting[name] = item
        except AdvcoreError as error:
            reasons.append(str(error))
    for reason in reasons:
        st.warning(markdown_safe(reason))
    if not fitting:
        if info.name == "imagenet":
            st.info("No model for ImageNet is shipped. The page Your image has torchvision's, for photographs.")
            there = f"/your_image?dataset={pretrained.DATASET}"
            st.link_button("Attack a photo with torchvision's ImageNet models", there, icon=":material/photo_camera:")
        else:
            st.info(f"There is no model for {info.title} yet. Train one on the Retrain page, or choose another dataset.")
        raise Finished
    return images, fitting


def default_pair(known: Mapping[str, Checkpoint | pretrained.Pretrained]) -> tuple[str, str]:
    """A standard model and a defended one: the dataset's own pair, else two of one architecture if possible.

    The same model twice if there is only one.
    """
    for name in dict.fromkeys(item.dataset for item in known.values()):
        pair = data.BUILT_IN[name].pair if name in data.BUILT_IN else None
        if pair and {f"{name}/{part}" for part in pair} <= set(known):
            return f"{name}/{pair[0]}", f"{name}/{pair[1]}"
    standard = [item for item in known.values() if not item.defended] or list(known.values())
    for first in standard:
        for second in known.values():
            if second.defended and (second.architecture, second.shape) == (first.architecture, first.shape):
                return first.id, second.id
    others = [item.id for item in known.values() if item.id != standard[0].id]
    return standard[0].id, others[-1] if others else standard[0].id


def pick_models(info: data.Dataset, known: dict[str, Checkpoint]) -> tuple[Checkpoint, Checkpoint]:
    """Models A and B."""

    def pick(letter: str, default: str) -> Checkpoint:
        titles = {name: f"{letter.upper()}: {item.title}" for name, item in known.items()}
        label, key = f"Model {letter.upper()}", f"{letter}:{info.name}"
        name = choose(st.selectbox, label, letter, titles, default, key=key, bare=True)
        return known[name]

    a, b = default_pair(known)
    return pick("a", a), pick("b", b)


def pick_target(info: data.Dataset, images: data.LabeledImages) -> str:
    """The name of the class to reach (ANY: untargeted)."""
    titles = {ANY: "Any wrong class"} | {name: f"Toward {name}" for name in images.class_names}
    return choose(st.selectbox, "Target class", "target", titles, key=f"target:{info.name}", bare=True)


MOST_PASSES = 1000
"""Attacks that take more forward passes an image are too slow for a person who waits."""


def attack_picker(*, scope: str = "", only: Collection[str] | None = None, help: str | None = None, bare: bool = False) -> str:
    """The attack on one image, among those in `only`: its name. Slow attacks, L2 attacks and random noise are not offered.

    `bare`: without a visible label.
    """
    found = attacks.offered()
    titles = {
        name: attacks.title(spec.kind())
        for name, spec in found.items()
        if "linf" in spec.norms and spec.role != "control" and spec.passes <= MOST_PASSES and (only is None or name in only)
    }
    key = chosen("attack", list(titles), next(iter(titles)), key=f"attack:{scope}" if scope else None)
    help = help or found[st.session_state[key]].about
    return choose(st.selectbox, "Attack", "attack", titles, key=key, help=help, bare=bare)


def epsilon_field(
    place: DeltaGenerator | ModuleType, label: str, low: float, high: float, *, key: str, empty: str | None = None, **more: Any
) -> float | None:
    """A text field for an ε in [low, high], which takes `8/255` as well as `0.1`; returns the number.

    The number is `st.session_state[key]`. A text that is none leaves it as it was, and is answered below the field. `empty` is
    what an empty field says, which then means None.
    """
    state, field, refused = st.session_state, f"{key} as text", f"{key} refused"

    def read() -> None:
        text, reason = state[field].strip(), None
        try:
            value = None if empty and not text else read_epsilon(text)
            if value is not None and not low <= value <= high:
                reason = f"ε is {write_epsilon(low)} to {write_epsilon(high)} here."
        except AdvcoreError as error:
            reason = str(error)
        if reason is None:
            state[key] = value
        state[refused] = reason and (reason, state[key])

    reason, kept = state.get(refused) or (None, None)
    if field not in state or reason is None or kept != state[key]:
        reason, state[field] = None, "" if state[key] is None else write_epsilon(state[key])
    place.text_input(label, key=field, on_change=read, placeholder=empty, max_chars=20, **more)
    if reason is not None:
        used = "" if kept is None else f" Used: {write_epsilon(kept)}."
        place.error(markdown_safe(reason) + used)
    return state[key]


def about_images(images: data.LabeledImages, precision: Precision | None = None) -> None:
    """How many images these are, and behind an "i" where they come from and what they run on; offers a missing full set.

    `precision` is what the page computes in; left out, it is that of curves.
    """
    if images.samples:
        st.warning(
            f"Only {len(images)} sample images: the full test set is not on this machine.", icon=":material/photo_library:"
        )
        _offer_fetch(data.dataset(images.dataset))
    kind = "samples" if images.samples else "test images"
    credit = data.dataset(images.dataset).credit
    details = [f"Images: {markdown_safe(images.source)}.", f"Device: {load.device_text(precision)}.", credit]
    st.caption(f"{len(images):,} {kind}", help="  \n".join(filter(None, details)), width="content")


def _offer_fetch(info: data.Dataset, label: str = "Fetch the full set") -> None:
    words, offered = "Downloads it into the data folder.", info.torchvision and visitor.rules().downloads
    if offered and st.button(label, icon=":material/cloud_download:", help=words, width="stretch"):
        _fetch(info)


def offer_missing(here: Collection[str]) -> None:
    """Say which datasets' training images are missing, and offer to fetch them."""
    missing = [info for info in data.BUILT_IN.values() if info.name not in here and info.torchvision]
    if missing and visitor.rules().downloads:
        titles = ", ".join(info.title for info in missing)
        words, fetch = st.columns([4, 1], vertical_alignment="center")
        words.caption(f":material/folder_off: The training images of {titles} are not on this machine.")
        with fetch.popover("Fetch them", icon=":material/cloud_download:", width="stretch"):
            for info in missing:
                _offer_fetch(info, f"Fetch {info.title}")


def _fetch(info: data.Dataset) -> None:
    """Download with progress; if it fails, the page says why and nothing changes."""
    bar = st.progress(0.0, f"Fetching {info.title} …")
    try:
        for done, expected in data.download(info.name):
            bar.progress(min(done / expected, 1.0), f"Fetching {info.title}: {done >> 20} of {expected >> 20} MiB")
    except AdvcoreError as error:
        bar.empty()
        st.error(markdown_safe(str(error)))
        return
    st.cache_data.clear()
    st.rerun()
