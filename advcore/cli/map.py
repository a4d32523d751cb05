"""`python -m advcore map`: a model's answers on a plane through one test image, as numbers."""

from __future__ import annotations

import argparse
import csv
import json
import math
from pathlib import Path

from torch import nn

from advcore import attacks, data
from advcore.cli.options import add_attack, add_device, add_test_image, chosen_attack, epsilon, one_image, opened
from advcore.evaluation.plane import Plane, attack_direction, decision_map, random_direction
from advcore.evaluation.scrub import Scrub, scrub
from advcore.models import checkpoints


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_test_image(parser)
    parser.add_argument("--epsilon", type=epsilon, help="in pixel space, for attacks without one direction (default: usual ε)")
    second = parser.add_mutually_exclusive_group()
    second.add_argument("--draw", type=int, default=0, help="seed of the random second direction (default 0)")
    second.add_argument("--along", metavar="ID", help="second direction: the attack on this model")
    second.add_argument("--second", type=int, metavar="INDEX", help="second direction: toward this test image")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every point as CSV")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    add_attack(parser)
    add_device(parser, precision=False)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    checkpoint, test, model, image = opened(options)
    info, label = data.dataset(checkpoint.dataset), int(test.labels[options.index])
    at = options.epsilon if options.epsilon is not None else info.epsilon
    attack = chosen_attack(options, [at])

    def attacked(network: nn.Module) -> Scrub:
        return scrub(network, image, attack, info.epsilons, label=label, index=options.index)

    seen = attacked(model)
    u, reach = attack_direction(seen, at), (info.epsilon_max, info.epsilon_max)
    if options.along:
        other = checkpoints.find(options.along)
        other.require(test)
        v = attack_direction(attacked(other.model().to(image.device)), at)
    elif options.second is not None:
        v, reach = one_image(test, options.second).pixels(image.device)[0] - image[0], (info.epsilon_max, 1.0)
    else:
        v = random_direction(u, options.draw)
    plane = Plane(image[0], u, v, reach)
    *_, found = decision_map(model, plane)
    names, crossing, change = test.class_names, seen.smallest_epsilon, found.first_change(plane)
    counts = found.classes.flatten().bincount(minlength=len(names))
    result = {
        "checkpoint": checkpoint.id,
        "index": options.index,
        "label": names[label],
        "attack": attacks.title(attack),
        "samples": test.samples,
        "reach": reach,
        "side": found.side,
        "fooled_from": crossing if math.isfinite(crossing) else None,
        "second_direction_changes_at": change if math.isfinite(change) else None,
        "box": plane.box.tolist(),
        "shares": {names[place]: count / found.side**2 for place, count in enumerate(counts.tolist()) if count},
    }
    if options.out:
        rows = found.rows(plane, names)
        with options.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
        return
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in result["shares"].items())
    print(
        f"{checkpoint.id}, test image {options.index} ({names[label]}), {result['attack']}: {found.side} × {found.side} points"
    )
    print(f"  classes: {shares}")
    print(f"  along the attack: {_first(crossing, 'ε', seen.epsilons[-1])}")
    print(f"  along the second direction: {_first(change, '|b|', reach[1])}")


def _first(value: float, sign: str, end: float) -> str:
    return f"another answer from {sign} = {value:.3f}" if math.isfinite(value) else f"the same answer up to {end:.3f}"
