"""`python -m advcore papers list | show P2 | run P2`: the studies, what was measured of them, and measuring it anew."""

from __future__ import annotations

import argparse
import json
import sys

from advcore.errors import AdvcoreError
from advcore.papers import replication, studies, verdicts
from advcore.papers.replication import Record
from advcore.papers.studies import Entry, Study

_ALL = "all"


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    what = parser.add_subparsers(title="what to do", required=True, metavar="WHAT")
    listing = what.add_parser("list", help="the studies and the open questions")
    listing.set_defaults(run=_list)
    show = what.add_parser("show", help="published and measured, with a verdict")
    show.add_argument("key", metavar="KEY", help="P1, P2, … or Q1, …")
    show.set_defaults(run=_show)
    run = what.add_parser("run", help="measure anew and record it")
    run.add_argument("key", nargs="+", metavar="KEY", help=f"P1, P2, … Q1, … or {_ALL}")
    run.add_argument("--quick", action="store_true", help="the first 500 images (PGD 100); shown, not recorded")
    run.add_argument("--write", action="store_true", help="with --quick: record it nevertheless")
    run.set_defaults(run=_run)
    for command in (listing, show, run):
        command.add_argument("--json", action="store_true", help="JSON instead of tables")


def _list(options: argparse.Namespace) -> None:
    records = {key: replication.recorded(key) for key in studies.ENTRIES}
    if options.json:
        rows = [
            {"key": key, "title": of.title, "models": list(of.models), "measured": bool(record) and record.date}
            for (key, of), record in zip(studies.ENTRIES.items(), records.values(), strict=True)
        ]
        print(json.dumps({"papers": rows}, ensure_ascii=False))
        return
    for key, of in studies.ENTRIES.items():
        record = records[key]
        state = f"measured {record.date}, {len(record.measured)} figures" if record else "not measured yet"
        by = f"{of.authors}: " if isinstance(of, Study) else ""
        print(f"{key}  {by}{of.title}\n    {state}{_left_out(record)}")


def _left_out(record: Record | None) -> str:
    return f"; {len(record.missing)} models left out" if record and record.missing else ""


def _show(options: argparse.Namespace) -> None:
    of = replication.entry(options.key)
    _print(of, replication.recorded(of.key), as_json=options.json)


def _run(options: argparse.Namespace) -> None:
    keys = list(studies.ENTRIES) if [key.lower() for key in options.key] == [_ALL] else options.key
    if options.write and not options.quick:
        raise AdvcoreError("--write goes with --quick: a full measurement is always recorded.")
    for of in [replication.entry(key) for key in keys]:
        record = _measured(of, options.quick)
        _print(of, record, as_json=options.json)
        if options.quick and not options.write:
            print("Shown, not recorded: --quick measures few images.", file=sys.stderr)
        else:
            print(f"Recorded in {replication.write(record)}", file=sys.stderr)


def _measured(of: Entry, quick: bool) -> Record:
    told = ""
    for step in replication.measure(of, quick=quick):
        words = step.words.split(":")[0]
        if sys.stderr.isatty():
            print(f"\r{step.done:4.0%}  {step.words:<90.90}", end="", file=sys.stderr, flush=True)
        elif words != told:
            print(f"{step.done:4.0%}  {step.words}", file=sys.stderr, flush=True)
        told = words
    if sys.stderr.isatty():
        print(file=sys.stderr)
    assert step.record is not None
    return step.record


def _print(of: Entry, record: Record | None, *, as_json: bool) -> None:
    """A study's or question's table, its claims and where the figures come from."""
    claims = [{"claim": item.claim.words, "answer": item.words} for item in verdicts.answers(of, record)]
    if as_json:
        origin = {"command": record.command, "date": record.date, "device": record.device} if record else None
        whole = {"key": of.key, "title": of.title, "recorded": origin, "rows": verdicts.rows(of, record), "claims": claims}
        print(json.dumps(whole, ensure_ascii=False))
        return
    print(f"{of.key}  {of.title}")
    if isinstance(of, Study):
        print(f"{of.authors}. Claim: {of.claim}\n{of.conditions}\n")
        _print_study(of, record)
    else:
        print(f"{of.how}\n")
        _print_question(of, record)
    print()
    for item in claims:
        print(f"  {item['claim']}  {item['answer']}")
    if record:
        print(f"\n{record.command}\n{record.date}, {record.device}, {record.seconds:g} s, seeds {record.seeds}")
        for reason in record.missing.values():
            print(f"  left out: {reason}")
    else:
        print(f"\nNot measured yet: `python -m advcore papers run {of.key}`.")


def _percent(number: float | None) -> str:
    return "–" if number is None else f"{number:.2f}"


def _print_study(study: Study, record: Record | None) -> None:
    if any(figure.measures == "drop" for figure in study.figures):
        print("  drop: in points, under FGSM; beside it the drop under PGD-20")
    print(f"  {'row':<38} {'what':<6} {'ε':>5} {'published':>9} {'literal':>8} {'best':>8} {'PGD-20':>7}  verdict")
    for line in verdicts.lines(study, record):
        figure, best = line.figure, line.best
        published = _percent(figure.percent) + (f"–{figure.up_to:g}" if figure.up_to else "")
        numbers = f"{published:>9} {_percent(line.literal.measured):>8} {_percent(best.measured if best else None):>8}"
        pgd = f"{_percent(line.literal.pgd):>7}{' ⚠' if line.literal.masked else ''}"
        who = f"{figure.row}{' (defended)' if figure.defended else ''}"
        print(f"  {who:<38} {figure.measures:<6} {figure.epsilon:>5g} {numbers} {pgd}  {line.verdict.words}")
    for fit in verdicts.fits(verdicts.lines(study, record)):
        print(f"  {fit.words}: {fit.away:.1f} points away on {fit.figures} figures; literally {fit.literal_away:.1f}")


def _print_question(question: studies.Question, record: Record | None) -> None:
    print("  Accuracy in percent, its Wilson 95 % interval, and the test images it was measured on; ±: spread over the seeds.")
    for row in verdicts.rows(question, record):
        spread = f" ± {row['spread_points']:.2f}" if row["spread_points"] is not None else ""
        unit = " (L2)" if row["norm"] == "L2" else ""
        within = "" if row["missing"] else f"  {row['low_percent']:.1f} to {row['high_percent']:.1f}, {row['images']:,} images"
        told = f"{_percent(row['measured_percent']) + spread:<13}{within}" if row["missing"] is None else row["missing"]
        print(f"  {row['model']:<42} {row['measures']:<6} {row['epsilon']:>6g}{unit:<5} {told}")
