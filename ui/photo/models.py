"""The models that can be attacked on a photo: checkpoints of any dataset, and published ImageNet networks."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import nn

from advcore import data
from advcore.device import pick_device
from advcore.errors import AdvcoreError
from advcore.models import pretrained
from advcore.models.checkpoints import Checkpoint
from advcore.models.pretrained import Pretrained
from advcore.photos.subjects import SUBJECTS
from ui import load, visitor
from ui.frame import choose, chosen
from ui.pickers import default_pair
from ui.words import markdown_safe

PhotoModel = Checkpoint | Pretrained
_FAILED = "download that failed"


def network(model: PhotoModel) -> nn.Module:
    """The model with its weights, ready on the best device; shared by all sessions."""
    return load.model(model) if isinstance(model, Checkpoint) else _pretrained(model.id)


@st.cache_resource(show_spinner="Loading the model …", max_entries=4)
def _pretrained(model_id: str) -> nn.Module:
    return pretrained.find(model_id).model().to(pick_device())


def photo_models() -> dict[str, dict[str, PhotoModel]]:
    """Every model by dataset and id; ImageNet is listed even where none of its weights are on this machine."""
    found: dict[str, dict[str, PhotoModel]] = {}
    for model in (*load.catalog().values(), *pretrained.available().values()):
        found.setdefault(model.dataset, {})[model.id] = model
    found.setdefault(pretrained.DATASET, {})
    return found


def about(dataset: str) -> data.Dataset:
    """What is known of a dataset, also of one that is no longer on this machine."""
    return data.datasets().get(dataset) or data.Dataset(dataset, dataset)


def size_words(model: PhotoModel) -> str:
    """What a model takes: its size, grey or in colour."""
    channels, height, width = model.shape
    return f"{width}×{height} pixels, {'grey' if channels == 1 else 'in colour'}"


def kinds() -> dict[str, list[str]]:
    """What a picture can be, with the datasets whose models are for it, those with models first; a title for each kind.

    A dataset of the user's own is a kind by itself.
    """
    known = photo_models()
    listed = [*(name for name in data.datasets() if name in known), *(name for name in known if name not in data.datasets())]
    order = sorted(listed, key=lambda name: not known[name])
    found: dict[str, list[str]] = {title: [] for title in SUBJECTS.values()}
    for name in order:
        found.setdefault(kind_of(name), []).append(name)
    return {title: names for title, names in found.items() if names}


def kind_of(dataset: str) -> str:
    """The title of the kind of picture that the dataset's models are for."""
    info = about(dataset)
    return SUBJECTS.get(info.subject, info.title)


def turn_to(kind: str) -> None:
    """Choose models for a kind of picture, unless those chosen are for it already. Before the pickers are drawn."""
    names = kinds().get(kind, [])
    if names and st.session_state.get("dataset") not in names:
        st.session_state["dataset"] = names[0]


def ask_kind(place: DeltaGenerator, then: Callable[[], None]) -> str:
    """Ask what the picture is; returns the dataset whose models are for it. `then` is called after another answer."""
    groups = kinds()
    names = [name for group in groups.values() for name in group]
    dataset = st.session_state[chosen("dataset", names, names[0])]
    st.session_state["kind"] = kind_of(dataset)

    def answered() -> None:
        turn_to(st.session_state["kind"] or kind_of(dataset))
        then()

    place.pills("What is it?", list(groups), key="kind", on_change=answered)
    return dataset


def model_pickers(dataset: str) -> list[PhotoModel]:
    """One or two models of the dataset, or of another one for the same kind; none where ImageNet has no weights here."""
    models, picked = photo_models()[dataset], []
    group = kinds()[kind_of(dataset)]
    titles = {name: about(name).title for name in group} | {pretrained.DATASET: "ImageNet · 1,000 classes"}
    st.selectbox("Trained on", group, format_func=titles.get, key="dataset")
    pair = dict.fromkeys(default_pair(models)) if models else ()
    for letter, default in zip("ab", pair, strict=False):
        options = {name: item.title for name, item in models.items() if not picked or item.shape == picked[0].shape}
        label, default = f"Model {letter.upper()}", default if default in options else None
        picked.append(models[choose(st.selectbox, label, letter, options, default, key=f"{letter}:{dataset}")])
    return picked


def offer_pretrained() -> None:
    """Say why ImageNet models are missing, and fetch one where the person asks for it. What failed is not offered again."""
    if failed := st.session_state.get(_FAILED):
        st.error(markdown_safe(failed))
        st.button("Try again", icon=":material/refresh:", on_click=lambda: st.session_state.pop(_FAILED))
    for model_id, reason in pretrained.missing().items():
        item = pretrained.zoo().get(model_id)
        words, button = st.columns([3, 1], vertical_alignment="center")
        words.markdown(markdown_safe(f"{reason} {item.about}" if item else reason))
        if not item or failed or not visitor.rules().downloads:
            continue
        if button.button("Download", icon=":material/download:", key=f"fetch {model_id}", width="stretch"):
            bar = st.progress(0.0, f"Fetching {item.title} …")
            try:
                for done, expected in pretrained.download(model_id):
                    bar.progress(done / expected, f"{item.title}: {done / 1e6:.0f} of {expected / 1e6:.0f} MB")
            except AdvcoreError as error:
                st.session_state[_FAILED] = str(error)
            st.rerun()
