"""Measuring what the studies published: the models, the attacks, the counts, and the record of them."""

from __future__ import annotations

import datetime
import hashlib
import platform
import shutil
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from advcore import __version__, data
from advcore.attacks import FGSM, PGD, Attack, CarliniWagner, input_gradient, spec_of
from advcore.attacks.study import OutputGradientFGSM, UnclippedFGSM
from advcore.device import Precision, describe, pick_device
from advcore.errors import CheckpointError, DataError
from advcore.evaluation.curves import default_batch_size, predictions
from advcore.models import checkpoints
from advcore.papers.p4 import LEAKED
from advcore.papers.record import PRECISION, Measurement, Record, packed
from advcore.papers.study import MARGIN, ZERO, Study
from advcore.recipe import Recipe
from advcore.training import loop, shipped

# From a weight of 0.1: of 50 training images of each of four networks, three searches from there left 39, 20, 28 and 0 right,
# nine from the usual 0.001 left 38, 20, 27 and 11.
_CW = CarliniWagner(searches=3, weight=0.1)
ATTACKS: dict[str, Attack] = {
    spec_of(attack).title: attack for attack in (FGSM(), UnclippedFGSM(), OutputGradientFGSM(), PGD(steps=20), _CW)
} | {MARGIN: PGD(steps=20, loss="margin")}
"""How the studies' attacks are measured, by the title of their entry."""
QUICK = {"FGSM": 500, "PGD": 100, MARGIN: 100, "C&W": 10}
"""On how many images the quick form measures each attack."""


def recipe(model: str, seed: int = 0) -> Recipe:
    """The recipe of a shipped model, with another seed; raises CheckpointError for an id that no recipe has."""
    for item in shipped.SHIPPED:
        if item.recipe.checkpoint_id == model:
            return replace(item.recipe, seed=seed)
    raise CheckpointError(f"No recipe makes '{model[:80]}'; add one to advcore/training/shipped.py.")


@dataclass(frozen=True)
class Measuring:
    """Progress: the share done, what is being measured, and at the end the record."""

    done: float
    words: str
    record: Record | None = None


def measure(
    of: Study,
    *,
    quick: bool = False,
    device: torch.device | None = None,
    precision: Precision = PRECISION,
    only: Collection[str] = (),
) -> Iterator[Measuring]:
    """Measure what a study or a question needs, yielding progress; the last one holds the record, which is not yet written.

    FGSM and clean images on the whole test split, PGD-20 and C&W on the study's number of first images; `quick` on 500, 100
    and 10, with nothing trained. Models of other seeds than the shipped ones are trained each time, and so are those that they
    learn or start from; a measurement that was stopped finds their states again. `only` measures these models and no others.
    Attacks are made in fp32, answers in `precision`. A model or a dataset that is not here is left out and named in the record;
    raises CheckpointError when no model is here, or when one of `only` is none of the study's.
    """
    if unknown := sorted(set(only) - set(of.models)):
        raise CheckpointError(f"{of.key} does not measure '{unknown[0][:80]}'; its models: {', '.join(of.models)}.")
    began, device = time.perf_counter(), device or pick_device()
    tasks = {task: epsilons for task, epsilons in _tasks(of, quick).items() if not only or task[0] in only}
    work = {task: _work(of, task[2], len(epsilons), quick) for task, epsilons in tasks.items()}
    missing, found = dict[str, str](), list[Measurement]()
    spent, whole = 0.0, sum(work.values())
    loaded: dict[tuple[str, int], nn.Module] = {}
    trained: dict[tuple[str, int], nn.Module] = {}
    states = checkpoints.runs_root() / "papers" / of.key
    for (model, seed, attack), epsilons in tasks.items():
        words = f"{model}{f', seed {seed}' if seed else ''} under {attack}"
        yield Measuring(spent / whole, words)
        try:
            if model not in missing and (model, seed) not in loaded:
                loaded = {(model, seed): (yield from _model(model, seed, quick, trained, states, spent / whole))}
        except (CheckpointError, DataError) as error:
            missing[model] = str(error)
        if model not in missing:
            images, parts, done = data.test_split(model.split("/")[0])[: _count(of, attack, quick)], [], 0
            for some in _right(loaded[model, seed], images, attack, epsilons, device, precision):
                parts.append(some)
                done += some.shape[1]
                yield Measuring((spent + work[model, seed, attack] * done / len(images)) / whole, words)
            for epsilon, right in zip(epsilons, torch.cat(parts, 1).numpy(), strict=True):
                found.append(Measurement(model, attack, epsilon, seed, len(images), int(right.sum()), packed(right)))
        spent += work[model, seed, attack]
    if not found:
        raise CheckpointError(next(iter(missing.values())))
    record = Record(
        key=of.key,
        command=command(of, quick, precision),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        device=describe(device, precision),
        precision=precision,
        versions={"torch": torch.__version__, "python": platform.python_version(), "advcore": __version__},
        seconds=round(time.perf_counter() - began, 1),
        missing=missing,
        measured=tuple(found),
    )
    if not quick and not only:
        shutil.rmtree(states, ignore_errors=True)
    yield Measuring(1.0, "done", record)


def command(of: Study, quick: bool, precision: Precision) -> str:
    """The command line that measures a study in this way."""
    options = (" --quick" if quick else "") + ("" if precision == PRECISION else f" --precision {precision}")
    return f"python -m advcore papers run {of.key}{options}"


def _tasks(of: Study, quick: bool) -> dict[tuple[str, int, str], list[float]]:
    """What is measured: by model, seed and attack, the ε."""
    tasks: dict[tuple[str, int, str], list[float]] = {}
    for part in of.accuracies():
        for seed in of.seeds[:1] if quick else of.seeds:
            tasks.setdefault((part.model, seed, part.attack), []).append(part.epsilon)
    return dict(sorted(tasks.items()))


def _count(of: Study, attack: str, quick: bool) -> int | None:
    """On how many of the first test images an attack is measured; None: on all."""
    if quick:
        return QUICK.get(attack, QUICK["FGSM"])
    return {"PGD": of.pgd_images, MARGIN: of.pgd_images, ZERO: of.pgd_images, "C&W": of.cw_images}.get(attack)


def _work(of: Study, attack: str, epsilons: int, quick: bool) -> float:
    """Passes through a network, roughly: a gradient is about three."""
    made = ATTACKS.get(attack, ATTACKS["FGSM"])
    passes = made.passes * (1 if made.single_run else epsilons) + epsilons
    return float(passes * (_count(of, attack, quick) or 10_000))


def _right(
    model: nn.Module,
    images: data.LabeledImages,
    attack: str,
    epsilons: Sequence[float],
    device: torch.device,
    precision: Precision = PRECISION,
) -> Iterator[torch.Tensor]:
    """Which images the model gets right at each ε, bool E×N, batch after batch; of `ZERO` which have a gradient of zero."""
    if attack == ZERO:
        net = model.to(device)
        size = default_batch_size(images.shape, device)
        for part in (images[start : start + size] for start in range(0, len(images), size)):
            gradient = input_gradient(net, part.pixels(device), part.labels.to(device))
            yield (gradient.flatten(1) == 0).all(1).cpu().expand(len(epsilons), -1)
        return
    for seen in predictions(model, images, ATTACKS[attack], epsilons, device=device, precision=precision):
        yield seen.predicted == seen.labels


# --- the models ------------------------------------------------------------------------------------------------------------


def _model(
    model: str, seed: int, quick: bool, trained: dict[tuple[str, int], nn.Module], states: Path, done: float
) -> Generator[Measuring, None, nn.Module]:
    """Return a model, trained first where it is not shipped; meanwhile yields progress, with `done` as the share done.

    What a model of another seed learns or starts from has that seed too; `trained` keeps what was trained, and
    the folder `states` the state of each training, so that a measurement that was stopped goes on from there. Raises
    CheckpointError when it is not shipped yet, DataError when its images are not here.
    """
    dataset = model.split("/")[0]
    if data.find(dataset, "test").samples:
        raise DataError(f"The test images of {dataset} are not here; `python -m advcore data` says where to put them.")
    if not seed and model != LEAKED:
        return shipped_model(model).model()
    if quick:
        raise CheckpointError(f"{model} has no checkpoint and is trained each time; run without --quick.")
    of, images = _leaked(seed) if model == LEAKED else (recipe(model, seed), None)
    given: dict[str, nn.Module] = {}
    for name in filter(None, (of.teacher, of.warm_start)) if model != LEAKED else ():
        given[name] = yield from _model(name, seed, quick, trained, states, done)
    if (model, seed) not in trained:
        folder = states / hashlib.sha256(f"{model} {of.to_json()}".encode()).hexdigest()[:16]
        for progress in loop.train(of, images=images, given=given, folder=folder):
            if progress.model:
                trained[model, seed] = progress.model
            else:
                yield Measuring(done, f"Training {model} with seed {seed}: step {progress.step} of {progress.steps}")
    return trained[model, seed]


def shipped_model(model: str) -> checkpoints.Checkpoint:
    """A shipped checkpoint; raises CheckpointError, with the command that trains it, when it is not there."""
    item = checkpoints.catalog(model.split("/")[0]).get(model)
    if item is None or item.own:
        raise CheckpointError(f"{model} is not shipped yet; train it with `python -m advcore checkpoints --rebuild {model}`.")
    return item


def _leaked(seed: int) -> tuple[Recipe, data.LabeledImages]:
    """P4's listing: FGSM images made of the test split against the baseline, trained on for 10 epochs with the clean ones.

    The fault: the model is tested on images it was trained on. A Recipe cannot describe this.
    """
    start = f"{LEAKED.rsplit('-', 2)[0]}-standard"
    baseline, epsilon = shipped_model(start).model(), float(LEAKED.rsplit("-", 1)[1])
    clean, test = data.load("mnist", "train"), data.test_split("mnist")
    parts = zip(test.images.split(500), test.labels.split(500), strict=True)
    attacked = [FGSM().perturb(baseline, some.float() / 255, labels, epsilon) for some, labels in parts]
    both = torch.cat([clean.images, torch.cat(attacked).mul(255).round().to(torch.uint8)])
    recipe = Recipe(dataset="mnist", architecture="srivathsav_cnn", epochs=10, held_out=0, warm_start=start, seed=seed)
    return recipe, replace(clean, images=both, labels=torch.cat([clean.labels, test.labels]))
