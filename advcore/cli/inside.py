"""`python -m advcore inside`: test images in a model's last hidden layer, and the path of one of them under an attack."""

from __future__ import annotations

import argparse
import json

import torch

from advcore import attacks, data
from advcore.cli.options import add_attack, add_device, add_test_image, chosen_attack, opened
from advcore.evaluation.inside import IMAGES, hidden, inside
from advcore.evaluation.scrub import scrub


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_test_image(parser)
    add_attack(parser)
    add_device(parser, precision=False)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    checkpoint, test, model, image = opened(options)
    info, attack = data.dataset(checkpoint.dataset), chosen_attack(options, [])
    body = hidden(model)
    *_, found = inside(body, test[:IMAGES])
    assert found is not None
    seen = scrub(model, image, attack, info.epsilons, label=int(test.labels[options.index]), index=options.index)
    path = found.places_of(body, torch.cat([seen.attacked(place).to(image.device) for place in range(len(seen.epsilons))]))
    names = test.class_names
    result = {
        "checkpoint": checkpoint.id,
        "attack": attacks.title(attack),
        "samples": test.samples,
        "hidden_values": found.size,
        "variance": list(found.variance),
        "images": [
            {"index": index, "class": names[label], "x": x, "y": y}
            for index, (label, (x, y)) in enumerate(zip(found.labels.tolist(), found.places.tolist(), strict=True))
        ],
        "path": [
            {"epsilon": epsilon, "class": names[answer], "x": x, "y": y}
            for epsilon, answer, (x, y) in zip(seen.epsilons, seen.answers.tolist(), path.tolist(), strict=True)
        ],
    }
    print(json.dumps(result, ensure_ascii=False))
