"""What the measurements show: every published figure beside what was measured under each reading, with a verdict in words."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from advcore.evaluation.masking import masking_of
from advcore.papers.record import Accuracy, Record, Value, value
from advcore.papers.study import Claim, Figure, Reading, Study

WITHIN = 3.0
"""Points, rounded to a tenth as they are shown, within which a figure counts as near."""
SEEDS, IMAGES = 3, 1000
"""The seeds and test images from which on a figure can count as reproduced."""
_PUBLISHED = {"epsilon", "percent", "up_to"}
Kind = Literal[
    "reproduced",
    "within 3 points",
    "differs: ours is higher",
    "differs: ours is lower",
    "not comparable",
    "not measured",
    "not published",
]
RULE = (
    f"Reproduced: the published figure lies in our 95 % interval over images and seeds ({SEEDS} seeds and {IMAGES:,} images or "
    f"more). Within {WITHIN:g} points: no farther away than that, also for one seed. Differs: neither. Each verdict is for the "
    "figure as written; the other readings are judged over the whole table. ⚠ masked: at an ε up to the one that the model was "
    "trained at, FGSM leaves 30 points more than PGD-20, or more."
)


@dataclass(frozen=True)
class Cell:
    """A figure measured under one reading (FGSM's, or what the figure is), and PGD-20's at the same ε; None: not measured.

    `part` is the attacked accuracy; `away` is measured minus published, in points. `masked` is a sentence where the model's
    robustness is masked.
    """

    reading: Reading
    part: Accuracy
    measured: Value | None
    pgd: Value | None
    away: float | None
    masked: str | None

    @property
    def model(self) -> str:
        """The id of the model that was measured."""
        return self.part.model

    @property
    def near(self) -> bool:
        """Whether it lies, as it is shown, within 3 points of what was published."""
        return self.away is not None and abs(round(self.away, 1)) <= WITHIN


@dataclass(frozen=True)
class Row:
    """A figure with what was measured under each reading, the literal one first, and the verdict on that one."""

    figure: Figure
    cells: tuple[Cell, ...]
    kind: Kind
    words: str

    def under(self, reading: Reading) -> Cell:
        """The cell that holds what is measured under a reading; readings that measure the same share one."""
        wanted = reading.quantity(self.figure)
        return next(cell for cell in self.cells if cell.reading.quantity(self.figure) == wanted)


def table(study: Study, record: Record | None) -> list[Row]:
    """The study's table: every figure, measured under every reading, with its verdict."""
    found = []
    for figure in study.figures:
        cells = tuple(_cell(figure, reading, record) for reading in study.readings_of(figure))
        found.append(Row(figure, cells, *_verdict(study, figure, cells[0], record)))
    return found


def _cell(figure: Figure, reading: Reading, record: Record | None) -> Cell:
    *_, part = reading.quantity(figure)  # of a drop the attacked one, which comes last
    measured = value(record, reading.quantity(figure))
    clipped = figure.single_step and reading.fgsm == "FGSM"  # PGD always stays within [0, 1]
    pgd = value(record, reading.quantity(figure, "PGD")) if clipped else None
    away = None if measured is None else figure.away(measured.percent)
    masked = _masked(record, part) if record and clipped and figure.defended else None
    return Cell(reading, part, measured, pgd, away, masked)


def _masked(record: Record, part: Accuracy) -> str | None:
    """A sentence where a defended model is masked at an ε it was trained for, as `masking.masked` defines it."""
    pair = {"FGSM": record.find(part), "PGD-20": record.find(replace(part, attack="PGD"))}
    claimed = part.model.rsplit("-", 1)[1]
    # The ε in a model's name is rounded; a name without one claims none.
    if None in pair.values() or not claimed[0].isdigit() or part.epsilon > 1.01 * float(claimed):
        return None
    rows = [{"attack": title, "images": item.images, "accuracy": item.share} for title, item in pair.items() if item]
    return masking_of([row | {"epsilon": part.epsilon} for row in rows], part.epsilon)


def _verdict(study: Study, figure: Figure, literal: Cell, record: Record | None) -> tuple[Kind, str]:
    measured, away, percent = literal.measured, literal.away, figure.percent
    if measured is None:
        why = record.missing.get(literal.model) if record else None
        return "not measured", f"Not measured here: {why or f'`python -m advcore papers run {study.key}` measures it.'}"
    if away is None or percent is None:
        return "not published", "Measured here; no figure was published."
    if figure.dataset in study.stand_ins:
        return "not comparable", f"Not comparable: measured on another dataset than {study.stand_ins[figure.dataset]}."
    behind = f"{measured.seeds} seed{'s' if measured.seeds > 1 else ''}, {measured.images:,} images"
    ours = f"ours is {measured.low:.1f} to {measured.high:.1f} ({behind})"
    enough = measured.seeds >= SEEDS and measured.images >= IMAGES
    if enough and measured.low <= (figure.up_to or percent) and percent <= measured.high:
        return "reproduced", f"Reproduced: {ours}."
    if literal.near:
        return "within 3 points", f"Within 3 points: {abs(away):.1f} points away; {ours}."
    masked = " and is masked" if literal.masked else _where(figure, record)
    if away > 0:
        return "differs: ours is higher", f"Differs: ours is {away:.1f} points higher; {ours}{masked}."
    return "differs: ours is lower", f"Differs: ours is {-away:.1f} points lower; {ours}{masked}."


def _where(figure: Figure, record: Record | None) -> str:
    """Where on its FGSM curve our model shows the published figure; empty for another kind of figure."""
    if figure.measures != "FGSM" or record is None or figure.percent is None:
        return ""
    points = [(item.epsilon, 100 * item.share) for item in record.curve(figure.model, "FGSM")]
    for (below, before), (above, after) in itertools.pairwise(points):
        if min(before, after) <= figure.percent <= max(before, after) and before != after:
            at = below + (above - below) * (before - figure.percent) / (before - after)
            if round(at, 3) == 0:
                return f", and about as much without an attack ({points[0][1]:.1f} %)"
            return f", and {figure.percent:g} % at ε = {at:.3f} in pixels"
    return f", and {figure.percent:g} % at no ε measured here"


@dataclass(frozen=True)
class Fit:
    """The distance of a reading from the published figures, in points, over the figures it changes.

    `near` counts those within 3 points; `literal` is the mean distance of the literal reading on the same figures.
    """

    reading: Reading
    figures: int
    mean: float
    largest: float
    near: int
    literal: float


def fits(study: Study, rows: Sequence[Row]) -> list[Fit]:
    """How well each reading but the literal one fits the whole table, the nearest first."""
    found = []
    for reading in study.readings[1:]:
        cells = [
            (cell, row.cells[0])
            for row in rows
            for cell in row.cells[1:]
            if cell.reading == reading and cell.away is not None and row.figure.dataset not in study.stand_ins
        ]
        if cells:
            away, literal = ([abs(cell.away or 0.0) for cell in column] for column in zip(*cells, strict=True))
            near = sum(cell.near for cell, _ in cells)
            found.append(Fit(reading, len(cells), statistics.mean(away), max(away), near, statistics.mean(literal)))
    return sorted(found, key=lambda fit: fit.mean)


def verdict(study: Study, record: Record | None) -> str:
    """What the measurements say of a study, in one short sentence: what agrees, and what is masked or how the rest differs."""
    rows = table(study, record)
    kinds = [row.kind for row in rows]
    same, near = kinds.count("reproduced"), kinds.count("within 3 points")
    ways = [kind for kind in kinds if kind.startswith("differs")]
    compared = same + near + len(ways)
    if not compared:
        return "Not measured here yet."
    told = f"{same} of {compared} figures reproduced, {near} more" if same else f"{near} of {compared} figures"
    told += f" within {WITHIN:g} points"
    cells = [row.cells[0] for row in rows if row.figure.percent is not None and row.figure.defended and row.cells[0].pgd]
    defended = {cell.model for cell in cells}
    if masked := len({cell.model for cell in cells if cell.masked}):
        several = "both our" if masked == len(defended) == 2 else f"{masked} of our {len(defended)}"
        ours = f"{several} defended networks" if len(defended) > 1 else "our defended network"
        told += f"; {ours} {'is' if masked == 1 else 'are'} masked"
    elif len(set(ways)) == 1 and not any(row.figure.measures == "drop" for row in rows):
        told += f"; in the {f'other {len(ways)}' if len(ways) > 1 else 'other one'} ours is {ways[0].split()[-1]}"
    return f"{told}."


def _most_masked(rows: Sequence[Row]) -> list[Cell]:
    """Of each masked model the cell with the widest gap between FGSM and PGD-20, the widest of all first."""
    cells = [
        (abs(cell.measured.percent - cell.pgd.percent), cell)
        for row in rows
        for cell in row.cells
        if cell.masked and cell.measured and cell.pgd
    ]
    widest: dict[str, Cell] = {}
    for _, cell in sorted(cells, key=lambda pair: -pair[0]):
        widest.setdefault(cell.model, cell)
    return list(widest.values())


def summary(study: Study, record: Record | None) -> list[str]:
    """What was found, in sentences: how many figures hold, which reading fits, what is masked; and the study's own findings."""
    rows = table(study, record)
    kinds = [row.kind for row in rows if row.figure.percent is not None]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds) if kind != "not measured"}
    told = []
    if counts:
        parts = ", ".join(f"{count} {_plural(kind)}" for kind, count in counts.items())
        told.append(f"Of {sum(counts.values())} published figures, as written: {parts}.")
    if waiting := kinds.count("not measured"):
        told.append(f"{waiting} of {len(kinds)} published figures are not measured here yet.")
    best, *others = fits(study, rows) or [None]
    if best and best.mean < best.literal:
        told.append(
            f"Best of the readings tried, for the whole table: “{best.reading.words}”, {best.mean:.1f} points away on average "
            f"and {best.largest:.1f} at most over the {best.figures} figures it changes; {best.near} of them lie within "
            f"{WITHIN:g} points. As written the same figures are {best.literal:.1f} points away."
            + "".join(f" “{fit.reading.words}”: {fit.mean:.1f} points." for fit in others if fit.figures == best.figures)
            + "".join(f" It measures {new} in the place of {old}." for old, new in best.reading.instead.items())
        )
    told += [f"⚠ {cell.model} {cell.masked}." for cell in _most_masked(rows)]
    return told + (study.findings(record) if record else [])


def _plural(kind: Kind) -> str:
    """A kind as it is said of several figures."""
    return f"differ ({kind.removeprefix('differs: ')})" if kind.startswith("differs") else kind


@dataclass(frozen=True)
class Answer:
    """A claim with what was measured of each case: above 0 it is true, below it is not, None: not measured."""

    claim: Claim
    cases: dict[str, Value | None]

    @property
    def words(self) -> str:
        """In how many cases it is true, as a sentence."""
        held = [holds(found) for found in self.cases.values() if found]
        if not held:
            return "Not measured here yet."
        yes, no, close = (held.count(answer) for answer in (True, False, None))
        if len(held) == 1:
            told = "Yes." if yes else "No." if no else "Too close to tell."
        else:
            told = f"Yes in {yes} of {len(held)} cases, no in {no}{f', too close to tell in {close}' if close else ''}."
        waiting = len(self.cases) - len(held)
        return told + (f" {waiting} not measured here yet." if waiting else "")


def holds(found: Value) -> bool | None:
    """Whether a difference is above 0; None where its interval holds 0."""
    return True if found.low > 0 else False if found.high < 0 else None


def answers(study: Study, record: Record | None) -> list[Answer]:
    """What the measurements say to each of its claims."""
    return [Answer(claim, {words: value(record, case) for words, case in claim.cases.items()}) for claim in study.claims]


def rows(study: Study, record: Record | None) -> Iterator[dict[str, Any]]:
    """The whole table as flat rows, one for each figure and reading, for CSV and JSON."""
    for row in table(study, record):
        for cell in row.cells:
            found = asdict(cell.measured) if cell.measured else dict.fromkeys(item.name for item in fields(Value))
            yield {
                "study": study.key,
                **{f"published_{name}" if name in _PUBLISHED else name: of for name, of in asdict(row.figure).items()},
                **asdict(cell.part),
                "norm": "L2" if cell.part.attack == "C&W" else "Linf",
                "reading": cell.reading.words,
                **{f"measured_{name}": of for name, of in found.items()},
                "difference_points": cell.away,
                "pgd20_percent": cell.pgd and cell.pgd.percent,
                "masked": cell.masked is not None,
                "verdict": row.kind,
                "why": row.words,
            }
