"""All studies and open questions by key, and the curves that the studies published."""

from __future__ import annotations

from dataclasses import dataclass

from advcore.errors import AdvcoreError
from advcore.papers.p1 import P1
from advcore.papers.p2 import P2
from advcore.papers.p3 import P3
from advcore.papers.p4 import P4
from advcore.papers.questions import Q1, Q2, Q3
from advcore.papers.study import Figure, Study

# A new study or question is one entry here.
STUDIES: dict[str, Study] = {study.key: study for study in (P1, P2, P3, P4, Q1, Q2, Q3)}
FEWEST = 4
"""Points that make a published curve."""


def find(key: str) -> Study:
    """The study or question with that key, in upper or lower case; raises AdvcoreError when there is none."""
    if key.upper() not in STUDIES:
        raise AdvcoreError(f"There is no study '{key[:40]}'; choose one of {', '.join(STUDIES)}.")
    return STUDIES[key.upper()]


@dataclass(frozen=True)
class PublishedCurve:
    """Accuracies (shares in [0, 1]) that a study published for one model, over ε in pixel space under one reading.

    `literal` says whether the reading is the study's own.
    """

    title: str
    defended: bool
    literal: bool
    epsilons: tuple[float, ...]
    accuracy: tuple[float, ...]


def published_curves(dataset: str) -> list[PublishedCurve]:
    """The curves (four points or more) published for a dataset, under every reading that puts them at other ε."""
    found: dict[tuple[str, tuple[float, ...]], PublishedCurve] = {}
    for study in STUDIES.values():
        rows: dict[tuple[str, str], list[Figure]] = {}
        for figure in study.figures:
            if figure.dataset == dataset and figure.measures != "drop" and figure.percent is not None:
                rows.setdefault((figure.row, figure.model), []).append(figure)
        for (_, model), row in rows.items():
            for reading in study.readings if len(row) >= FEWEST else ():
                kind = "adversarially trained" if row[0].defended else "standard"
                title, at = f"{study.name} ({study.key}), {kind}: {reading.words}", tuple(map(reading.epsilon, row))
                shares = tuple(round((figure.percent or 0.0) / 100, 6) for figure in row)
                curve = PublishedCurve(title, row[0].defended, reading is study.readings[0], at, shares)
                found.setdefault((model, at), curve)
    return list(found.values())
