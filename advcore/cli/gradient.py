"""`python -m advcore gradient`: a model's input gradient at one test image, and a targeted attack with growing budgets."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from advcore import data
from advcore.cli.attack import class_index
from advcore.cli.options import add_device, one_image
from advcore.device import pick_device
from advcore.evaluation.gradients import far_epsilons, film, input_gradient_at
from advcore.images.encode import png
from advcore.models import checkpoints


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--checkpoint", required=True, metavar="ID")
    parser.add_argument("--index", type=int, required=True, help="position in the test split")
    parser.add_argument("--target", metavar="CLASS", help="also attack toward this class, by name or number")
    parser.add_argument("--norm", choices=["linf", "l2"], default="linf", help="of that attack's budget")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gradient.png and film.png are written there")
    add_device(parser, precision=False)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    checkpoint = checkpoints.find(options.checkpoint)
    info, test = data.dataset(checkpoint.recipe.dataset), data.load(checkpoint.recipe.dataset, "test")
    checkpoint.require(test)
    device, target = pick_device(options.device), class_index(options.target, test.class_names)
    model, image = checkpoint.model().to(device), one_image(test, options.index).pixels(device)
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
