"""The map of a study that gives no sizes: its figures among networks of several widths and amounts of training.

Every setting is measured on training images that no network was trained on. They choose the nearest one of each dataset, which
alone is then measured on the test split. `trainings.py` measures.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from advcore import data
from advcore.errors import AdvcoreError
from advcore.papers import record
from advcore.papers.record import Accuracy, Record, value
from advcore.papers.study import Study
from advcore.papers.verdicts import WITHIN
from advcore.recipe import Recipe

WIDTHS = (4, 8, 16, 32)
IMAGES = (1_000, 4_000, 16_000, 58_000)
"""On so many other training images a network is trained, on each once."""
HELD_OUT = 2_000
"""So many training images choose the nearest setting; the split is put into one random order before they are set apart."""
STARTS = {False: "from new weights", True: "continuing the undefended network"}
"""How adversarial training begins; the studies write “retrain”."""
HELD, TEST = "held out", "test"
"""The images that a network of the map was measured on, as its name in the record says."""
Triple = tuple[float, float, float]
FIGURES = "clean / under FGSM / under FGSM after adversarial training"
"""What the three figures of a Triple are, all in percent."""


@dataclass(frozen=True)
class Tried:
    """A setting of the map. `epsilon` is the study's ε in pixel space under the reading, `continues` one of `STARTS`."""

    dataset: str
    architecture: str
    reading: str
    epsilon: float
    continues: bool
    width: int
    images: int

    @property
    def words(self) -> str:
        """The setting in words."""
        start = STARTS[self.continues]
        return f"width {self.width}, {self.images:,} images, {self.reading}, adversarial training {start}"

    @property
    def recipes(self) -> tuple[Recipe, Recipe]:
        """Those of its undefended and its defended network."""
        shared: dict[str, Any] = {"dataset": self.dataset, "architecture": self.architecture, "width": self.width}
        plain = Recipe(**shared, images=self.images, epochs=1, held_out=0, evaluations=0)
        start = plain.checkpoint_id if self.continues else None
        defended = {"defense": "fgsm", "epsilon": self.epsilon, "warm_start": start}
        return plain, Recipe(**shared, images=self.images, epochs=1, held_out=0, evaluations=0, **defended)

    def triple(self, found: Record | None, split: str = HELD) -> Triple | None:
        """Its three figures on the held-out images or the test split (`TEST`), the means over the seeds; None: not measured."""
        plain, defended = (name(recipe, split) for recipe in self.recipes)
        parts = (Accuracy(plain), Accuracy(plain, epsilon=self.epsilon), Accuracy(defended, epsilon=self.epsilon))
        clean, attacked, after = (value(found, {part: 1.0}) for part in parts)
        return (clean.percent, attacked.percent, after.percent) if clean and attacked and after else None


def name(recipe: Recipe, split: str) -> str:
    """How a record names a network of the map and the images that it was measured on."""
    start = ", continued" if recipe.warm_start else ""
    return f"{recipe.checkpoint_id}{start}, width {recipe.width}, {recipe.images} images, {split}"


def tried(of: Study, dataset: str) -> list[Tried]:
    """Every setting on a dataset: by reading and start of adversarial training, and in these by width and images."""
    drop = next(figure for figure in of.figures if figure.dataset == dataset and figure.measures == "drop")
    architecture = drop.model.split("/")[1].split("-")[0]
    return [
        Tried(dataset, architecture, reading.words, reading.epsilon(drop), *rest)
        for reading, *rest in itertools.product(of.readings, STARTS, WIDTHS, IMAGES)
    ]


def published(of: Study, dataset: str) -> Triple:
    """The three figures that a study gives for a dataset."""
    own = [figure for figure in of.figures if figure.dataset == dataset]
    clean, drop, after = (
        next(figure.percent or 0.0 for figure in own if figure.measures == measures and figure.defended == defended)
        for measures, defended in (("clean", False), ("drop", False), ("FGSM", True))
    )
    return clean, clean - drop, after


def distance(one: Triple, other: Triple) -> float:
    """The largest of the three differences, in points."""
    return max(abs(mine - theirs) for mine, theirs in zip(one, other, strict=True))


def nearest(of: Study, found: Record | None, dataset: str) -> Tried | None:
    """The setting that lies nearest to the published figures on the held-out images; None where none was measured."""
    target = published(of, dataset)
    known = [(setting, triple) for setting in tried(of, dataset) if (triple := setting.triple(found))]
    return min(known, key=lambda pair: distance(pair[1], target))[0] if known else None


def key(of: Study) -> str:
    """The key of the map's record."""
    return f"{of.key}-map"


def command(of: Study) -> str:
    """The command line that measures the map."""
    return f"python -m advcore papers run {of.key} --map"


def read(of: Study) -> Record | None:
    """The record of a study's map, or None; raises AdvcoreError when the file is damaged."""
    return record.read(key(of)) if of.mapped else None


def sentences(of: Study) -> list[str]:
    """What the recorded map of a study shows, a sentence a dataset; where it cannot be read, why."""
    try:
        found = read(of)
    except AdvcoreError as error:
        return [str(error)]
    return [sentence(of, found, dataset) for dataset in of.mapped if nearest(of, found, dataset)] if found else []


def sentence(of: Study, found: Record, dataset: str) -> str:
    """The nearest setting on a dataset, with its figures on the test split beside the published ones."""
    best, title = nearest(of, found, dataset), data.dataset(dataset).title
    chosen, final = (best.triple(found), best.triple(found, TEST)) if best else (None, None)
    if best is None or chosen is None or final is None:
        return f"{title}: no setting was measured yet; `{command(of)}` measures them."
    target, count = published(of, dataset), len(tried(of, dataset))
    near = round(distance(chosen, target), 1) <= WITHIN
    begin = "nearest" if near else f"none comes within {WITHIN:g} points on held-out images, nearest"
    ours, held = (" / ".join(f"{one:.1f}" for one in triple) for triple in (final, chosen))
    theirs = " / ".join(f"{one:.2f}" for one in target)
    return (
        f"{title}: {begin} of the {count} settings tried is {best.words}: {ours} on {_count(best, found):,} test images and "
        f"{held} on held-out ones, published {theirs} ({FIGURES}); the test figures are {distance(final, target):.1f} points "
        "away at most."
    )


def _count(best: Tried, found: Record) -> int:
    """On how many test images a setting was measured."""
    measured = value(found, {Accuracy(name(best.recipes[0], TEST)): 1.0})
    return measured.images if measured else 0


def rows(of: Study) -> Iterator[dict[str, Any]]:
    """The recorded map as flat rows, one a setting, with its figures on held-out images in percent; empty if damaged."""
    with contextlib.suppress(AdvcoreError):
        yield from _rows(of, read(of))


def _rows(of: Study, found: Record | None) -> Iterator[dict[str, Any]]:
    for dataset in of.mapped:
        best, target = nearest(of, found, dataset), published(of, dataset)
        for setting in tried(of, dataset):
            if triple := setting.triple(found):
                yield asdict(setting) | {
                    "start": STARTS[setting.continues],
                    **dict(zip(("clean", "attacked", "defended"), triple, strict=True)),
                    "distance": distance(triple, target),
                    "nearest": setting == best,
                }
