"""`python -m advcore papers list | show P2 | run P2`: the studies, what was measured of them, and measuring again."""

from __future__ import annotations

import argparse
import itertools
import json
import sys

from advcore.cli.options import progress_bar
from advcore.device import PRECISIONS
from advcore.errors import AdvcoreError
from advcore.papers import grid, record, verdicts
from advcore.papers.record import Record
from advcore.papers.studies import STUDIES, find
from advcore.papers.study import Study

_ALL = "all"


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    what = parser.add_subparsers(title="what to do", required=True, metavar="WHAT")
    listing = what.add_parser("list", help="the studies and the open questions")
    show = what.add_parser("show", help="published and measured, with a verdict")
    show.add_argument("key", metavar="KEY", help="P1, P2, … or Q1, …")
    run = what.add_parser("run", help="measure again and record it")
    run.add_argument("key", nargs="+", metavar="KEY", help=f"P1, P2, … Q1, … or {_ALL}")
    run.add_argument("--quick", action="store_true", help="the first 500 images (PGD 100, C&W 10); shown, not recorded")
    run.add_argument("--map", action="store_true", help="train its network at other widths; recorded datasets are kept")
    run.add_argument("--model", action="append", metavar="ID", help="only this model; the rest of the record stays")
    run.add_argument("--precision", choices=PRECISIONS, default=record.PRECISION, help="of the answers (default: fp32)")
    for command, action in ((listing, _list), (show, _show), (run, _run)):
        command.add_argument("--json", action="store_true", help="JSON instead of tables")
        command.set_defaults(run=action)


def _list(options: argparse.Namespace) -> None:
    rows = []
    for key, of in STUDIES.items():
        found = record.read(key)
        rows.append({"key": key, "title": of.title, "models": of.models, "measured": found and found.date})
        if not options.json:
            state = f"measured {found.date}, {len(found.measured)} accuracies" if found else "not measured yet"
            left_out = f"; {len(found.missing)} models left out" if found and found.missing else ""
            print(f"{key}  {f'{of.authors}: ' if of.authors else ''}{of.title}\n    {state}{left_out}")
    if options.json:
        print(json.dumps({"papers": rows}, ensure_ascii=False))


def _show(options: argparse.Namespace) -> None:
    of = find(options.key)
    _print(of, record.read(of.key), as_json=options.json)


def _run(options: argparse.Namespace) -> None:
    from advcore.papers import replication

    keys = list(STUDIES) if [key.lower() for key in options.key] == [_ALL] else options.key
    for of in [find(key) for key in keys]:
        if options.map:
            _run_map(of)
            continue
        only, old = options.model or [], record.read(of.key)
        if only and not old:
            raise AdvcoreError(f"There is no record of {of.key} yet; leave --model out.")
        for step in replication.measure(of, quick=options.quick, precision=options.precision, only=only):
            progress_bar(step.done, f"{step.words:<70.70}")
        assert step.record is not None
        found = record.replaced(old, step.record, only) if old and only and not options.quick else step.record
        _print(of, found, as_json=options.json)
        quick = "Shown, not recorded: --quick measures few images."
        print(quick if options.quick else f"Recorded in {record.write(found)}", file=sys.stderr)


def _run_map(of: Study) -> None:
    """Measure a study's map and record it, dataset by dataset."""
    from advcore.papers import trainings

    if not of.mapped:
        raise AdvcoreError(f"{of.key} has no map; these have one: {', '.join(key for key in STUDIES if STUDIES[key].mapped)}.")
    for step in trainings.measure(of):
        progress_bar(step.done, f"{step.words:<100.100}")
        if step.record:
            print(f"Recorded in {record.write(step.record)}", file=sys.stderr)
    print("\n".join(grid.sentences(of)))


def _print(of: Study, found: Record | None, *, as_json: bool) -> None:
    """A study's table, what it shows, its claims and where the figures come from."""
    claims = [{"claim": item.claim.words, "answer": item.words} for item in verdicts.answers(of, found)]
    summary = verdicts.summary(of, found)
    if as_json:
        names = ("command", "date", "device", "precision", "seeds", "images")
        origin = {name: getattr(found, name) for name in names} if found else None
        whole = {"key": of.key, "title": of.title, "recorded": origin, "rows": list(verdicts.rows(of, found))}
        print(json.dumps(whole | {"claims": claims, "findings": summary, "map": list(grid.rows(of))}, ensure_ascii=False))
        return
    print(f"{of.key}  {of.title}\n{f'{of.authors}. Claim: {of.claim}' if of.claim else 'An open question.'}\n{of.conditions}\n")
    print("In percent (a drop: in points, beside it the drop under PGD-20); 95 % intervals over images and seeds.")
    for row in verdicts.table(of, found):
        figure = row.figure
        published = (
            "" if figure.percent is None else f", published {figure.percent:g}{f'–{figure.up_to:g}' if figure.up_to else ''}"
        )
        # Carlini & Wagner's attack has an L2 budget of its own.
        size = f"L2 ≤ {row.cells[0].part.epsilon:g}" if figure.measures == "C&W" else f"ε = {figure.epsilon:g}"
        print(f"  {figure.row} · {row.cells[0].model} · {figure.measures}, {size}{published}. {row.words}")
        for cell in row.cells:
            masked = " ⚠ masked" if cell.masked else ""
            pgd = f"; PGD-20 {cell.pgd.percent:.1f} ({cell.pgd.images:,} images){masked}" if cell.pgd else ""
            ours = cell.measured
            told = f"{ours.percent:.2f} [{ours.low:.1f}, {ours.high:.1f}], {ours.images:,} images" if ours else "–"
            print(f"      {told:<38} {cell.reading.words}{pgd}")
    print()
    _print_map(of)
    for line in [*summary, *(f"{item['claim']}  {item['answer']}" for item in claims), *of.notes]:
        print(f"  {line}")
    if found:
        print(f"\n{found.command}\n{found.date}, {found.device}, {found.seconds:g} s, seeds {found.seeds}")
        for reason in found.missing.values():
            print(f"  left out: {reason}")
    else:
        print(f"\nNot measured yet: `python -m advcore papers run {of.key}`.")


def _print_map(of: Study) -> None:
    """A table for each dataset, reading and start of the study's map: the three figures by width and training images."""
    for (dataset, reading, start), some in itertools.groupby(
        grid.rows(of), key=lambda row: (row["dataset"], row["reading"], row["start"])
    ):
        print(f"  {dataset}, {reading}, adversarial training {start}, on held-out images; * nearest ({grid.FIGURES}):")
        for width, line in itertools.groupby(some, key=lambda row: row["width"]):
            cells = (
                f"{row['images']:,} images {row['clean']:.0f}/{row['attacked']:.0f}/{row['defended']:.0f}{'*' * row['nearest']}"
                for row in line
            )
            print(f"      width {width}: {', '.join(cells)}")
