"""What the measurements say: every published figure beside what was found under each reading, with a verdict in words."""

from __future__ import annotations

import itertools
import math
import operator
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from advcore.errors import CheckpointError
from advcore.evaluation.curves import wilson_interval
from advcore.evaluation.diagnosis import masking_of
from advcore.papers import studies
from advcore.papers.replication import CARLINI_WAGNER, Measurement, Record, Wanted, parts_of, pixel_epsilon, shipped_model
from advcore.papers.studies import Claim, Comparison, Entry, Figure, Measures, Reading, Study, Term

WITHIN = 3.0
"""Points, rounded to a tenth as they are shown, within which a figure counts as reproduced."""


@dataclass(frozen=True)
class Value:
    """A measured quantity in percent (drops: points): mean over the seeds, its spread, and its sampling error at 95 %.

    `images` is how many it was measured on (a drop: the fewer of its two); `interval`, of an accuracy, is Wilson's at 95 %.
    """

    percent: float
    noise: float
    spread: float | None = None
    seeds: int = 1
    images: int = 0
    interval: tuple[float, float] | None = None


def value(record: Record, model: str, measures: Measures, epsilon: float = 0.0, *, fgsm: str = "FGSM") -> Value | None:
    """A quantity of a model from the record, ε in pixel space; None when it, or a part of it, was not measured."""
    term, each, variances, images = Term(model, measures, epsilon, fgsm=fgsm), [], [], []
    for seed in record.seeds:
        parts = [record.find(part) for part in parts_of(term, seed)]
        if not parts or None in parts:
            continue
        shares = [part.right / part.images for part in parts if part]
        images.append(min(part.images for part in parts if part))
        each.append(100 * (shares[0] - shares[1] if measures == "drop" else shares[0]))
        variances.append(
            sum(share * (1 - share) / part.images for share, part in zip(shares, parts, strict=True) if part) * 100**2
        )
    if not each:
        return None
    spread = statistics.stdev(each) if len(each) > 1 else None
    # The seeds share their test images: more of them do not lessen the sampling error.
    mean, few = statistics.mean(each), min(images)
    interval = None if measures == "drop" else _interval(mean, few)
    return Value(mean, 1.96 * math.sqrt(statistics.mean(variances)), spread, len(each), few, interval)


def _interval(percent: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy, in percent; a mean over seeds counts as the nearest whole number of images."""
    low, high = wilson_interval(round(percent * images / 100), images)
    return 100 * low, 100 * high


@dataclass(frozen=True)
class Cell:
    """A figure measured under one reading, in percent: FGSM's (or what the figure is), and PGD-20's at the same ε.

    Beside a drop stands the drop under PGD-20.
    """

    reading: Reading
    model: str
    epsilon: float
    measured: float | None
    pgd: float | None
    away: float | None
    masked: str | None
    missing: str | None

    @property
    def gap(self) -> float:
        """How far what FGSM leaves lies above what PGD leaves, in points."""
        return abs((self.measured or 0.0) - (self.pgd or 0.0))

    @property
    def near(self) -> bool:
        """Whether it lies, as it is shown, within 3 points of what was published."""
        return self.away is not None and abs(round(self.away, 1)) <= WITHIN


Kind = Literal["reproduced", "another convention", "not reproducible", "not measured", "not published"]


@dataclass(frozen=True)
class Verdict:
    """What came of a published figure, and why."""

    kind: Kind
    words: str


@dataclass(frozen=True)
class Line:
    """A figure with what was measured for it: the literal reading first, then the others."""

    figure: Figure
    cells: tuple[Cell, ...]
    verdict: Verdict

    @property
    def literal(self) -> Cell:
        return self.cells[0]

    @property
    def best(self) -> Cell | None:
        """The reading that lies nearest to what was published; the literal one where it is as near as any."""
        known = [cell for cell in self.cells if cell.away is not None]
        return min(known, key=lambda cell: abs(cell.away or 0), default=None)


def lines(study: Study, record: Record | None) -> list[Line]:
    """The study's table: every figure, measured under every reading, with its verdict."""
    found = []
    for figure in study.figures:
        cells = tuple(_cell(figure, reading, record) for reading in study.readings_of(figure))
        found.append(Line(figure, cells, _verdict(study, figure, cells, record)))
    return found


def _cell(figure: Figure, reading: Reading, record: Record | None) -> Cell:
    model, epsilon = reading.model(figure.model), pixel_epsilon(figure, reading)
    found = record and value(record, model, figure.measures, epsilon, fgsm=reading.fgsm)
    single = figure.measures in {"FGSM", "drop"}
    beside: Measures = "drop" if figure.measures == "drop" else "PGD"
    pgd = record and single and value(record, model, beside, epsilon, fgsm="PGD")
    missing = None
    if not found:
        missing = (record.missing.get(model) if record else None) or _how_to_measure(model)
    measured = found.percent if found else None
    away = None if measured is None else figure.away(measured)
    # An undefended model claims no robustness that could be masked.
    masked = _masked(record, model, reading.fgsm, epsilon) if record and single and figure.defended else None
    return Cell(reading, model, epsilon, measured, pgd.percent if pgd else None, away, masked, missing)


def _how_to_measure(model: str) -> str:
    """Why a model has no figure here, and what to do."""
    if model == studies.LEAKED:
        return f"{model} is trained when it is measured: `python -m advcore papers run P4`."
    try:
        shipped_model(model)
    except CheckpointError as error:
        return str(error)
    return f"{model} was not measured yet: `python -m advcore papers run` does it."


def _masked(record: Record, model: str, fgsm: str, epsilon: float) -> str | None:
    """A sentence where a model holds FGSM and not PGD at the same ε, as `masked` defines it."""
    pair = [record.find(Wanted(model, attack, epsilon)) for attack in (fgsm, "PGD")]
    if None in pair:
        return None
    rows = [
        {"attack": title, "epsilon": epsilon, "images": found.images, "accuracy": found.right / found.images}
        for title, found in zip(("FGSM", "PGD-20"), pair, strict=True)
        if found
    ]
    return masking_of(rows, epsilon)


def _verdict(study: Study, figure: Figure, cells: tuple[Cell, ...], record: Record | None) -> Verdict:
    literal, *others = cells
    if literal.measured is None:
        return Verdict("not measured", f"Not measured here: {literal.missing}")
    if literal.away is None:
        return Verdict("not published", "Measured beside; the study gives no figure.")
    if literal.near:
        return Verdict("reproduced", f"Reproduced: {abs(literal.away):.1f} points away.")
    nearest = min((cell for cell in others if cell.near), key=lambda cell: abs(cell.away or 0), default=None)
    if nearest:
        return Verdict(
            "another convention",
            f"Reproduced under another convention: {nearest.reading.words} ({abs(nearest.away or 0):.1f} points away).",
        )
    reason = _reason(study, figure, cells)
    # Of a model that reads the step, a smaller ε tells nothing.
    elsewhere = "" if literal.masked else _would_be(figure, record)
    return Verdict("not reproducible", f"Not reproducible: {reason}{elsewhere}")


def _reason(study: Study, figure: Figure, cells: tuple[Cell, ...]) -> str:
    """The first of the study's reasons that holds, with the ends of what the readings gave."""
    measured = [cell.measured for cell in cells if cell.measured is not None]
    for reason in study.reasons:
        if _applies(reason, figure, cells):
            return reason.words.format(least=min(measured), most=max(measured), pgd=cells[0].pgd or 0.0)
    return "no reason is known."


def _applies(reason: studies.Reason, figure: Figure, cells: tuple[Cell, ...]) -> bool:
    literal, aways = cells[0], [cell.away for cell in cells if cell.away is not None]
    if figure.measures not in reason.measures or literal.away is None:
        return False
    # Measured minus published above 0: the published figure is the lower one.
    holds: dict[studies.When, bool] = {
        "always": True,
        "lower": literal.away > 0,
        "higher": literal.away < 0,
        "below all": min(aways) > 0,
        "above all": max(aways) < 0,
        "between": min(aways) <= 0 <= max(aways),
        "masked": literal.masked is not None,
    }
    return holds[reason.when]


def _would_be(figure: Figure, record: Record | None) -> str:
    """Where on its FGSM curve our model shows the published figure, as a sentence; empty where it never does."""
    if figure.measures != "FGSM" or record is None or figure.percent is None:
        return ""
    points = curve(record, figure.model, "FGSM")
    for (below, before), (above, after) in itertools.pairwise(points):
        low, high = sorted((before.percent, after.percent))
        if low <= figure.percent <= high and low != high:
            at = below + (above - below) * (before.percent - figure.percent) / (before.percent - after.percent)
            if round(at, 3) == 0:
                return f" Our model shows about as much without an attack ({points[0][1].percent:.1f} %)."
            return f" Our model shows {figure.percent:g} % at ε = {at:.3f} in pixels."
    return " Our model shows it at no ε we measured."


def curve(record: Record, model: str, attack: str, seed: int = 0) -> list[tuple[float, Measurement]]:
    """(ε, measurement) of a model under an attack, in the order of ε; ε = 0 is the clean accuracy."""
    found = [(item.epsilon, item) for item in record.measured if (item.model, item.attack, item.seed) == (model, attack, seed)]
    clean = record.find(Wanted(model, "FGSM", 0.0, seed))
    if clean and attack != "FGSM":
        found.append((0.0, clean))
    return sorted(found, key=operator.itemgetter(0))


@dataclass(frozen=True)
class Fit:
    """How well a convention fits a study over the figures it changes: mean distance in points, and the literal reading's."""

    words: str
    figures: int
    away: float
    literal_away: float


def fits(of: Sequence[Line]) -> list[Fit]:
    """How well each convention but the literal one fits, over the published figures that it changes."""
    apart: dict[str, list[tuple[float, float]]] = {}
    for line in of:
        for cell in line.cells[1:]:
            if cell.away is not None and line.literal.away is not None:
                apart.setdefault(cell.reading.called, []).append((abs(cell.away), abs(line.literal.away)))
    return [
        Fit(words, len(pairs), *(statistics.mean(column) for column in zip(*pairs, strict=True)))
        for words, pairs in apart.items()
    ]


def summary(study: Study, of: Sequence[Line]) -> list[str]:
    """What was found, in sentences: how many figures hold, which reading fits, what is masked, what is not measured."""
    kinds = [line.verdict.kind for line in of if line.figure.percent is not None]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    known = len(kinds) - counts.get("not measured", 0)
    told = []
    if known:
        told.append(
            f"Of {known} published figures {counts.get('reproduced', 0)} are reproduced as written (within {WITHIN:g} points), "
            f"{counts.get('another convention', 0)} under another convention, {counts.get('not reproducible', 0)} not at all."
        )
    if waiting := counts.get("not measured"):
        told.append(f"{waiting} of {len(kinds)} published figures are not measured here yet.")
    others = fits(of)
    better = [fit for fit in others if fit.away < fit.literal_away]
    if best := min(better, key=lambda fit: fit.away, default=None):
        told.append(
            f"{f'Of the other readings “{best.words}” fits best' if len(others) > 1 else f'“{best.words}” fits better'}: "
            f"{best.away:.1f} points away on average over the "
            f"{best.figures} figures that it changes, against {best.literal_away:.1f} read as “{study.readings[0].words}”."
        )
    masked = sorted((cell for line in of for cell in line.cells if cell.masked), key=lambda cell: cell.gap)
    # The widest gap of each model comes last, and stays.
    return told + [f"⚠ {model} {cell.masked}." for model, cell in {cell.model: cell for cell in masked}.items()]


@dataclass(frozen=True)
class Outcome:
    """What a comparison gave, in points: `holds` None where it is too close to tell, or not all was measured."""

    comparison: Comparison
    difference: float | None
    noise: float
    holds: bool | None


def outcome(comparison: Comparison, record: Record | None) -> Outcome:
    """`more` minus `less`, against its sampling error at 95 %."""
    total, variance = 0.0, 0.0
    signed = [(term, term.weight) for term in comparison.more] + [(term, -term.weight) for term in comparison.less]
    for term, weight in signed:
        found = record and value(record, term.model, term.measures, term.epsilon, fgsm=term.fgsm)
        if not found:
            return Outcome(comparison, None, 0.0, None)
        total += weight * found.percent
        variance += (weight * found.noise) ** 2
    noise = math.sqrt(variance)
    return Outcome(comparison, total, noise, None if abs(total) <= noise else total > 0)


@dataclass(frozen=True)
class Answer:
    """A claim with its comparisons' outcomes."""

    claim: Claim
    outcomes: tuple[Outcome, ...]

    @property
    def words(self) -> str:
        """In how many cases it holds, in words."""
        known = [item for item in self.outcomes if item.difference is not None]
        if not known:
            return "Not measured here yet."
        yes, no = (sum(item.holds is wanted for item in known) for wanted in (True, False))
        close = len(known) - yes - no
        if len(known) == 1:
            told = "Yes." if yes else "No." if no else "Too close to tell."
        else:
            told = f"Yes in {yes} of {len(known)} cases, no in {no}{f', too close to tell in {close}' if close else ''}."
        waiting = len(self.outcomes) - len(known)
        return told + (f" {waiting} not measured here yet." if waiting else "")


def answers(of: Entry, record: Record | None) -> list[Answer]:
    """What the measurements say to each of its claims."""
    return [Answer(claim, tuple(outcome(item, record) for item in claim.comparisons)) for claim in of.claims]


def rows(of: Entry, record: Record | None) -> list[dict[str, Any]]:
    """The whole table as flat rows, for CSV and JSON: a study's a figure and reading, a question's a model and attack."""
    return list(_study_rows(of, record) if isinstance(of, Study) else _question_rows(of, record))


def _study_rows(study: Study, record: Record | None) -> Iterator[dict[str, Any]]:
    for line in lines(study, record):
        for cell in line.cells:
            yield {
                "study": study.key,
                "row": line.figure.row,
                "model": cell.model,
                "measures": line.figure.measures,
                "epsilon_published": line.figure.epsilon,
                "published_percent": line.figure.percent,
                "published_up_to": line.figure.up_to,
                "reading": cell.reading.words,
                "attack": cell.reading.fgsm if line.figure.measures in {"FGSM", "drop"} else line.figure.measures,
                "epsilon_pixels": cell.epsilon,
                "measured_percent": cell.measured,
                "difference_points": cell.away,
                "pgd20_percent": cell.pgd,
                "masked": cell.masked is not None,
                "verdict": line.verdict.kind,
                "why": line.verdict.words,
            }


def _question_rows(question: studies.Question, record: Record | None) -> Iterator[dict[str, Any]]:
    for subject in question.subjects:
        for attack in question.attacks:
            found = value(record, subject.model, attack, subject.epsilon) if record else None
            budget = {"clean": 0.0, CARLINI_WAGNER: studies.L2_BUDGETS[subject.model.split("/")[0]]}
            yield {
                "question": question.key,
                "model": subject.model,
                "group": subject.group,
                "measures": attack,
                "epsilon": budget.get(attack, subject.epsilon),
                "norm": "L2" if attack == CARLINI_WAGNER else "Linf",
                "measured_percent": found and found.percent,
                "low_percent": found and found.interval and found.interval[0],
                "high_percent": found and found.interval and found.interval[1],
                "images": found and found.images,
                "spread_points": found and found.spread,
                "seeds": found and found.seeds,
                "missing": None if found else (record.missing.get(subject.model) if record else None) or "not measured yet",
            }
