"""The studies' tables as HTML, on the page and in the report to print, from the template `report.html`."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from advcore.papers import verdicts
from advcore.papers.record import Record
from advcore.papers.study import Study
from ui.words import epsilon_text

ICONS = {
    "reproduced": "✓",
    "within 3 points": "≈",
    "differs: ours is higher": "▲",
    "differs: ours is lower": "▼",
    "not comparable": "≠",
    "not measured": "…",
    "not published": "·",
}
_EDGES = {
    "reproduced": "reproduced",
    "within 3 points": "near",
    "differs: ours is higher": "not",
    "differs: ours is lower": "not",
}
MEASURES = {
    "clean": "clean accuracy",
    "FGSM": "under FGSM",
    "PGD": "under PGD",
    "drop": "drop under FGSM",
    "C&W": "under C&W",
    "margin": "under PGD on the margin",
    "zero gradient": "zero gradient",
}
TABLE_CSS = """
.study-scroll { overflow-x: auto; }
.study { border-collapse: collapse; width: 100%; font-size: .86rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
.study th, .study td { border-bottom: 1px solid rgba(128,128,128,.3); padding: .35rem .55rem; text-align: left;
  vertical-align: top; }
.study th { font-weight: 600; }
.study .number { text-align: right; white-space: nowrap; }
.study .wide { min-width: 15rem; }
.study .row, .study .reading { min-width: 6.5rem; }
.study .reading { text-align: right; }
.study small { opacity: .75; display: block; }
.study .near, .study .reproduced { border-left: 4px solid #009E73; }
.study .near { border-left-style: dashed; }
.study .not { border-left: 4px solid #888888; }
.study .masked { color: #D55E00; font-weight: 600; opacity: 1; }
"""


def _number(percent: float | None, digits: int = 1) -> str:
    return "–" if percent is None else f"{percent:.{digits}f}"


@functools.cache
def _macros() -> Any:
    """The macros of the template; each gives HTML."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"number": _number, "epsilon": epsilon_text}
    environment.globals |= {"icons": ICONS, "edges": _EDGES, "measures": MEASURES, "rule": verdicts.RULE, "css": TABLE_CSS}
    return environment.get_template("report.html").module


def table(of: Study, record: Record | None) -> str:
    """A study's table as HTML: a line for each figure; of an open question a line for each model."""
    macro = _macros().study_table if of.claim else _macros().question_table
    return macro(of, verdicts.table(of, record))


def fit_table(of: Study, record: Record | None) -> str:
    """How far each reading lies from what a study published, over the figures it changes; empty where nothing is known."""
    found = verdicts.fits(of, verdicts.table(of, record))
    return _macros().fit_table(found) if found else ""


def origin(of: Study, record: Record | None) -> str:
    """Where the figures come from, in a sentence."""
    if record is None:
        return f"Not measured yet: python -m advcore papers run {of.key}"
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    images = ", ".join(f"{attack} on {count:,} images" for attack, count in record.images.items())
    seeds = f"seed{'s' if len(record.seeds) > 1 else ''} {', '.join(map(str, record.seeds))}"
    return f"{record.command}: {record.date}, {record.device}, {versions}, {seeds}, {images}, {record.seconds:.0f} s."


def report(records: Sequence[tuple[Study, Record | None]]) -> str:
    """A page to print or to send: every table, verdict and condition, in one file without external parts."""
    parts = [
        {
            "of": of,
            "found": verdicts.summary(of, record),
            "answers": verdicts.answers(of, record),
            "table": table(of, record),
            "fits": fit_table(of, record),
            "origin": origin(of, record),
        }
        for of, record in records
    ]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return str(_macros().page(parts, today))
