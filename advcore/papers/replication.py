"""Measuring what the studies published: what is needed, how it is measured, and the record of it.

A record (`recorded/P1.json` …, beside the code) holds counts and where they come from; `verdicts.py` computes every table,
difference and verdict from it.
"""

from __future__ import annotations

import datetime
import functools
import json
import math
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from advcore import __version__, data
from advcore.attacks import FGSM, PGD, Attack
from advcore.attacks.study import OutputGradientFGSM, UnclippedFGSM, carlini_wagner
from advcore.device import Precision, describe, pick_device
from advcore.errors import AdvcoreError, CheckpointError, DataError
from advcore.evaluation.curves import Predictions, predictions, wilson_interval
from advcore.files import write_whole
from advcore.models import checkpoints
from advcore.papers import studies
from advcore.papers.studies import Entry, Figure, Reading, Study, Term
from advcore.recipe import Recipe
from advcore.training import loop, shipped
from advcore.training.measure import provenance

ATTACKS: dict[str, Attack] = {
    "FGSM": FGSM(),
    "FGSM, not clipped": UnclippedFGSM(),
    "FGSM, output gradient": OutputGradientFGSM(),
    "PGD": PGD(steps=20),
}
CARLINI_WAGNER = "C&W"
PRECISION: Precision = "fp32"  # as the headers' figures: the same model shows the same number on every page
_GRID = 8  # ε of the curve drawn for every model


@dataclass(frozen=True)
class _Counts:
    """How many of the first test images an attack is measured on, and on how many a test measures it again."""

    all: int
    quick: int
    slice: int


_MANY = 10**9
_COUNTS = {"PGD": _Counts(300, 100, 20), CARLINI_WAGNER: _Counts(50, 10, 10)}
_FGSM_COUNTS = _Counts(_MANY, 500, 200)


@dataclass(frozen=True, order=True)
class Wanted:
    """One thing to measure. ε is L∞ in pixel space (clean: FGSM at 0), of C&W the budget in L2."""

    model: str
    attack: str
    epsilon: float
    seed: int = 0


@dataclass(frozen=True)
class Measurement:
    """What was found: `right` of the first `images` test images, of which `slice` says (how many first ones, right ones).

    `median` is C&W's median L2 distance over the images that the model gets right when they are clean.
    """

    model: str
    attack: str
    epsilon: float
    seed: int
    images: int
    right: int
    slice: tuple[int, int]
    median: float | None = None

    @property
    def percent(self) -> float:
        return 100 * self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy, in percent."""
        low, high = wilson_interval(self.right, self.images)
        return 100 * low, 100 * high


@dataclass(frozen=True)
class Record:
    """The measurements for a study or a question, and where they come from. `missing` says why a model was not measured."""

    key: str
    command: str
    date: str
    device: str
    versions: dict[str, str]
    quick: bool
    seconds: float
    missing: dict[str, str]
    measured: tuple[Measurement, ...]

    @property
    def seeds(self) -> list[int]:
        return sorted({item.seed for item in self.measured})

    @property
    def counts(self) -> dict[str, int]:
        """On how many images each attack was measured; of several datasets, on how many at most."""
        found: dict[str, int] = {}
        for item in self.measured:
            found[item.attack] = max(item.images, found.get(item.attack, 0))
        return found

    def to_json(self) -> str:
        """The record with one measurement a line, so that a difference between two of them can be read."""
        head = {name: value for name, value in asdict(self).items() if name != "measured"} | {"seeds": self.seeds}
        lines = [f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
        rows = [{name: value for name, value in asdict(item).items() if value is not None} for item in self.measured]
        inside = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in rows)
        return "{\n" + ",\n".join([*lines, f'  "measured": [\n{inside}\n  ]']) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """The record in a JSON text; raises AdvcoreError when it is none."""
        try:
            values = json.loads(text)
            rows = [Measurement(**row | {"slice": tuple(row["slice"])}) for row in values["measured"]]
            fields = {name: values[name] for name in cls.__dataclass_fields__ if name != "measured"}
            return cls(**fields, measured=tuple(rows))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise AdvcoreError(
                f"A record of measurements is damaged ({str(error)[:80]}); measure anew with `python -m advcore papers run`."
            ) from error

    def find(self, wanted: Wanted) -> Measurement | None:
        """The measurement of something, or None."""
        return self._found.get(wanted)

    @functools.cached_property
    def _found(self) -> dict[Wanted, Measurement]:
        return {Wanted(item.model, item.attack, item.epsilon, item.seed): item for item in self.measured}


def entry(key: str) -> Entry:
    """The study or question with that key, in whatever case; raises AdvcoreError when there is none."""
    if key.upper() not in studies.ENTRIES:
        raise AdvcoreError(f"There is no study '{key[:40]}'; choose one of {', '.join(studies.ENTRIES)}.")
    return studies.ENTRIES[key.upper()]


# --- the records ---------------------------------------------------------------------------------------------------------


def recorded_root() -> Path:
    """Where the records are: `$ADVCORE_RECORDED`, else `recorded/` beside this file."""
    return Path(os.environ.get("ADVCORE_RECORDED") or Path(__file__).resolve().parent / "recorded")


def recorded(key: str) -> Record | None:
    """What was measured for a study or question, or None; raises AdvcoreError when the file is damaged."""
    path = recorded_root() / f"{key}.json"
    return Record.from_json(path.read_text(encoding="utf-8")) if path.exists() else None


def write(record: Record) -> Path:
    """Keep a record in the place of the one before; its path."""
    path = recorded_root() / f"{record.key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, record.to_json())
    return path


# --- what to measure -------------------------------------------------------------------------------------------------------


def _pixels(epsilon: float) -> float:
    """ε as it is measured and looked up: six decimals tell a quarter of a thousandth of a grey level."""
    return round(epsilon, 6)


def pixel_epsilon(figure: Figure, reading: Reading) -> float:
    """A figure's ε under a reading, in pixel space."""
    return _pixels(figure.epsilon * reading.factor)


def wanted(of: Entry, *, quick: bool = False) -> list[Wanted]:
    """Everything that a study's table, charts and claims, or a question's, are computed from."""
    found = dict.fromkeys(_of_study(of) if isinstance(of, Study) else _of_question(of, quick))
    for claim in of.claims:
        for comparison in claim.comparisons:
            for term in (*comparison.more, *comparison.less):
                found |= dict.fromkeys(parts_of(term, 0))
    return sorted(found)


def _of_study(study: Study) -> Iterator[Wanted]:
    for figure in study.figures:
        for reading in study.readings_of(figure):
            model, epsilon = reading.model(figure.model), pixel_epsilon(figure, reading)
            yield from parts_of(Term(model, figure.measures, epsilon, fgsm=reading.fgsm), 0)
            if figure.measures in {"FGSM", "drop"}:  # beside every single step, what many steps leave
                yield Wanted(model, "PGD", epsilon)
        if figure.measures != "clean":
            yield from (Wanted(figure.model, "FGSM", epsilon) for epsilon in grid(study, figure.dataset))


def _of_question(question: studies.Question, quick: bool) -> Iterator[Wanted]:
    for seed in question.seeds[:1] if quick else question.seeds:
        for subject in question.subjects:
            for attack in question.attacks:
                yield from parts_of(Term(subject.model, attack, subject.epsilon), seed)


def parts_of(term: Term, seed: int) -> Iterator[Wanted]:
    """What a quantity is made of; of a drop the clean accuracy comes first."""
    if term.measures in {"clean", "drop"}:
        yield Wanted(term.model, "FGSM", 0.0, seed)
    if term.measures in {"FGSM", "drop"}:
        yield Wanted(term.model, term.fgsm, _pixels(term.epsilon), seed)
    if term.measures == "PGD":
        yield Wanted(term.model, "PGD", _pixels(term.epsilon), seed)
    if term.measures == CARLINI_WAGNER:
        yield Wanted(term.model, CARLINI_WAGNER, studies.L2_BUDGETS[term.model.split("/")[0]], seed)


def grid(study: Study, dataset: str) -> list[float]:
    """The ε at which FGSM is measured for a study's curves: from 0 to the end of the track, or the study's own end."""
    literal = [pixel_epsilon(figure, study.readings[0]) for figure in study.figures if figure.dataset == dataset]
    end = max([data.dataset(dataset).epsilon_max, *literal])
    return [_pixels(end * place / _GRID) for place in range(_GRID + 1)]


def recipe(model: str, seed: int = 0) -> Recipe:
    """The recipe of a shipped model, with another seed; raises CheckpointError for an id that no recipe has."""
    for item in shipped.SHIPPED:
        if item.recipe.checkpoint_id == model:
            return replace(item.recipe, seed=seed)
    raise CheckpointError(f"No recipe makes '{model[:80]}'; add one to advcore/shipped.py.")


# --- measuring -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measuring:
    """How far it is: the share done, what is being measured, and at the end the record."""

    done: float
    words: str
    record: Record | None = None


def measure(of: Entry, *, quick: bool = False, command: str = "", device: torch.device | None = None) -> Iterator[Measuring]:
    """Measure what a study or a question needs, yielding progress; the last one holds the record, which is not yet written.

    FGSM and clean images on the whole test split, PGD-20 on its first 300 images, C&W on 50; `quick` on 500, 100 and 10,
    with nothing trained. Other seeds than the shipped models' are trained first. Attacks are made in fp32, answers as
    `predictions` gives them by default. A model or a dataset that is not here is left out and named in the record; raises
    CheckpointError when no model at all is here.
    """
    began, device = time.perf_counter(), device or pick_device()
    missing, models, found = {}, dict[tuple[str, int], nn.Module](), list[Measurement]()
    groups: dict[tuple[str, int, str], list[float]] = {}
    for item in wanted(of, quick=quick):
        groups.setdefault((item.model, item.seed, item.attack), []).append(item.epsilon)
    work = {key: _work(key[2], epsilons, quick) for key, epsilons in groups.items()}
    spent, whole = 0.0, sum(work.values())
    for (model, seed, attack), epsilons in groups.items():
        words = f"{model}{f', seed {seed}' if seed else ''} under {attack}"
        yield Measuring(spent / whole, words)
        try:
            if (model, seed) not in models and model not in missing:
                for training_words in _obtain(model, seed, quick, models):
                    yield Measuring(spent / whole, training_words)
        except (CheckpointError, DataError) as error:
            missing[model] = str(error)
        if model not in missing:
            images = _images(model, attack, quick)
            for part, rows in _measured(models[model, seed], images, (model, seed, attack), epsilons, device):
                found += rows
                yield Measuring((spent + part * work[model, seed, attack]) / whole, words)
        spent += work[model, seed, attack]
    if not found:
        raise CheckpointError(next(iter(missing.values()), "Nothing is to be measured."))
    yield Measuring(1.0, "done", _record(of.key, command, device, quick, time.perf_counter() - began, missing, found))


def _record(
    key: str,
    command: str,
    device: torch.device,
    quick: bool,
    seconds: float,
    missing: dict[str, str],
    found: Sequence[Measurement],
) -> Record:
    versions = {"torch": torch.__version__, "python": platform.python_version(), "advcore": __version__}
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    command = command or f"python -m advcore papers run {key}{' --quick' if quick else ''}"
    return Record(
        key,
        command,
        date,
        describe(device, PRECISION),
        versions,
        quick,
        round(seconds, 1),
        missing,
        tuple(found),
    )


def _work(attack: str, epsilons: Sequence[float], quick: bool) -> float:
    """Passes through a network, roughly: a gradient is about three."""
    passes = {"PGD": 61 * len(epsilons), CARLINI_WAGNER: 3000}.get(attack, 3 + len(epsilons))
    counts = _COUNTS.get(attack, _FGSM_COUNTS)
    return float(passes * (counts.quick if quick else min(counts.all, 10_000)))


def _images(model: str, attack: str, quick: bool) -> data.LabeledImages:
    """The first test images, as many as the attack is measured on."""
    counts = _COUNTS.get(attack, _FGSM_COUNTS)
    return _test_split(model.split("/")[0])[: counts.quick if quick else counts.all]


def _test_split(dataset: str) -> data.LabeledImages:
    return _loaded(dataset, data.find(dataset, "test"))


@functools.lru_cache(maxsize=2)
def _loaded(dataset: str, source: data.Source) -> data.LabeledImages:
    """A test split, decoded once for each place it is found in."""
    return data.load(dataset, "test")


def _measured(
    model: nn.Module, images: data.LabeledImages, of: tuple[str, int, str], epsilons: list[float], device: torch.device
) -> Iterator[tuple[float, list[Measurement]]]:
    """(share done, measurements once all is): one attack on one model, at every ε."""
    name, seed, attack = of
    few = min(len(images), _COUNTS.get(attack, _FGSM_COUNTS).slice)
    if attack == CARLINI_WAGNER:
        parts = [images[start : start + few] for start in range(0, len(images), few)]
        distances, net = [], model.to(device)
        for part in parts:
            distances.append(carlini_wagner(net, part.pixels(device), part.labels.to(device)).cpu())
            yield len(distances) / len(parts), []
        distance, (budget,) = torch.cat(distances), epsilons
        held = distance > budget
        median = distance[distance > 0].median().item() if (distance > 0).any() else 0.0
        shown = round(median, 4) if math.isfinite(median) else None
        counts = len(images), int(held.sum()), (few, int(held[:few].sum()))
        yield 1.0, [Measurement(name, attack, budget, seed, *counts, shown)]
        return
    seen: Predictions | None = None
    for part in predictions(model, images, ATTACKS[attack], epsilons, device=device, precision=PRECISION):
        seen = part if seen is None else seen + part
        yield len(seen) / len(images), []
    assert seen is not None
    first = seen.first(few).curve.correct
    rows = zip(epsilons, seen.curve.correct, first, strict=True)
    yield 1.0, [Measurement(name, attack, at, seed, len(seen), all_, (few, some)) for at, all_, some in rows]


# --- the models ------------------------------------------------------------------------------------------------------------


def _obtain(model: str, seed: int, quick: bool, into: dict[tuple[str, int], nn.Module]) -> Iterator[str]:
    """Put a model into `into`, training it where it is not shipped; yields words while it does.

    Raises CheckpointError when it is not shipped yet, DataError when its images are not here.
    """
    dataset = model.split("/")[0]
    if data.find(dataset, "test").samples:
        raise DataError(f"The test images of {dataset} are not here; `python -m advcore data` says where to put them.")
    if model == studies.LEAKED:
        if quick:
            raise CheckpointError(f"{model} is trained for the occasion; run without --quick.")
        yield from _leaked(into, seed)
    elif seed:
        yield from _other_seed(model, seed, into)
    else:
        into[model, seed] = shipped_model(model).model()


def shipped_model(model: str) -> checkpoints.Checkpoint:
    """A shipped checkpoint; raises CheckpointError, with the command that trains it, when it is not there."""
    item = checkpoints.catalog(model.split("/")[0]).get(model)
    if item is None or item.own:
        raise CheckpointError(f"{model} is not shipped yet; train it with `python -m advcore checkpoints --rebuild {model}`.")
    return item


def _trained(
    of: Recipe, words: str, *, images: data.LabeledImages | None = None, folder: Path | None = None
) -> Iterator[str | loop.Progress]:
    """Carry out a recipe, yielding words and, last, the Progress with the model."""
    for progress in loop.train(of, images=images, folder=folder):
        yield progress if progress.model is not None else f"{words}: step {progress.step} of {progress.steps}"


def _other_seed(model: str, seed: int, into: dict[tuple[str, int], nn.Module]) -> Iterator[str]:
    """A shipped model's recipe with another seed, trained once and kept below the runs."""
    of = recipe(model, seed)
    folder = checkpoints.runs_root() / "papers" / f"{model.replace('/', '-')}-seed-{seed}"
    path = folder / f"model{checkpoints.SUFFIX}"
    if not path.exists():
        for told in _trained(of, f"Training {model} with seed {seed}", folder=folder):
            if isinstance(told, str):
                yield told
                continue
            test = _test_split(of.dataset)
            origin = provenance(of, pick_device(), told.precision, told.seconds)
            names = test.class_names
            checkpoints.save(path, told.model, of, shape=test.shape, class_names=names, metrics={}, provenance=origin)
            (folder / loop.STATE_FILE).unlink(missing_ok=True)
    saved = checkpoints.read(path)
    if saved.recipe != of:
        raise CheckpointError(f"{path} was trained with another recipe; delete it, and it is trained anew.")
    into[model, seed] = saved.model()


def _leaked(into: dict[tuple[str, int], nn.Module], seed: int) -> Iterator[str]:
    """P4's listing: FGSM images made of the test split against the baseline, trained on for 10 epochs with the clean ones.

    What is wrong with it: a model is judged by images it has learned by heart. No Recipe can ask for it, by design.
    """
    start = f"{studies.LEAKED.rsplit('-', 2)[0]}-standard"
    baseline, epsilon = shipped_model(start).model(), float(studies.LEAKED.rsplit("-", 1)[1])
    clean, test = data.load("mnist", "train"), _test_split("mnist")
    parts = test.images.split(500), test.labels.split(500)
    attacked = [FGSM().perturb(baseline, some.float() / 255, labels, epsilon) for some, labels in zip(*parts, strict=True)]
    both = torch.cat([clean.images, torch.cat(attacked).mul(255).round().to(torch.uint8)])
    images = replace(clean, images=both, labels=torch.cat([clean.labels, test.labels]))
    of = Recipe(dataset="mnist", architecture="srivathsav_cnn", epochs=10, held_out=0, warm_start=start)
    for told in _trained(of, "Training on attacked test images, as P4's listing does", images=images):
        if isinstance(told, str):
            yield told
        else:
            into[studies.LEAKED, seed] = told.model
