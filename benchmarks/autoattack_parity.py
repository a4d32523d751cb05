"""AutoAttack beside torchattacks' AutoAttack (version standard, APGD at 100 steps) on the same images.

    python benchmarks/autoattack_parity.py [--images 200] [--batch 100] [--checkpoint ID …] [--norm linf] [--precision bf16]
        [--json]

One process, fp32, the shipped models below at the ε they claim or are usually attacked with. For each: the images that hold
after each component of both, the final robust accuracy, and the seconds. torchattacks' APGD takes 10 steps unless told
otherwise, and its AutoAttack does not say: here it is given the paper's 100.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from advcore import data
from advcore.attacks import AutoAttack, FastSearch, predict
from advcore.device import PRECISIONS, Precision, describe, pick_device
from advcore.evaluation.curves import prepared
from advcore.models import checkpoints

EPSILONS = {
    "mnist/lee_cnn-standard": 0.1,
    "mnist/lee_cnn-fgsm-0.3": 0.3,
    "mnist/srivathsav_cnn-pgd-0.3": 0.3,
    "cifar10/general_cnn-fgsm-0.03": 0.03,
}
L2_EPSILONS = {"mnist": 1.5, "cifar10": 0.5}


def theirs(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, attack: AutoAttack) -> list[int]:
    """The images that hold under torchattacks' sequence: clean, then after each component."""
    import torchattacks

    classes = model(images[:1]).shape[1]
    norm = {"linf": "Linf", "l2": "L2"}[attack.norm]
    sequence = torchattacks.AutoAttack(model, norm=norm, eps=epsilon, n_classes=classes, seed=0)._autoattack.attacks
    held, counts = predict(model, images) == labels, []
    counts.append(int(held.sum()))
    for component in sequence:
        for name, value in (("steps", attack.steps), ("n_queries", attack.queries)):
            if hasattr(component, name):
                setattr(component, name, value)
        if held.any():
            found = component(images[held], labels[held])
            held[held.nonzero()[:, 0]] = predict(model, found) == labels[held]
        counts.append(int(held.sum()))
    return counts


def compare(
    name: str, attack: AutoAttack, images: int, batch: int, device: torch.device, precision: Precision
) -> dict[str, Any]:
    """Both on the first `images` test images of a model's dataset, batch after batch, taking turns."""
    shipped = checkpoints.find(name).model().requires_grad_(False)
    plain = copy.deepcopy(shipped).eval().to(device)  # torchattacks cannot use images or models that are channels last
    model = prepared(shipped, device, "fp32")
    quick = model if precision == "fp32" else FastSearch(prepared(shipped, device, precision), model)
    dataset = name.split("/")[0]
    test = data.load(dataset, limit=images)
    epsilon = EPSILONS.get(name, data.dataset(dataset).epsilon) if attack.norm == "linf" else L2_EPSILONS.get(dataset, 0.8)
    ours, peers = [0] * 5, [0] * 5
    seconds = {"ours": 0.0, "torchattacks": 0.0}
    for start in range(0, len(test), batch):
        part = test[start : start + batch]
        pixels, labels = part.pixels(device).contiguous(memory_format=torch.channels_last), part.labels.to(device)
        began = time.perf_counter()
        fooled_by = attack.run(quick, pixels, labels, epsilon, indices=part.indices)[1]
        found = [int((fooled_by > place).sum()) for place in range(5)]
        middle = time.perf_counter()
        peer = theirs(plain, part.pixels(device), labels, epsilon, attack)
        seconds["ours"] += middle - began
        seconds["torchattacks"] += time.perf_counter() - middle
        ours, peers = ([sum(pair) for pair in zip(*both, strict=True)] for both in ((ours, found), (peers, peer)))
    stages = ["clean", *attack.components]
    return {
        "model": name,
        "norm": attack.norm,
        "epsilon": epsilon,
        "images": len(test),
        "ours": dict(zip(stages, ours, strict=True)),
        "torchattacks": dict(zip(stages, peers, strict=True)),
        "seconds": {who: round(spent, 1) for who, spent in seconds.items()},
        "ratio": seconds["torchattacks"] / seconds["ours"],
        "difference_points": 100 * (ours[-1] - peers[-1]) / len(test),
    }


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The comparison as lines: the images that hold, ours / torchattacks'."""
    stages = list(rows[0]["ours"])
    yield f"{'model':34} {'ε':>6} {'images':>6}  " + "  ".join(f"{stage:>9}" for stage in stages) + "   difference    seconds"
    for row in rows:
        counts = "  ".join(f"{row['ours'][stage]:>4}/{row['torchattacks'][stage]:<4}" for stage in stages)
        times = f"{row['seconds']['ours']:.0f}/{row['seconds']['torchattacks']:.0f}"
        yield (
            f"{row['model']:34} {row['epsilon']:>6.3g} {row['images']:>6}  {counts}   {row['difference_points']:+.1f} points"
            f"  {times} ({row['ratio']:.2f} times as fast)"
        )


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--checkpoint", nargs="+", default=list(EPSILONS))
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="of our search; successes are confirmed in fp32"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    attack, device = AutoAttack(norm=options.norm, steps=options.steps, queries=options.queries), pick_device()
    rows = []
    for name in options.checkpoint:
        rows.append(compare(name, attack, options.images, options.batch, device, options.precision))
        if not options.json:
            print(list(table(rows))[-1], file=sys.stderr)
    if options.json:
        print(json.dumps({"device": describe(device, "fp32"), "rows": rows}))
    else:
        print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
