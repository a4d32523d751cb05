"""`python -m advcore checkpoints`: the models and their figures; `--rebuild` trains shipped ones that are missing."""

from __future__ import annotations

import argparse
import json
import sys

from advcore.errors import AdvcoreError
from advcore.models import checkpoints, headers
from advcore.training import shipped


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--rebuild", nargs="?", const="*", metavar="PATTERN", help="train the shipped ones that are missing")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if options.rebuild:
        _rebuild(options.rebuild)
    known = checkpoints.catalog()
    if options.json:
        rows = [
            {
                "id": item.id,
                "own": item.own,
                "recipe": item.recipe.to_dict(),
                "metrics": item.metrics,
                "provenance": item.provenance,
            }
            for item in known.values()
        ]
        print(json.dumps({"checkpoints": rows}, ensure_ascii=False))
        return
    print(f"{'id':<40} {'clean':>8}   under attack (images)")
    for item in known.values():
        under = "  ".join(
            f"{row['attack']} {row['epsilon']:.3g}: {100 * row['accuracy']:.2f} % ({row['images']:,})"
            for row in headers.rows_in(item.metrics)
        )
        clean = f"{100 * item.metrics['clean']:.2f} %" if "clean" in item.metrics else "–"
        print(f"{item.id:<40} {clean:>8}   {under}{'   (your own)' if item.own else ''}")
    for path, reason in checkpoints.problems().items():
        print(f"advcore: {path} is left out: {reason}", file=sys.stderr)


def _rebuild(pattern: str) -> None:
    """Train the shipped checkpoints that match and are missing; a training that was stopped continues from its last state."""
    from advcore import attacks
    from advcore.cli import train

    wanted = shipped.matching(pattern)
    if not wanted:
        raise AdvcoreError(f"No shipped checkpoint matches '{pattern}'; `python -m advcore checkpoints` lists them.")
    for item in wanted:
        path = checkpoints.shipped_root() / f"{item.recipe.checkpoint_id}{checkpoints.SUFFIX}"
        if not path.exists():
            print(f"Training {item.recipe.checkpoint_id}", flush=True)
            train.train_to(path, item.recipe, pgd=attacks.PGD(steps=item.steps, restarts=item.restarts))
