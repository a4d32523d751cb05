"""`python -m advcore gradient`: a model's input gradient at one test image, and a targeted attack with growing budgets."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from advcore import data
from advcore.cli.attack import class_index
from advcore.cli.options import add_device, add_test_image, opened
from advcore.evaluation.gradients import far_epsilons, film, input_gradient_at
from advcore.images.encode import png


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_test_image(parser)
    parser.add_argument("--target", metavar="CLASS", help="also attack toward this class, by name or number")
    parser.add_argument("--norm", choices=["linf", "l2"], default="linf", help="of that attack's budget")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gradient.png and film.png are written there")
    add_device(parser, precision=False)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    checkpoint, test, model, image = opened(options)
    info, target = data.dataset(checkpoint.dataset), class_index(options.target, test.class_names)
    gradient = input_gradient_at(model, image, int(test.labels[options.index]))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gradient.png").write_bytes(png(gradient.picture(gradient.largest)))
    result = {
        "checkpoint": checkpoint.id,
        "index": options.index,
        "samples": test.samples,
        "label": test.class_names[int(test.labels[options.index])],
        "alignment": gradient.alignment,
        "largest": gradient.largest,
        "length": float(gradient.values.norm()),
    }
    if target is not None:
        *_, found = film(model, image, target, far_epsilons(info, options.norm), norm=options.norm, index=options.index)
        (options.out / "film.png").write_bytes(png(torch.cat(list(found.frames), 2)))
        shares, answers = found.shares.max(1)
        frames = zip(found.epsilons, answers.tolist(), shares.tolist(), strict=True)
        result |= {"target": test.class_names[target], "norm": options.norm, "reached_at": found.reached_at}
        result["frames"] = [
            {"epsilon": at, "class": test.class_names[answer], "confidence": share} for at, answer, share in frames
        ]
    print(json.dumps(result, indent=2, ensure_ascii=False))
