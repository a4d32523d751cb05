"""`python -m advcore papers list | show P2 | run P2`: the studies, what was measured of them, and measuring again."""

from __future__ import annotations

import argparse
import json
import sys

from advcore.errors import AdvcoreError
from advcore.papers import record, replication, verdicts
from advcore.papers.record import Record
from advcore.papers.studies import STUDIES, find
from advcore.papers.study import Study

_ALL = "all"


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    what = parser.add_subparsers(title="what to do", required=True, metavar="WHAT")
    listing = what.add_parser("list", help="the studies and the open questions")
    listing.set_defaults(run=_list)
    show = what.add_parser("show", help="published and measured, with a verdict")
    show.add_argument("key", metavar="KEY", help="P1, P2, … or Q1, …")
    show.set_defaults(run=_show)
    run = what.add_parser("run", help="measure again and record it")
    run.add_argument("key", nargs="+", metavar="KEY", help=f"P1, P2, … Q1, … or {_ALL}")
    run.add_argument("--quick", action="store_true", help="the first 500 images (PGD 100); shown, not recorded")
    run.add_argument("--write", action="store_true", help="with --quick: record it nevertheless")
    run.set_defaults(run=_run)
    for command in (listing, show, run):
        command.add_argument("--json", action="store_true", help="JSON instead of tables")


def _list(options: argparse.Namespace) -> None:
    records = {key: record.read(key) for key in STUDIES}
    if options.json:
        dates = {key: found.date if found else None for key, found in records.items()}
        rows = [{"key": key, "title": of.title, "models": of.models, "measured": dates[key]} for key, of in STUDIES.items()]
        print(json.dumps({"papers": rows}, ensure_ascii=False))
        return
    for key, of in STUDIES.items():
        found = records[key]
        state = f"measured {found.date}, {len(found.measured)} accuracies" if found else "not measured yet"
        left_out = f"; {len(found.missing)} models left out" if found and found.missing else ""
        print(f"{key}  {f'{of.authors}: ' if of.authors else ''}{of.title}\n    {state}{left_out}")


def _show(options: argparse.Namespace) -> None:
    of = find(options.key)
    _print(of, record.read(of.key), as_json=options.json)


def _run(options: argparse.Namespace) -> None:
    keys = list(STUDIES) if [key.lower() for key in options.key] == [_ALL] else options.key
    if options.write and not options.quick:
        raise AdvcoreError("--write goes with --quick: a full measurement is always recorded.")
    for of in [find(key) for key in keys]:
        found = _measured(of, options.quick)
        _print(of, found, as_json=options.json)
        if options.quick and not options.write:
            print("Shown, not recorded: --quick measures few images.", file=sys.stderr)
        else:
            print(f"Recorded in {record.write(found)}", file=sys.stderr)


def _measured(of: Study, quick: bool) -> Record:
    told, live = "", sys.stderr.isatty()
    for step in replication.measure(of, quick=quick):
        words = step.words.split(":")[0]
        if live or words != told:
            line = f"{step.done:4.0%}  {step.words:<90.90}"
            print(f"\r{line}" if live else line.rstrip(), end="" if live else "\n", file=sys.stderr, flush=True)
        told = words
    if live:
        print(file=sys.stderr)
    assert step.record is not None
    return step.record


def _print(of: Study, found: Record | None, *, as_json: bool) -> None:
    """A study's table, what it shows, its claims and where the figures come from."""
    claims = [{"claim": item.claim.words, "answer": item.words} for item in verdicts.answers(of, found)]
    summary = verdicts.summary(of, found)
    if as_json:
        names = ("command", "date", "device", "precision", "seeds", "images")
        origin = {name: getattr(found, name) for name in names} if found else None
        whole = {"key": of.key, "title": of.title, "recorded": origin, "rows": list(verdicts.rows(of, found))}
        print(json.dumps(whole | {"claims": claims, "findings": summary}, ensure_ascii=False))
        return
    print(f"{of.key}  {of.title}\n{f'{of.authors}. Claim: {of.claim}' if of.claim else 'An open question.'}\n{of.conditions}\n")
    print("In percent (a drop: in points, beside it the drop under PGD-20); 95 % intervals over images and seeds.")
    for row in verdicts.table(of, found):
        figure = row.figure
        published = (
            "" if figure.percent is None else f", published {figure.percent:g}{f'–{figure.up_to:g}' if figure.up_to else ''}"
        )
        print(f"  {figure.row} · {row.cells[0].model} · {figure.measures}, ε = {figure.epsilon:g}{published}. {row.words}")
        for cell in row.cells:
            pgd = f"; PGD-20 {cell.pgd.percent:.1f}{' ⚠ masked' if cell.masked else ''}" if cell.pgd else ""
            ours = cell.measured
            told = f"{ours.percent:.2f} [{ours.low:.1f}, {ours.high:.1f}], {ours.images:,} images" if ours else "–"
            print(f"      {told:<38} {cell.reading.words}{pgd}")
    print()
    for line in [*summary, *(f"{item['claim']}  {item['answer']}" for item in claims), *of.notes]:
        print(f"  {line}")
    if found:
        print(f"\n{found.command}\n{found.date}, {found.device}, {found.seconds:g} s, seeds {found.seeds}")
        for reason in found.missing.values():
            print(f"  left out: {reason}")
    else:
        print(f"\nNot measured yet: `python -m advcore papers run {of.key}`.")
