"""Ready-made recipes for a dataset and an architecture: a quick one, the study's, and a robust one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from advcore import data
from advcore.defenses import DEFENSES
from advcore.epsilon import write_epsilon
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
    """The architectures that can take the dataset's images, the dataset's usual one first."""
    info = data.dataset(dataset)
    shape = info.shape or (3, data.FOLDER_SIZE, data.FOLDER_SIZE)
    fitting = [name for name, item in ARCHITECTURES.items() if min(shape[1:]) >= item.smallest]
    return sorted(fitting, key=lambda name: name != info.architecture)


def presets(dataset: str, architecture: str | None = None) -> list[Preset]:
    """What the Retrain page offers: the study's recipe and a robust one, and before them a quick one where there is one."""
    first = architectures(dataset)[0]
    architecture = architecture or first
    fast = quick(dataset) if architecture == first else None
    return [*([fast] if fast else []), as_in_the_papers(dataset, architecture), robust(dataset, architecture)]


def quick(dataset: str) -> Preset | None:
    """The standard model trained further on attacked images, short enough to watch from start to end.

    None where the dataset has no such recipe, or its standard model is not on this machine.
    """
    info, architecture = data.dataset(dataset), architectures(dataset)[0]
    start = checkpoints.catalog(dataset).get(f"{dataset}/{architecture}-standard")
    if not info.quick or start is None:
        return None
    values = {"schedule": "cosine", "held_out": 128, "evaluations": 8, "warm_start": start.id, "width": start.recipe.width}
    recipe = _recipe(info, architecture, values | dict(info.quick))
    few = f"{recipe.images:,} images" if recipe.images else "all images"
    about = (
        f"Under a minute on two quiet cores: the standard model, trained further with {_how(recipe)} at ε = "
        f"{write_epsilon(recipe.epsilon)} ({few}, {recipe.length})."
    )
    return Preset("quick", "See it work", about, recipe)


def as_in_the_papers(dataset: str, architecture: str) -> Preset:
    """The architecture's own study: Adam, clean + FGSM batch at full ε; P4 continues from the undefended network."""
    info, spec, start = data.dataset(dataset), ARCHITECTURES[architecture], f"{dataset}/{architecture}-standard"
    values = {"defense": "fgsm", "epsilon": info.epsilon, "epochs": 10} | dict(spec.study_recipe)
    if spec.study_continues and start in checkpoints.catalog(dataset):
        values["warm_start"] = start
    recipe = _recipe(info, architecture, values)
    whose = f"study {spec.study}" if spec.study else "the studies"
    about = f"{recipe.length} of clean + FGSM at full ε, the method of {whose}."
    return Preset("papers", "As in the papers", about, recipe)


def robust(dataset: str, architecture: str) -> Preset:
    """Robust against PGD too: PGD training on grey images, FGSM from a random start on colour ones (Wong et al. 2020).

    What the architecture and the dataset say of robust training comes before that, the dataset's last.
    """
    info = data.dataset(dataset)
    if info.grey:
        values = {"defense": "pgd", "epsilon": 0.3, "epochs": 15, "attack_steps": 7, "batch_size": 128}
        values |= {"learning_rate": 0.003, "schedule": "cyclic"}
    else:
        # One-step training is affordable here. It may overfit to that step: weights from before are kept then.
        values = {"defense": "fgsm_rs", "epsilon": 8 / 255, "epochs": 15, "schedule": "cyclic", "keep_best": True}
        values |= {"augment": ("flip", "crop"), "learning_rate": 0.002} | dict(ARCHITECTURES[architecture].robust_recipe)
    recipe = _recipe(info, architecture, values | dict(info.robust))
    kept = "; the latest weights are kept whose PGD accuracy is as good as the best" if recipe.keep_best else ""
    return Preset("robust", "Robust", f"{_how(recipe)} at ε = {write_epsilon(recipe.epsilon)}, {recipe.length}{kept}.", recipe)


def _how(recipe: Recipe) -> str:
    """What a recipe trains on, in a word or two."""
    known = {"pgd": f"PGD-{recipe.attack_steps}", "fgsm": "clean + FGSM"}
    return known.get(recipe.defense, DEFENSES[recipe.defense].title)


def _recipe(info: data.Dataset, architecture: str, values: dict[str, Any]) -> Recipe:
    """The recipe, without mirrored images where a mirrored one is of another class."""
    if not info.mirrored:
        values["augment"] = tuple(step for step in values.get("augment", ()) if "flip" not in step)
    return Recipe(dataset=info.name, architecture=architecture, **values)
