"""What a study consists of: its figures, the readings of its ε, its claims, and the accuracies that decide them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from advcore import data
from advcore.defenses import DEFENSES
from advcore.papers.record import Accuracy, Record, Sum, add

Measures = Literal["clean", "FGSM", "PGD", "drop", "C&W", "margin", "zero gradient"]
"""Accuracy on clean images or under an attack (`margin`: PGD-20 on the margin loss); `drop` is clean minus FGSM, in points;
`zero gradient` is the share of the images whose loss has a gradient of exactly zero."""
MARGIN, ZERO = "PGD, margin loss", "zero gradient"
Chart = Literal["curves", "training", "models", "map"]
"""What is drawn besides published against measured: accuracy against ε, the trainings, models under attacks, the map."""
_UNDEFENDED = {name for name, defense in DEFENSES.items() if not defense.defended}
_GRID = 8  # ε of the curve drawn for every model


def quantity(model: str, measures: Measures, epsilon: float = 0.0, fgsm: str = "FGSM") -> Sum:
    """A figure as a sum of accuracies. ε is L∞ in pixel space; `fgsm` is the attack that an FGSM figure or a drop means."""
    clean = Accuracy(model)
    if measures == "clean":
        return {clean: 1.0}
    if measures == "C&W":
        return {Accuracy(model, "C&W", data.BUILT_IN[clean.dataset].l2_budget): 1.0}
    if measures == "zero gradient":
        return {Accuracy(model, ZERO): 1.0}
    attacked = {Accuracy(model, {"PGD": "PGD", "margin": MARGIN}.get(measures, fgsm), epsilon): 1.0}
    return more({clean: 1.0}, attacked) if measures == "drop" else attacked


def more(one: Sum, other: Sum, times: float = 1.0) -> Sum:
    """The sum that is above 0 where `one` is more than `times` the `other`."""
    return add((1.0, one), (-times, other))


def confirmed(model: str, epsilon: float) -> Sum:
    """The sum that is above 0 where PGD leaves more than half of what FGSM leaves, at ε in pixel space."""
    return more(quantity(model, "PGD", epsilon), quantity(model, "FGSM", epsilon), 0.5)


@dataclass(frozen=True)
class Figure:
    """One figure of a study's table, in percent (a drop: in points). `percent` None: measured here, not published.

    `epsilon` is as the study writes it; `up_to` is the upper end where the study gives a range.
    """

    row: str
    model: str
    measures: Measures
    epsilon: float = 0.0
    percent: float | None = None
    up_to: float | None = None

    @property
    def dataset(self) -> str:
        """The dataset of its model."""
        return self.model.split("/")[0]

    @property
    def defended(self) -> bool:
        """Whether its model was trained with a defense that is to hold against attacks."""
        return self.model.split("/")[1].split("-")[1] not in _UNDEFENDED

    @property
    def single_step(self) -> bool:
        """Whether it was measured under FGSM."""
        return self.measures in {"FGSM", "drop"}

    @property
    def published(self) -> str:
        """What was published, as text; a dash where nothing was."""
        return "–" if self.percent is None else f"{self.percent:g}{f' to {self.up_to:g}' if self.up_to else ''}"

    def away(self, measured: float) -> float | None:
        """Measured minus published, in points: 0 within a published range, None where nothing was published."""
        if self.percent is None:
            return None
        return measured - min(max(measured, self.percent), self.up_to or self.percent)


@dataclass(frozen=True)
class Reading:
    """One way to understand a whole table: its ε times `factor` (one for each dataset, or one for all) is in pixels.

    `fgsm` is the attack meant by FGSM; `instead` measures another model (value) in the place of one (key).
    """

    words: str
    factor: float | Mapping[str, float] = 1.0
    fgsm: str = "FGSM"
    instead: Mapping[str, str] = field(default_factory=dict)

    def model(self, figure: Figure) -> str:
        """The id of the model that stands for the figure's."""
        return self.instead.get(figure.model, figure.model)

    def epsilon(self, figure: Figure) -> float:
        """The figure's ε in pixel space."""
        factor = self.factor if isinstance(self.factor, float) else self.factor[figure.dataset]
        return round(figure.epsilon * factor, 6)

    def quantity(self, figure: Figure, fgsm: str | None = None) -> Sum:
        """What is measured for a figure; with `fgsm`, the same under another attack."""
        return quantity(self.model(figure), figure.measures, self.epsilon(figure), fgsm or self.fgsm)


@dataclass(frozen=True)
class Claim:
    """A sentence, and for each case a sum of accuracies that is above 0 where the sentence is true."""

    words: str
    cases: Mapping[str, Sum]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A published study, or a question that the studies leave open: a question has no `claim` and nothing published.

    The first of `readings` is the most literal one. `stand_ins` names the datasets measured in the place of another: their
    figures cannot be compared. FGSM and clean images are measured on the whole test split, PGD and C&W on so many first
    images. `findings` states in sentences what a record shows. On the datasets of `mapped` the study's network is also trained
    at other widths and on fewer images (see grid.py).
    """

    key: str
    title: str
    conditions: str
    figures: tuple[Figure, ...]
    readings: tuple[Reading, ...] = (Reading("measured"),)
    name: str = ""
    authors: str = ""
    arxiv: str = ""
    claim: str = ""
    claims: tuple[Claim, ...] = ()
    remarks: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ("models",)
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    pgd_images: int = 300
    cw_images: int = 1000
    mapped: tuple[str, ...] = ()
    findings: Callable[[Record], list[str]] = lambda record: []

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets of its figures, in their order."""
        return tuple(dict.fromkeys(figure.dataset for figure in self.figures))

    @property
    def models(self) -> tuple[str, ...]:
        """The ids of every model that any of its readings measures."""
        return tuple(dict.fromkeys(reading.model(figure) for reading in self.readings for figure in self.figures))

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks, and what must be said of the images."""
        caveats = (data.BUILT_IN[name].caveat for name in self.datasets if name in data.BUILT_IN)
        return (*self.remarks, *filter(None, caveats))

    def readings_of(self, figure: Figure) -> list[Reading]:
        """The readings under which different things are measured for a figure, the literal one first."""
        found: list[Reading] = []
        for reading in self.readings:
            if all(reading.quantity(figure) != other.quantity(figure) for other in found):
                found.append(reading)
        return found

    def accuracies(self) -> list[Accuracy]:
        """Every accuracy that its table, charts and claims are computed from."""
        return sorted({*self._parts(), *(part for claim in self.claims for case in claim.cases.values() for part in case)})

    def _parts(self) -> Iterator[Accuracy]:
        for figure in self.figures:
            for reading in self.readings_of(figure):
                yield from reading.quantity(figure)
                if figure.single_step:  # beside every single step, what many steps leave
                    yield from reading.quantity(figure, "PGD")
            if figure.measures != "clean" and "models" not in self.charts:
                yield from (Accuracy(figure.model, "FGSM", epsilon) for epsilon in self.grid(figure.dataset))

    def grid(self, dataset: str) -> list[float]:
        """The ε at which FGSM is measured for the curves: from 0 to the end of the track, or the study's own end."""
        literal = [self.readings[0].epsilon(figure) for figure in self.figures if figure.dataset == dataset]
        end = max([data.dataset(dataset).epsilon_max, *literal])
        return [round(end * step / _GRID, 6) for step in range(_GRID + 1)]
