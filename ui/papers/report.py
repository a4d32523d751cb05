"""The studies' tables as HTML, on the page and in the report to print; all text is escaped."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from html import escape

from advcore.papers import studies, verdicts
from advcore.papers.replication import Record
from advcore.papers.studies import Entry, Question, Study
from ui.words import epsilon_text

ICONS = {"reproduced": "✓", "another convention": "≈", "not reproducible": "✗", "not measured": "…", "not published": "·"}
_EDGES = {"reproduced": "reproduced", "another convention": "another", "not reproducible": "not"}
MEASURES = {"clean": "clean accuracy", "FGSM": "under FGSM", "PGD": "under PGD", "drop": "drop under FGSM", "C&W": "under C&W"}
TABLE_CSS = """
.study-scroll { overflow-x: auto; }
.study { border-collapse: collapse; width: 100%; font-size: .86rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
.study th, .study td { border-bottom: 1px solid rgba(128,128,128,.3); padding: .35rem .55rem; text-align: left;
  vertical-align: top; }
.study th { font-weight: 600; white-space: nowrap; }
.study td.number, .study th.number { text-align: right; white-space: nowrap; }
.study td.wide { min-width: 15rem; }
.study td.row { min-width: 6.5rem; }
.study td.what { min-width: 9.5rem; }
.study small { opacity: .75; display: block; }
.study .another, .study .reproduced { border-left: 4px solid #009E73; }
.study .another { border-left-style: dashed; }
.study .not { border-left: 4px solid #D55E00; }
.study .reading { white-space: normal; min-width: 9rem; }
.study .masked { color: #D55E00; font-weight: 600; }
"""
_PAGE_CSS = """
@page { size: A4 landscape; margin: 12mm; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
  color: #111; background: #fff; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.2rem; } .by { color: #555; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-before: page; }
  h1 + p + h2 { break-before: auto; } .study { font-size: 10px; } .study-scroll { overflow: visible; }
  .study td, .study th { white-space: normal !important; min-width: 0 !important; } tr { break-inside: avoid; } }
"""


def number(percent: float | None, digits: int = 1) -> str:
    """A figure of a table; a dash where there is none."""
    return "–" if percent is None else f"{percent:.{digits}f}"


def _cells(kind: str, cells: Iterable[tuple[str, str]]) -> str:
    """A row of cells: (class, HTML that is already escaped)."""
    return "<tr>" + "".join(f'<{kind} class="{name}">{text}</{kind}>' for name, text in cells) + "</tr>"


def _table(head: Sequence[tuple[str, str]], body: Iterable[str]) -> str:
    return (
        f'<div class="study-scroll"><table class="study"><thead>{_cells("th", head)}</thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def table(of: Entry, record: Record | None) -> str:
    """A study's or question's table as HTML."""
    return _study_table(of, record) if isinstance(of, Study) else _question_table(of, record)


def _study_table(study: Study, record: Record | None) -> str:
    head = [("", "Row"), ("", "What"), ("number", "Published"), ("number", "As written"), ("number", "PGD-20")]
    head += [("number", "Nearest reading"), ("number", "PGD-20"), ("", "Verdict")]
    return _table(head, (_line(line) for line in verdicts.lines(study, record)))


def _line(line: verdicts.Line) -> str:
    figure, best = line.figure, line.best
    at = f"<small>ε = {figure.epsilon:g} as written</small>" if figure.epsilon else ""
    other = best if best is not None and best is not line.literal else None
    nearest = f"{_measured(figure, other)}<small class=reading>{escape(other.reading.words)}</small>" if other else "–"
    return _cells(
        "td",
        [
            (f"row {_EDGES.get(line.verdict.kind, '')}", escape(figure.row)),
            ("what", f"{'defended' if figure.defended else 'undefended'}, {MEASURES[figure.measures]}{at}"),
            ("number", number(figure.percent, 2) + (f" to {figure.up_to:g}" if figure.up_to else "")),
            ("number", _measured(figure, line.literal)),
            ("number", _beside(figure, line.literal)),
            ("number", nearest),
            ("number", _beside(figure, other) if other else "–"),
            ("wide", f"{ICONS[line.verdict.kind]} {escape(line.verdict.words)}"),
        ],
    )


def _measured(figure: studies.Figure, cell: verdicts.Cell) -> str:
    """What was measured under a reading, how far from what was published, and at which ε."""
    away = "" if cell.away is None else f"<small>{round(cell.away, 1) + 0.0:+.1f} points</small>"
    pixels = f"<small>ε = {escape(epsilon_text(cell.epsilon))}</small>" if figure.epsilon else ""
    return f"{number(cell.measured)}{away}{pixels}"


def _beside(figure: studies.Figure, cell: verdicts.Cell) -> str:
    """What PGD-20 leaves; of a drop what it takes, which is said."""
    kind = "<small>drop</small>" if figure.measures == "drop" and cell.pgd is not None else ""
    return number(cell.pgd) + kind + ("<small class=masked>⚠ masked</small>" if cell.masked else "")


def fit_table(of: Study, record: Record | None) -> str:
    """How far each reading lies from what the study published, over the figures that it changes."""
    head = [("", "Reading"), ("number", "Figures it changes"), ("number", "Points away, mean"), ("number", "As written")]
    fits = sorted(verdicts.fits(verdicts.lines(of, record)), key=lambda fit: fit.away)
    numbers = ((fit, (str(fit.figures), number(fit.away), number(fit.literal_away))) for fit in fits)
    rows = [[("wide", escape(fit.words)), *(("number", told) for told in three)] for fit, three in numbers]
    return _table(head, (_cells("td", row) for row in rows)) if rows else ""


INTERVALS = (
    "Below each accuracy stand its 95 % interval (Wilson 1927), which counts the chance in the choice of test images, and how "
    "many of the first test images it was measured on. ± is the standard deviation over the seeds, where there are several."
)


def _question_table(question: Question, record: Record | None) -> str:
    attacks = question.attacks
    head = [("", "Model"), ("number", "ε"), *(("number", MEASURES[attack]) for attack in attacks)]
    body = []
    for subject in question.subjects:
        budget = studies.L2_BUDGETS[subject.model.split("/")[0]]
        cells = [("", escape(subject.model)), ("number", escape(epsilon_text(subject.epsilon)))]
        missing = None
        for attack in attacks:
            found = verdicts.value(record, subject.model, attack, subject.epsilon) if record else None
            spread = f"<small>± {found.spread:.2f}, {found.seeds} seeds</small>" if found and found.spread is not None else ""
            within = f"<small>L2 ≤ {budget:g}</small>" if attack == "C&W" and found else ""
            cells.append(("number", f"{number(found.percent if found else None)}{_sampled(found)}{within}{spread}"))
            missing = missing or (not found and record and record.missing.get(subject.model))
        if missing:
            cells[0] = ("wide", f"{escape(subject.model)}<small>{escape(missing)}</small>")
        body.append(_cells("td", cells))
    return _table(head, body)


def _sampled(found: verdicts.Value | None) -> str:
    """The interval of an accuracy and the images behind it."""
    if found is None or found.interval is None:
        return ""
    low, high = found.interval
    return f"<small>{low:.1f} to {high:.1f}</small><small>{found.images:,} images</small>"


def findings(of: Entry, record: Record | None) -> list[str]:
    """What was found, in plain sentences."""
    return verdicts.summary(of, verdicts.lines(of, record)) if isinstance(of, Study) else []


def origin(record: Record) -> str:
    """Where the figures come from, in a sentence."""
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    seeds = f"seed{'s' if len(record.seeds) > 1 else ''} {', '.join(map(str, record.seeds))}"
    return f"{record.command}: {record.date}, {record.device}, {versions}, {seeds}, {record.seconds:.0f} s."


def report(records: Sequence[tuple[Entry, Record | None]]) -> str:
    """A page of its own to print or to send: every table, verdict and condition, in one file that needs nothing else."""
    parts = []
    for of, record in records:
        by = f"{of.authors}" + (f", arXiv {of.arxiv}" if of.arxiv else "") if isinstance(of, Study) else "An open question"
        claim = f"<p><strong>Claim:</strong> {escape(of.claim)}</p>" if isinstance(of, Study) else ""
        conditions = of.conditions if isinstance(of, Study) else of.how
        found = "".join(f"<li>{escape(words)}</li>" for words in findings(of, record))
        answers = "".join(
            f"<li>{escape(answer.claim.words)} <strong>{escape(answer.words)}</strong></li>"
            for answer in verdicts.answers(of, record)
        )
        remarks = "".join(f"<li>{escape(words)}</li>" for words in (of.remarks if isinstance(of, Study) else (INTERVALS,)))
        readings = fit_table(of, record) if isinstance(of, Study) else ""
        where = escape(origin(record)) if record else f"Not measured yet: python -m advcore papers run {of.key}"
        parts.append(
            f'<h2>{of.key} · {escape(of.title)}</h2><p class="by">{escape(by)}</p>{claim}<p>{escape(conditions)}</p>'
            f"<ul>{found}{answers}</ul>{table(of, record)}{readings}<ul>{remarks}</ul><p class='by'><code>{where}</code></p>"
        )
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The papers, measured again</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{TABLE_CSS}{_PAGE_CSS}</style></head><body><h1>The papers, measured again</h1>"
        f'<p class="by">Adversarial Lab, {today}. Accuracy in percent on the test split, white-box, untargeted; ε is L∞ in '
        "pixel space [0, 1] unless it says otherwise; drops, under PGD-20 too, in points. Reproduced: within "
        f"{verdicts.WITHIN:.1f} points, to a tenth. "
        "⚠ masked: FGSM leaves at least 30 points more than PGD-20 at the same ε.</p>"
        f"{''.join(parts)}</body></html>"
    )
