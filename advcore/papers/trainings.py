"""Measuring the map of a study: every network of the grid trained once, and counted on held-out images."""

from __future__ import annotations

import contextlib
import datetime
import platform
import time
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from advcore import __version__, data
from advcore.attacks import FGSM
from advcore.device import describe, fastest_precision, pick_device
from advcore.errors import AdvcoreError, DataError
from advcore.evaluation.curves import robustness_curve
from advcore.papers import grid
from advcore.papers.record import PRECISION, Measurement, Record
from advcore.papers.replication import Measuring
from advcore.papers.study import Study
from advcore.training import loop


def measure(of: Study) -> Iterator[Measuring]:
    """Train and measure every setting of a study's map, yielding progress; after each dataset with the record so far.

    Datasets that the recorded map already holds are kept. Trained in the fastest precision; attacks and answers in fp32. The
    record is not yet written. Raises DataError where a dataset is not here or has too few images.
    """
    began, device = time.perf_counter(), pick_device()
    training = fastest_precision(device.type)
    old = None
    with contextlib.suppress(AdvcoreError):  # a damaged one is measured again
        old = grid.read(of)
    measured, before = (list(old.measured), old.seconds) if old else ([], 0.0)
    threads = torch.get_num_threads()

    def recorded() -> Record:
        return Record(
            key=grid.key(of),
            command=grid.command(of),
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            device=f"{describe(device, PRECISION)}, {threads} thread{'s' if threads > 1 else ''}, trained in {training}",
            precision=PRECISION,
            versions={"torch": torch.__version__, "python": platform.python_version(), "advcore": __version__},
            seconds=round(before + time.perf_counter() - began, 1),
            missing={},
            measured=tuple(measured),
        )

    for place, dataset in enumerate(of.mapped):
        settings = grid.tried(of, dataset)
        if all(setting.triple(old) for setting in settings):
            continue
        train, test = data.load(dataset, "train"), data.load(dataset, "test")
        if len(train) < max(grid.IMAGES) + grid.HELD_OUT or test.samples:
            raise DataError(f"The map needs all images of {dataset}; `python -m advcore data` says where to put them.")
        # MNIST's training images are not in a random order: the last ones are easier than the test images.
        train = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))]
        held_out = train[len(train) - grid.HELD_OUT :]
        trained: dict[str, nn.Module] = {}
        for number, setting in enumerate(settings):
            yield Measuring((place + number / len(settings)) / len(of.mapped), f"{setting.dataset}, {setting.words}")
            plain, _ = setting.recipes
            for recipe in setting.recipes:
                name = grid.name(recipe, grid.HELD)
                if name in trained:
                    continue
                given = {plain.checkpoint_id: trained[grid.name(plain, grid.HELD)]} if recipe.warm_start else None
                *_, last = loop.train(recipe, images=train, given=given, device=device, precision=training)
                trained[name] = last.model
                epsilons = [setting.epsilon] if recipe != plain else sorted({each.epsilon for each in settings})
                measured += _counts(name, last.model, held_out, epsilons, recipe.seed, device)
        best = grid.nearest(of, recorded(), dataset)
        for recipe in best.recipes if best else ():
            model = trained[grid.name(recipe, grid.HELD)]
            measured += _counts(grid.name(recipe, grid.TEST), model, test, [best.epsilon], recipe.seed, device)
        yield Measuring((place + 1) / len(of.mapped), f"{dataset} is measured", recorded())


def _counts(
    name: str, model: nn.Module, images: data.LabeledImages, epsilons: Iterable[float], seed: int, device: torch.device
) -> Iterator[Measurement]:
    """How many images a network gets right without an attack and under FGSM at each ε."""
    *_, curve = robustness_curve(model, images, FGSM(), [0.0, *epsilons], device=device, precision=PRECISION)
    for epsilon, right in zip(curve.epsilons, curve.correct, strict=True):
        yield Measurement(name, "FGSM", epsilon, seed, curve.total, right)
