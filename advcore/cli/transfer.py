"""`python -m advcore transfer`: attacks made on each model of a dataset, tried on all of them."""

from __future__ import annotations

import argparse
import json

from advcore import attacks, data
from advcore.cli.options import add_attack, add_device, chosen_attack, epsilon, progress_bar
from advcore.device import describe, pick_device
from advcore.errors import AdvcoreError
from advcore.evaluation.transfer import transfer
from advcore.models import checkpoints


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("dataset")
    parser.add_argument("--checkpoint", nargs="+", metavar="ID", help="these models (default: all of the dataset)")
    parser.add_argument("--epsilon", type=epsilon, help="in pixel space: 0.1 or 8/255 (default: the dataset's)")
    parser.add_argument("--limit", type=int, default=200, metavar="N", help="on the first N test images (default 200)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    add_attack(parser)
    add_device(parser, precision=False)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    info = data.dataset(options.dataset)
    at = info.epsilon if options.epsilon is None else options.epsilon
    attack = chosen_attack(options, [at])
    test, device = data.load(info.name, "test", limit=options.limit), pick_device(options.device)
    models = {}
    for name in options.checkpoint or checkpoints.catalog(info.name):
        checkpoint = checkpoints.find(name)
        checkpoint.require(test)
        models[name] = checkpoint.model().to(device)
    if not models:
        raise AdvcoreError(f"There is no model of {info.title}; train one first.")
    found = None
    for found in transfer(models, test, attack, at):
        progress_bar(found.share, attacks.title(attack))
    assert found is not None
    if options.json:
        result = {
            "dataset": info.name,
            "source": test.source,
            "samples": test.samples,
            "attack": attacks.title(attack),
            "epsilon": at,
            "device": describe(device, "fp32"),
            "pairs": found.rows(),
        }
        print(json.dumps(result, ensure_ascii=False))
        return
    print(f"{attacks.title(attack)} at ε = {at:.4g} on {len(test)} test images: % right; rows the source, columns the victim")
    print(" " * 34 + "".join(f"{place + 1:>6}" for place in range(len(models))))
    titles = [f"{place} {name.split('/', 1)[1]}" for place, name in enumerate(models, 1)]
    for source, name in ((None, "no attack"), *enumerate(titles)):
        shares = [correct / images for correct, images in (found.left(source, victim) for victim in range(len(models)))]
        print(f"{name:<34}" + "".join(f"{100 * share:>6.1f}" for share in shares))
