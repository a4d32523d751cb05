"""`python -m advcore evaluate`: robust accuracy at one ε on the test split; resumes, and runs under torchrun."""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import operator
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from advcore import attacks, data, distributed
from advcore.cli.options import add_attack, add_device, chosen_attack, chosen_device, epsilon, progress_bar
from advcore.device import Precision, describe
from advcore.errors import AdvcoreError
from advcore.evaluation.figures import claimed_epsilon
from advcore.evaluation.robust_accuracy import RobustAccuracy, robust_accuracy
from advcore.files import read_object, write_whole
from advcore.models import checkpoints, storage
from advcore.models.checkpoints import Checkpoint

_MOST_BYTES = 10_000_000
_BATCH = 48  # images after which the state is saved


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--checkpoint", nargs="+", required=True, metavar="ID")
    add_attack(parser, default="autoattack")
    parser.add_argument(
        "--epsilon",
        type=epsilon,
        help="in pixel space: 0.1 or 8/255 (default: in L∞ what the model claims, in L2 the dataset's)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N test images")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    add_device(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    chosen = [checkpoints.find(checkpoint_id) for checkpoint_id in options.checkpoint]
    leader, results = not distributed.world().rank, []
    for checkpoint in chosen:
        attack = chosen_attack(options, [])
        at = options.epsilon if options.epsilon is not None else epsilon_of(checkpoint, attack.norm)
        attacks.check_epsilon(at, attack.norm)
        device, precision = chosen_device(options)
        test = data.load(checkpoint.dataset, "test", limit=options.limit)
        start = time.perf_counter()
        found = evaluated(checkpoint, test, attack, at, device, precision, show=leader and not options.json)
        results.append(
            {
                "checkpoint": checkpoint.id,
                "dataset": checkpoint.dataset,
                "source": test.source,
                "samples": test.samples,
                "attack": attacks.title(attack),
                "images": found.curve.total,
                "device": describe(device, precision),
                "precision": precision,
                "seconds": round(time.perf_counter() - start, 3),
                "points": found.curve.points(),
                "survivors": found.survivors,
            }
        )
        if leader and not options.json:
            _print(results[-1])
    if leader and options.json:
        print(json.dumps({"results": results}, ensure_ascii=False))


def epsilon_of(checkpoint: Checkpoint, norm: attacks.Norm) -> float:
    """The ε at which a checkpoint is evaluated: in L∞ what it claims, else its dataset's; in L2 its dataset's budget.

    Raises AdvcoreError in L0, which has no usual ε.
    """
    info = data.dataset(checkpoint.dataset)
    if norm == "l0":
        raise AdvcoreError("In L0 there is no usual ε: give --epsilon, the share of the values that may change.")
    return info.l2_budget if norm == "l2" else claimed_epsilon(checkpoint) or info.epsilon


def state_path(kind: str, checkpoint: Checkpoint, test: data.LabeledImages, *more: object) -> Path:
    """Where this process saves an unfinished evaluation: the file name is a hash of everything that the result depends on."""
    world, weights = distributed.world(), storage.digest(checkpoint.path)
    parts = (checkpoint.recipe, weights, test.source, world.rank, world.size, *more)
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
    path = checkpoints.runs_root() / "evaluations" / f"{kind}-{digest}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def evaluated(
    checkpoint: Checkpoint,
    test: data.LabeledImages,
    attack: attacks.Attack,
    at: float,
    device: Any,
    precision: Precision,
    *,
    show: bool,
) -> RobustAccuracy:
    """The robust accuracy over `test`, shared between the processes of torchrun; continues where an earlier run stopped.

    `fooled_by` of the result is in the order of `test`.
    """
    checkpoint.require(test)
    world = distributed.world()
    share = test[world.rank :: world.size]
    path = state_path("evaluate", checkpoint, test, attack, at, precision)
    known = read_object(path, _MOST_BYTES).get("fooled_by")
    most = 1 + (len(attack.components) if isinstance(attack, attacks.AutoAttack) else 1)
    if not isinstance(known, list) or not all(type(place) is int and 0 <= place <= most for place in known):
        known = []  # no saved state, or a damaged one
    found = None
    options = {"device": device, "precision": precision, "batch_size": _BATCH, "done": known[: len(share)]}
    for found in robust_accuracy(checkpoint.model(), share, attack, at, **options):
        if len(found.fooled_by) > len(known):
            write_whole(path, json.dumps({"fooled_by": found.fooled_by}))
        if show:
            progress_bar(len(found.fooled_by) / len(share), f"{checkpoint.id} · {attacks.title(attack)}")
    parts: list[RobustAccuracy | None] = distributed.gather(found)
    whole = functools.reduce(operator.add, (part for part in parts if part is not None))
    order = [index for rank in range(world.size) for index in range(rank, len(test), world.size)]
    return replace(whole, fooled_by=tuple(place for _, place in sorted(zip(order, whole.fooled_by, strict=True))))


def _print(result: dict[str, Any]) -> None:
    note, point = " (samples only)" if result["samples"] else "", result["points"][0]
    unit = attacks.NORM_TITLES[point["norm"]]
    print(f"{result['checkpoint']} under {result['attack']}, {unit}, ε = {point['epsilon']:.4g}")
    print(f"  {result['images']} images{note}, {result['device']}, {result['seconds']} s")
    low, high = (100 * point[end] for end in ("low", "high"))
    print(f"  robust accuracy at most {100 * point['accuracy']:.2f} % (95 % interval {low:.1f} … {high:.1f} %)")
    for name, count in result["survivors"].items():
        print(f"  {name:<10} {count:>6} left")
