"""The models a person's own photo is held up to: checkpoints of any dataset, and torchvision's pretrained networks."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from torch import nn

from advcore import data
from advcore.device import pick_device
from advcore.errors import AdvcoreError
from advcore.models import checkpoints, pretrained
from advcore.models.architectures import Shape
from ui import load
from ui.frame import chosen
from ui.pickers import FIRST
from ui.words import markdown_safe


@dataclass(frozen=True)
class Sitter:
    """A model to hold a photo up to: a checkpoint, or one of torchvision's pretrained networks."""

    id: str
    title: str
    dataset: str
    defense: str
    shape: Shape
    class_names: tuple[str, ...]
    checkpoint: checkpoints.Checkpoint | None = None

    def model(self) -> nn.Module:
        """The model, ready on the best device; shared by all sessions."""
        return _pretrained(self.id) if self.checkpoint is None else load.model(self.checkpoint)

    @property
    def defended(self) -> bool:
        return self.defense not in {"standard", "distill"}


@st.cache_resource(show_spinner="Loading the model …", max_entries=4)
def _pretrained(model_id: str) -> nn.Module:
    return pretrained.find(model_id).model().to(pick_device())


def sitters() -> dict[str, dict[str, Sitter]]:
    """Every model there is, by dataset and id; ImageNet's place is kept even where no weights are here."""
    found: dict[str, dict[str, Sitter]] = {}
    for item in load.catalog().values():
        recipe = item.recipe
        sitter = Sitter(item.id, item.title, recipe.dataset, recipe.defense, item.shape, item.class_names, item)
        found.setdefault(recipe.dataset, {})[item.id] = sitter
    for other in pretrained.available().values():
        sitter = Sitter(other.id, other.title, pretrained.DATASET, "standard", other.shape, other.class_names)
        found.setdefault(pretrained.DATASET, {})[other.id] = sitter
    found.setdefault(pretrained.DATASET, {})
    return found


def default_pair(models: dict[str, Sitter]) -> tuple[str, ...]:
    """A standard model and a defended one to begin with, of the same architecture where there are such; fewer if need be."""
    if len(models) < 2:
        return tuple(models)
    standard = [item for item in models.values() if item.defense == "standard"] or list(models.values())
    for first in standard:
        for second in models.values():
            if second.defended and first.shape == second.shape and _architecture(first) == _architecture(second):
                return first.id, second.id
    return standard[0].id, next(name for name in models if name != standard[0].id)


def _architecture(sitter: Sitter) -> str | None:
    return sitter.checkpoint.recipe.architecture if sitter.checkpoint else None


def about(dataset: str) -> data.Dataset:
    """What is known of a dataset, also of one that is no longer on this machine."""
    return data.datasets().get(dataset) or data.Dataset(dataset, dataset, None)


def size_words(sitter: Sitter) -> str:
    """What a model takes: its size, grey or in colour."""
    channels, height, width = sitter.shape
    return f"{width}×{height} pixels, {'grey' if channels == 1 else 'in colour'}"


def model_pickers() -> tuple[str, list[Sitter]]:
    """The dataset whose models look at the photo, and one or two of them."""
    known = sitters()
    order = sorted(known, key=lambda name: (not known[name], FIRST.index(name) if name in FIRST else len(FIRST)))
    titles = {name: about(name).title for name in order} | {pretrained.DATASET: "ImageNet · 1,000 classes"}
    dataset = st.selectbox("Models for", order, format_func=titles.get, key=chosen("dataset", order, order[0]))
    models, picked = known[dataset], []
    for letter, default in zip("ab", default_pair(models), strict=False):
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
