"""`python -m advcore certify`: the L2 radius that randomized smoothing proves for one test image."""

from __future__ import annotations

import argparse
import json
import math

from advcore.cli.options import add_device, add_test_image, opened, progress_bar
from advcore.device import describe
from advcore.evaluation.smoothing import ALPHA, bracket


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_test_image(parser)
    parser.add_argument("--sigma", type=float, default=0.25, help="standard deviation of the noise, pixel space (default 0.25)")
    parser.add_argument("--samples", type=int, default=1000, metavar="N", help="votes to count (default 1000)")
    parser.add_argument("--draw", type=int, default=0, help="seed of the noise (default 0)")
    add_device(parser, precision=False)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    checkpoint, test, model, image = opened(options)
    names, found = test.class_names, None
    for found in bracket(model, image, options.sigma, options.samples, len(names), seed=options.draw, index=options.index):
        progress_bar(found.votes.samples / options.samples, "votes")
    assert found is not None
    radius = found.votes.radius
    result = {
        "checkpoint": checkpoint.id,
        "index": options.index,
        "samples_only": test.samples,
        "label": names[int(test.labels[options.index])],
        "sigma": options.sigma,
        "confidence": 1 - ALPHA,
        "votes": {names[at]: count for at, count in enumerate(found.votes.counts) if count},
        "answer": None if radius is None else names[found.votes.answer],
        "radius_l2": radius,
        "radius_linf": None if radius is None else radius / math.sqrt(image.numel()),
        "attack_tried_up_to_l2": found.tried,
        "attack_found_at_l2": found.fooled_at,
        "device": describe(image.device, "fp32"),
    }
    print(json.dumps(result, indent=2, ensure_ascii=False))
