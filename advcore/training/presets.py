"""Recipes to begin with: quick to see, as the studies did it, or as robust as this app knows how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from advcore import data
from advcore.models import checkpoints
from advcore.models.architectures import ARCHITECTURES
from advcore.recipe import Recipe


@dataclass(frozen=True)
class Preset:
    """A recipe with a name, and a sentence on what it is for."""

    name: str
    title: str
    about: str
    recipe: Recipe


def architectures(dataset: str) -> list[str]:
    """The architectures that can take the dataset's images, the one to begin with first."""
    info = data.dataset(dataset)
    shape = info.shape or (3, data.FOLDER_SIZE, data.FOLDER_SIZE)
    fitting = [name for name, item in ARCHITECTURES.items() if min(shape[1:]) >= item.smallest]
    first = "digits_cnn" if min(shape[1:]) < 10 else "srivathsav_cnn" if shape[0] == 1 else "general_cnn"
    return sorted(fitting, key=lambda name: (name != first, list(ARCHITECTURES).index(name)))


def presets(dataset: str, architecture: str | None = None) -> list[Preset]:
    """What the Retrain page offers for a dataset and an architecture: all three where one is quick enough for a minute."""
    first = architectures(dataset)[0]
    architecture = architecture or first
    found = [as_in_the_papers(dataset, architecture), robust(dataset, architecture)]
    return [quick(dataset), *found] if dataset in _QUICK and architecture == first else found


# Chosen so that starting, training and the final figures together stay well under a minute on two cores.
_QUICK: dict[str, dict[str, Any]] = {
    "digits": {"epsilon": 0.2, "epochs": 15, "batch_size": 64, "learning_rate": 0.003},
    "mnist": {"epsilon": 0.1, "epochs": 3, "images": 6000},
    "fashion-mnist": {"epsilon": 0.1, "epochs": 3, "images": 6000},
}


def quick(dataset: str) -> Preset:
    """FGSM training on a few thousand images, to be watched from start to end."""
    recipe = Recipe(
        dataset=dataset,
        architecture=architectures(dataset)[0],
        defense="fgsm",
        schedule="cosine",
        held_out=128,
        evaluations=8,
        **_QUICK[dataset],
    )
    few = f"{recipe.images:,} images" if recipe.images else "all images"
    return Preset(
        "quick", "See it work", f"Under a minute on two quiet cores: {few}, {recipe.epochs} epochs of clean + FGSM.", recipe
    )


# What each study says of its training; where it is silent, the shipped checkpoints' choice.
_STUDIES: dict[str, dict[str, Any]] = {
    "lee_cnn": {"epsilon": 0.3, "epochs": 6},
    "srivathsav_cnn": {"epsilon": 0.1, "epochs": 10},
    "even_deeper_cnn": {"epsilon": 0.5, "epochs": 10, "augment": ("flip", "rotate")},
    "general_cnn": {"epochs": 10},
}


def as_in_the_papers(dataset: str, architecture: str) -> Preset:
    """The architecture's own study: Adam, clean + FGSM batch at full ε; P4 goes on from the undefended network."""
    study, values = ARCHITECTURES[architecture].study, {"epsilon": data.dataset(dataset).epsilon, "epochs": 10}
    values |= _STUDIES.get(architecture, {})
    start = f"{dataset}/{architecture}-standard"
    if architecture == "srivathsav_cnn" and start in checkpoints.catalog(dataset):
        values["warm_start"] = start
    recipe = Recipe(dataset=dataset, architecture=architecture, defense="fgsm", **values)
    whose = f"study {study}" if study else "the studies"
    return Preset("papers", "As in the papers", f"{recipe.epochs} epochs of clean + FGSM at full ε, as {whose} did.", recipe)


def robust(dataset: str, architecture: str) -> Preset:
    """What holds against PGD too: PGD training on grey images, FGSM from a random start on colour ones (Wong et al. 2020)."""
    info = data.dataset(dataset)
    grey = info.shape is not None and info.shape[0] == 1
    if grey:
        small = dataset == "digits"
        values = {"defense": "pgd", "epsilon": 0.2 if small else 0.3, "epochs": 40 if small else 15, "attack_steps": 7}
        values |= {"learning_rate": 0.003, "schedule": "cyclic", "batch_size": 64 if small else 128}
        about = f"PGD-7 training at ε = {values['epsilon']:g}: it holds against iterative attacks as well."
    else:
        # A one-step attack is affordable here; its best weights are kept, should it overfit to that step.
        values = {"defense": "fgsm_rs", "epsilon": 8 / 255, "epochs": 15, "schedule": "cyclic", "keep_best": True}
        values |= {"augment": ("flip", "crop"), "learning_rate": 0.002}
        if architecture == "preact_resnet18":
            values |= {"optimizer": "sgd", "learning_rate": 0.2, "weight_decay": 5e-4}
        about = "FGSM from a random start at 8/255, watched with PGD; the weights that hold best are kept."
    return Preset("robust", "Robust", about, Recipe(dataset=dataset, architecture=architecture, **values))
