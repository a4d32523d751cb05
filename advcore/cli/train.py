"""`python -m advcore train`: train a model from a recipe, measure it and save it; runs under torchrun."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from advcore import attacks, distributed
from advcore.cli.options import OptionError, add_device, epsilon, progress_bar
from advcore.device import Precision, pick_device
from advcore.errors import AdvcoreError, AttackError
from advcore.models import checkpoints
from advcore.recipe import SETTINGS, Recipe, explained
from advcore.training import measure
from advcore.training.loop import train
from advcore.training.state import STATE_FILE


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options: one for each field of the recipe, named as the field is."""
    parser.argument_default = argparse.SUPPRESS  # an option that is not given leaves the field of `--recipe` as it is
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="a recipe as JSON; options below override it")
    for item in fields(Recipe):
        parser.add_argument(f"--{item.name.replace('_', '-')}", **_recipe_argument(item.name, str(item.type)))
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the checkpoint goes (default: among your own)")
    parser.add_argument("--job", type=Path, metavar="DIR", help="carry out the job in that folder, as the app does")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the state of the run is kept")
    parser.add_argument("--pgd", type=_pgd, metavar="STEPS-RESTARTS", help="the PGD of the final figures (default: 20-1)")
    add_device(parser)
    parser.set_defaults(run=_run)


def _recipe_argument(name: str, kind: str) -> dict[str, Any]:
    """How a field of the recipe is read from the command line."""
    about = {"help": explained(name)}
    if name in SETTINGS and SETTINGS[name].epsilon:
        return about | {"type": epsilon}
    if kind == "bool":
        return about | {"action": "store_true"}
    if kind.startswith("tuple"):
        return about | {"nargs": "*"}
    return about | {"type": int if kind.startswith("int") else float if kind.startswith("float") else str}


def _pgd(text: str) -> attacks.PGD:
    """`50-10` as PGD with 50 steps and 10 restarts."""
    try:
        steps, restarts = (int(part) for part in text.split("-"))
    except ValueError as error:
        raise OptionError(f"'{text}' is not a PGD: write STEPS-RESTARTS, for example 50-10.") from error
    try:
        return attacks.PGD(steps=steps, restarts=restarts)
    except AttackError as error:
        raise OptionError(str(error)) from error


def _run(options: argparse.Namespace) -> int:
    given = vars(options)
    if "job" in given:
        from advcore.jobs import worker  # needs psutil, which a machine that only trains may lack

        return worker.run(given["job"])
    recipe = recipe_from(given)
    more = {name: given[name] for name in ("pgd", "folder", "device", "precision") if name in given}
    train_to(given.get("out"), recipe, **more)
    return 0


def recipe_from(given: dict[str, Any]) -> Recipe:
    """The recipe of the options: the file `--recipe`, overridden by the fields that were given."""
    values = Recipe.from_json(given["recipe"].read_bytes()).to_dict() if "recipe" in given else {}
    return Recipe.from_dict(values | {item.name: given[item.name] for item in fields(Recipe) if item.name in given})


def train_to(
    path: Path | None,
    recipe: Recipe,
    *,
    pgd: attacks.PGD | None = None,
    folder: Path | None = None,
    device: str | None = None,
    precision: Precision | None = None,
) -> None:
    """Train, measure and save at `path`, else among the user's own; the run's state is in `folder` until that is written."""
    place = distributed.device() or pick_device(device)
    folder = folder or _state_folder(recipe)
    leader = distributed.world().rank == 0
    if path and path.is_dir():
        raise AdvcoreError(f"{path} is a folder: give the checkpoint a file name.")
    if leader:  # before the training: if the folder cannot be made, hours would be lost
        (path or checkpoints.free_path(recipe.checkpoint_id)).parent.mkdir(parents=True, exist_ok=True)
    progress = None
    for progress in train(recipe, device=place, precision=precision, folder=folder):
        if leader:
            _print_progress(progress)
    if not leader or progress is None or progress.model is None:
        return
    saved = measure.finish(
        recipe,
        progress.model,
        path,
        seconds=progress.seconds,
        device=place,
        precision=progress.precision,
        pgd=pgd or attacks.PGD(steps=20),
        history=progress.history,
    )
    (folder / STATE_FILE).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the user's folder may hold other files
        folder.rmdir()
    print(f"Saved {saved.path}")
    print(json.dumps(saved.metrics), flush=True)


def _state_folder(recipe: Recipe) -> Path:
    """Where the state of a run is kept: the same recipe finds it again."""
    digest = hashlib.sha256(recipe.to_json().encode()).hexdigest()[:8]
    return checkpoints.runs_root() / f"{recipe.checkpoint_id.replace('/', '-')}-{digest}"


def _print_progress(progress: Any) -> None:
    if progress.evaluation:
        seen = progress.evaluation
        print(
            f"step {progress.step}/{progress.steps}  loss {progress.loss:.3f}  clean {seen.clean:.1%}  "
            f"FGSM {seen.fgsm:.1%}  PGD-10 {seen.pgd:.1%} at ε {seen.epsilon:.3g}  "
            f"{progress.images_per_second:.0f} images/s  {progress.seconds_left:.0f} s left",
            flush=True,
        )
    if progress.warning:
        print(f"  note: {progress.warning}", flush=True)
    if progress.model is None and not progress.evaluation:
        progress_bar(progress.step / progress.steps, f"step {progress.step}/{progress.steps}, loss {progress.loss:.3f}")
