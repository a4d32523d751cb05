"""`python -m advcore diagnose`: ten checks of whether a model's robustness can be believed; resumes, runs under torchrun."""

from __future__ import annotations

import argparse
import functools
import json
import operator
import time
from dataclasses import replace
from typing import Any

import torch

from advcore import attacks, data, distributed
from advcore.attacks import AutoAttack
from advcore.cli.evaluate import epsilon_of, evaluated, state_path
from advcore.cli.options import add_device, chosen_device, epsilon, progress_bar
from advcore.device import Precision, describe
from advcore.errors import AdvcoreError
from advcore.evaluation.diagnosis import CHECKS, Diagnosis, diagnose, other_model
from advcore.evaluation.robust_accuracy import RobustAccuracy
from advcore.files import read_object, write_whole
from advcore.models import checkpoints, headers, storage
from advcore.models.checkpoints import Checkpoint

_MOST_BYTES = 10_000_000


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("checkpoint", metavar="ID")
    parser.add_argument(
        "--epsilon",
        type=epsilon,
        help="in pixel space: 0.1 or 8/255 (default: in L∞ what the model claims, in L2 the dataset's)",
    )
    parser.add_argument("--norm", choices=["linf", "l2"], default="linf")
    parser.add_argument("--limit", type=int, default=200, metavar="N", help="on the first N test images (default 200)")
    parser.add_argument(
        "--autoattack",
        type=int,
        metavar="N",
        help="run AutoAttack first, on the first N test images (default: 0; with --write 1000, of Tiny ImageNet 500)",
    )
    parser.add_argument("--write", action="store_true", help="keep the results in the checkpoint's header")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    add_device(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    checkpoint = checkpoints.find(options.checkpoint)
    at = options.epsilon if options.epsilon is not None else epsilon_of(checkpoint, options.norm)
    attacks.check_epsilon(at, options.norm)
    leader, start, (device, precision) = not distributed.world().rank, time.perf_counter(), chosen_device(options)
    usual = (500 if checkpoint.dataset == "tiny-imagenet" else 1000) if options.write else 0
    count = usual if options.autoattack is None else options.autoattack
    test = data.load(checkpoint.dataset, "test", limit=max(count, options.limit))
    if options.write and test.samples:
        raise AdvcoreError(f"Only samples of {checkpoint.dataset} are here; figures of a header need its test images.")
    strong, show = None, leader and not options.json
    if count > 0:
        strong = evaluated(checkpoint, test[:count], AutoAttack(norm=options.norm), at, device, precision, show=show)
    found = _diagnosed(checkpoint, test[: options.limit], at, options.norm, strong, device, precision, show=show)
    if not leader:
        return
    if options.write:
        write(checkpoint, found, strong)
    result = {
        "checkpoint": checkpoint.id,
        "dataset": checkpoint.dataset,
        "source": test.source,
        "samples": test.samples,
        "device": describe(device, precision),
        "seconds": round(time.perf_counter() - start, 3),
        "autoattack": None if strong is None else strong.to_dict(),
        "diagnosis": found.to_dict(),
        "verdict": found.verdict,
        "checks": [
            {"check": check.key, "title": check.title, "light": check.light, "sentence": check.sentence, **check.counts}
            for check in found.checks
        ],
    }
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        _print(result)


def _diagnosed(
    checkpoint: Checkpoint,
    test: data.LabeledImages,
    at: float,
    norm: attacks.Norm,
    strong: RobustAccuracy | None,
    device: torch.device,
    precision: Precision,
    *,
    show: bool,
) -> Diagnosis:
    """The diagnosis over `test`, shared between the processes of torchrun; continues after the last complete check."""
    checkpoint.require(test)
    world = distributed.world()
    share = test[world.rank :: world.size]
    if len(test) < world.size:
        raise AdvcoreError(f"{len(test)} images cannot be shared by {world.size} processes; raise --limit.")
    other = other_model(checkpoint, checkpoints.catalog(checkpoint.dataset).values())
    path = state_path("diagnose", checkpoint, test, at, norm, len(test), other and other.id, strong is not None)
    fooled = None
    if strong is not None:
        known = torch.zeros(len(test), dtype=torch.bool)
        for index, place in enumerate(strong.fooled_by[: len(test)]):
            known[index] = place <= len(strong.components)
        fooled = known[world.rank :: world.size]
    whole, step = -1, None
    for step in diagnose(
        checkpoint.model(),
        share,
        at,
        norm=norm,
        defended=checkpoint.defended,
        other=None if other is None else other.model(),
        device=device,
        state=read_object(path, _MOST_BYTES),
        fooled=fooled,
        precision=precision,
    ):
        if len(step.diagnosis.counts) > whole:
            whole = len(step.diagnosis.counts)
            write_whole(path, json.dumps(step.state))
        if show:
            progress_bar(step.share, f"{checkpoint.id} · {CHECKS[step.check].title if step.check else 'all checks'}"[:70])
    assert step is not None
    parts: list[Diagnosis] = distributed.gather(step.diagnosis)
    return functools.reduce(operator.add, parts)


def write(checkpoint: Checkpoint, found: Diagnosis, strong: RobustAccuracy | None) -> None:
    """Put the results into the checkpoint's header; the bytes of its weights stay as they are."""
    metrics = {**checkpoint.metrics, "diagnosis": found.to_dict()}
    if strong is not None:
        metrics["autoattack"] = strong.to_dict()
    changed = replace(headers.read(checkpoint.path), metrics=metrics)
    storage.write_metadata(checkpoint.path, storage.read_metadata(checkpoint.path) | changed.to_metadata())


def _print(result: dict[str, Any]) -> None:
    note = " (samples only)" if result["samples"] else ""
    found = result["diagnosis"]
    print(f"{result['checkpoint']} at ε = {found['epsilon']:.4g} ({attacks.NORM_TITLES[found['norm']]}){note}")
    print(f"  {result['device']}, {result['seconds']} s")
    for number, check in enumerate(result["checks"], 1):
        print(f"  {number:>2} {check['light']:<12} {check['title']}\n                  {check['sentence']}")
    if result["autoattack"]:
        found = result["autoattack"]
        left = ", ".join(f"{name} {count}" for name, count in found["survivors"].items())
        print(f"  AutoAttack leaves {100 * found['accuracy']:.1f} % of {found['images']:,} images ({left})")
    print(result["verdict"])
