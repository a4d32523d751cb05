"""`python -m advcore curve`: accuracy against ε on the test split, as a table or JSON; runs under torchrun."""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import operator
import time
from typing import Any

from advcore import attacks, data, distributed
from advcore.cli.options import add_attack, add_device, chosen_attack, chosen_device, epsilon_grid, progress_bar
from advcore.device import describe
from advcore.evaluation.curves import READINGS, RobustnessCurve, predictions
from advcore.evaluation.worst_case import worst_case
from advcore.models import checkpoints


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--checkpoint", nargs="+", required=True, metavar="ID")
    add_attack(parser)
    parser.add_argument(
        "--epsilons",
        type=epsilon_grid,
        default="0:0.5:0.05",
        help="0,0.1,0.3 or 0,6/255,8/255 or start:stop:step, in pixel space",
    )
    parser.add_argument(
        "--worst-case", action="store_true", help="an image fooled at a smaller ε counts as fooled (default: at exactly each ε)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N test images")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    add_device(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    chosen = [checkpoints.find(checkpoint_id) for checkpoint_id in options.checkpoint]
    attack, results = chosen_attack(options, options.epsilons), []
    leader = not distributed.world().rank
    for checkpoint in chosen:
        results.append(_curve(checkpoint, attack, options, show=leader and not options.json))
        if leader and not options.json:
            _print(results[-1])
    if leader and options.json:
        print(json.dumps({"results": results}))


def _curve(
    checkpoint: checkpoints.Checkpoint, attack: attacks.Attack, options: argparse.Namespace, *, show: bool
) -> dict[str, Any]:
    """One checkpoint's curve over the test split, shared between the processes of torchrun, as JSON values."""
    world, (device, precision) = distributed.world(), chosen_device(options)
    test = data.load(checkpoint.dataset, "test", limit=options.limit)
    checkpoint.require(test)
    share = test[world.rank :: world.size]
    start = time.perf_counter()
    measure, reading = (worst_case, "worst") if options.worst_case else (predictions, "exact")
    curve = RobustnessCurve(tuple(options.epsilons), (0,) * len(options.epsilons), 0, attack.norm, reading)
    parts = measure(checkpoint.model(), share, attack, options.epsilons, device=device, precision=precision)
    for curve in itertools.accumulate(part.curve for part in parts):
        if show:
            progress_bar(curve.total / len(share), f"{checkpoint.id} · {attacks.title(attack)}")
    shares: list[RobustnessCurve] = distributed.gather(curve)
    whole = functools.reduce(operator.add, shares)
    return {
        "checkpoint": checkpoint.id,
        "dataset": checkpoint.dataset,
        "source": test.source,
        "samples": test.samples,
        "attack": attacks.title(attack),
        "images": whole.total,
        "device": describe(device, precision),
        "precision": precision,
        "seconds": round(time.perf_counter() - start, 3),
        "points": whole.points(),
    }


def _print(result: dict[str, Any]) -> None:
    note = " (samples only)" if result["samples"] else ""
    title = f"{result['checkpoint']} under {result['attack']}: {result['images']} images{note}"
    print(f"{title}, {result['device']}, {result['seconds']} s")
    norm, reading = result["points"][0]["norm"], result["points"][0]["reading"]
    print(f"  ε, {attacks.NORM_TITLES[norm]:<2}                 right   accuracy   95 % interval   ({READINGS[reading]})")
    for point in result["points"]:
        low, high = (100 * point[end] for end in ("low", "high"))
        epsilon = f"{point['epsilon']:.4f}" + (f" ({point['epsilon'] * 255:.1f}/255)" if norm == "linf" else "")
        print(f"  {epsilon:<20} {point['correct']:>6}   {100 * point['accuracy']:>6.2f} %   {low:.1f} … {high:.1f} %")
