"""The models that can be attacked on a photo: checkpoints of any dataset, and torchvision's pretrained networks."""

from __future__ import annotations

import streamlit as st
from torch import nn

from advcore import data
from advcore.device import pick_device
from advcore.errors import AdvcoreError
from advcore.models import pretrained
from advcore.models.checkpoints import Checkpoint
from advcore.models.pretrained import Pretrained
from ui import load
from ui.frame import chosen
from ui.pickers import default_pair
from ui.words import markdown_safe

PhotoModel = Checkpoint | Pretrained


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


def model_pickers() -> tuple[str, list[PhotoModel]]:
    """The dataset whose models classify the photo, and one or two of them; none where ImageNet has no weights here."""
    known = photo_models()
    listed = [*(name for name in data.datasets() if name in known), *known]
    order = sorted(known, key=lambda name: (not known[name], listed.index(name)))
    titles = {name: about(name).title for name in order} | {pretrained.DATASET: "ImageNet · 1,000 classes"}
    dataset = st.selectbox("Models for", order, format_func=titles.get, key=chosen("dataset", order, order[0]))
    models, picked = known[dataset], []
    pair = dict.fromkeys(default_pair(models)) if models else ()
    for letter, default in zip("ab", pair, strict=False):
        options = [name for name, item in models.items() if not picked or item.shape == picked[0].shape]
        key = chosen(letter, options, default if default in options else options[0], key=f"{letter}:{dataset}")
        name = st.selectbox(f"Model {letter.upper()}", options, format_func=lambda name: models[name].title, key=key)
        picked.append(models[name])
    return dataset, picked


def offer_pretrained() -> None:
    """Say why ImageNet models are missing, and fetch one where the person asks for it."""
    for model_id, reason in pretrained.missing().items():
        item = pretrained.zoo().get(model_id)
        words, button = st.columns([3, 1], vertical_alignment="center")
        figures = f" It is right on {100 * item.accuracy:.1f} % of ImageNet." if item else ""
        words.markdown(markdown_safe(reason + figures))
        if item and button.button("Download", icon=":material/download:", key=f"fetch {model_id}", width="stretch"):
            bar = st.progress(0.0, f"Fetching {item.title} …")
            try:
                for done, expected in pretrained.download(model_id):
                    bar.progress(done / expected, f"{item.title}: {done / 1e6:.0f} of {expected / 1e6:.0f} MB")
            except AdvcoreError as error:
                bar.empty()
                st.error(markdown_safe(str(error)))
            else:
                st.rerun()
