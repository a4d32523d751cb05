"""Worst-case curves and AutoAttack beside foolbox, torchattacks and ART: how long they take, and what accuracy they leave.

    python benchmarks/worst_case_vs_peers.py [--images 300] [--autoattack-images 100] [--peers torchattacks foolbox art]
        [--ablation] [--json]

PGD-20 on 21 values of ε: ours is one worst-case curve, a peer makes 21 runs with the same steps and step size, whose worst case
up to each ε is counted. AutoAttack at the ε that the model claims: torchattacks' APGD is given 100 steps, as the paper has it
(its default of 10, which its AutoAttack inherits, is weak). All take turns on each batch of images in one process, so that a
busy moment falls on all alike. `ratio_pgd` and `ratio_autoattack` are the fastest peer's seconds over ours, the smallest over
the models; `max_excess` is how far our accuracy lies above the lowest of the peers' worst cases, as a share, the largest over
models and ε. `--ablation` measures our PGD curve without each of its savings.
"""

from __future__ import annotations

import argparse
import functools
import json
import operator
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from advcore import data
from advcore.attacks import PGD, AutoAttack, predict
from advcore.device import Precision, describe, fastest_precision, pick_device
from advcore.evaluation.robust_accuracy import robust_accuracy
from advcore.evaluation.worst_case import Savings, worst_case
from advcore.models import checkpoints

MODELS = ("cifar10/preact_resnet18-n_fgsm-0.03137", "mnist/lee_cnn-standard")
STEPS, BATCH = 20, 96
ALL = Savings()
Fooled = Callable[[nn.Module, data.LabeledImages, Sequence[float]], Tensor]
"""Whether each image is fooled at each ε: bool E×N."""


def by_torchattacks(model: nn.Module, part: data.LabeledImages, grid: Sequence[float]) -> Tensor:
    """One PGD object for each ε."""
    import torchattacks

    pixels, labels, rows = part.pixels(pick_device()), part.labels.to(pick_device()), []
    for epsilon in grid:
        attacked = torchattacks.PGD(model, eps=epsilon, alpha=2.5 * epsilon / STEPS, steps=STEPS)(pixels, labels)
        rows.append(predict(model, attacked) != labels)
    return torch.stack(rows).cpu()


def by_foolbox(model: nn.Module, part: data.LabeledImages, grid: Sequence[float]) -> Tensor:
    """The whole list of ε in one call."""
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=pick_device())
    attack = foolbox.attacks.LinfPGD(steps=STEPS, rel_stepsize=2.5 / STEPS)
    _, _, fooled = attack(wrapped, part.pixels(pick_device()), part.labels.to(pick_device()), epsilons=list(grid))
    return fooled.cpu()


def by_art(model: nn.Module, part: data.LabeledImages, grid: Sequence[float]) -> Tensor:
    """One attack object for each ε around ART's classifier."""
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model,
        nn.CrossEntropyLoss(),
        input_shape=part.shape,
        nb_classes=len(part.class_names),
        clip_values=(0.0, 1.0),
        device_type="gpu" if pick_device().type == "cuda" else "cpu",
    )
    pixels, labels, rows = part.pixels().numpy(), part.labels.numpy(), []
    for epsilon in grid:
        attack = ProjectedGradientDescent(
            classifier,
            eps=epsilon,
            eps_step=2.5 * epsilon / STEPS,
            max_iter=STEPS,
            num_random_init=1,
            batch_size=len(labels),
            verbose=False,
        )
        rows.append(classifier.predict(attack.generate(pixels, y=labels), batch_size=len(labels)).argmax(1) != labels)
    return torch.stack([torch.from_numpy(row) for row in rows])


PEERS: dict[str, Fooled] = {"torchattacks": by_torchattacks, "foolbox": by_foolbox, "art": by_art}


def ours(
    model: nn.Module, part: data.LabeledImages, grid: Sequence[float], precision: Precision, savings: Savings = ALL
) -> Tensor:
    """Our worst-case curve, as whether each image is fooled up to each ε."""
    options = {"precision": precision, "savings": savings, "device": pick_device()}
    found = functools.reduce(operator.add, worst_case(model, part, PGD(steps=STEPS), grid, **options))
    return found.predicted != found.labels


def take_turns(
    works: dict[str, Callable[[data.LabeledImages], Any]], images: data.LabeledImages
) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """The seconds of each, and what it gave for each batch."""
    seconds, found = dict.fromkeys(works, 0.0), {name: [] for name in works}
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        for name, work in works.items():
            began = time.perf_counter()
            found[name].append(work(part))
            if pick_device().type == "cuda":
                torch.cuda.synchronize()
            seconds[name] += time.perf_counter() - began
    return seconds, found


def pgd(checkpoint_id: str, count: int, peers: Sequence[str], precision: Precision, ablation: bool) -> dict[str, Any]:
    """The PGD curves of one model."""
    checkpoint = checkpoints.find(checkpoint_id)
    model = checkpoint.model().to(pick_device())
    info = data.dataset(checkpoint.recipe.dataset)
    images, grid = data.load(info.name, "test", limit=count), data.even_epsilons(info.epsilon_max, 20)

    def peer(name: str) -> Callable[[data.LabeledImages], Tensor]:
        def work(part: data.LabeledImages) -> Tensor:
            clean = predict(model, part.pixels(pick_device())).cpu() != part.labels
            return torch.cat([clean[None], PEERS[name](model, part, grid[1:])])

        return work

    works: dict[str, Callable[[data.LabeledImages], Tensor]] = {"ours": lambda part: ours(model, part, grid, precision)}
    works |= {name: peer(name) for name in peers}
    if ablation:
        without = {name.replace("_", " "): replace(ALL, **{name: False}) for name in vars(ALL)}
        works |= {f"without {name}": lambda part, of=of: ours(model, part, grid, precision, of) for name, of in without.items()}
        works["without bf16"] = lambda part: ours(model, part, grid, "fp32")
        none = Savings(up_the_grid=False, early_stop=False, warm_start=False)
        works["without any"] = lambda part: ours(model, part, grid, "fp32", none)
    seconds, found = take_turns(works, images)
    worst = {name: torch.cat(parts, 1).int().cummax(0).values for name, parts in found.items()}
    curves = {name: (1 - rows.double().mean(1)).tolist() for name, rows in worst.items()}
    lowest = [min(curves[name][place] for name in peers) for place in range(len(grid))]
    return {
        "model": checkpoint_id,
        "images": len(images),
        "source": images.source,
        "epsilons": list(grid),
        "seconds": seconds,
        "ratio": min(seconds[name] for name in peers) / seconds["ours"],
        "excess": max(mine - theirs for mine, theirs in zip(curves["ours"], lowest, strict=True)),
        "accuracy": curves,
    }


def autoattack(checkpoint_id: str, count: int, precision: Precision) -> dict[str, Any]:
    """AutoAttack on one model, ours and torchattacks'."""
    import torchattacks

    checkpoint = checkpoints.find(checkpoint_id)
    model = checkpoint.model().to(pick_device())
    info = data.dataset(checkpoint.recipe.dataset)
    images, epsilon = data.load(info.name, "test", limit=count), checkpoint.recipe.epsilon or info.epsilon

    def mine(part: data.LabeledImages) -> int:
        *_, last = robust_accuracy(model, part, AutoAttack(), epsilon, precision=precision, device=pick_device())
        return last.curve.correct[0]

    def theirs(part: data.LabeledImages) -> int:
        pixels, labels = part.pixels(pick_device()), part.labels.to(pick_device())
        attack = torchattacks.AutoAttack(model, eps=epsilon, n_classes=len(part.class_names), seed=0)
        for component in attack._autoattack.attacks:
            if hasattr(component, "steps"):
                component.steps = 100
        return int((predict(model, attack(pixels, labels)) == labels).sum())

    seconds, found = take_turns({"ours": mine, "torchattacks": theirs}, images)
    left = {name: sum(parts) / len(images) for name, parts in found.items()}
    return {
        "model": checkpoint_id,
        "images": len(images),
        "epsilon": epsilon,
        "seconds": seconds,
        "ratio": seconds["torchattacks"] / seconds["ours"],
        "excess": left["ours"] - left["torchattacks"],
        "accuracy": left,
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All measurements, as the object that `--json` prints."""
    precision = options.precision or fastest_precision(pick_device().type)
    curves = [pgd(name, options.images, options.peers, precision, options.ablation) for name in options.checkpoint]
    chosen = options.checkpoint if options.autoattack_images else []
    strong = [autoattack(name, options.autoattack_images, precision) for name in chosen]
    return {
        "ratio_pgd": min(row["ratio"] for row in curves),
        "ratio_autoattack": min((row["ratio"] for row in strong), default=None),
        "max_excess": max(row["excess"] for row in [*curves, *strong]),
        "device": describe(pick_device(), precision),
        "torch": torch.__version__,
        "pgd": curves,
        "autoattack": strong,
    }


def table(found: dict[str, Any]) -> None:
    """The measurements in words."""
    print(f"{found['device']}, torch {found['torch']}")
    for kind, rows in (("PGD-20, 21 ε", found["pgd"]), ("AutoAttack", found["autoattack"])):
        for row in rows:
            print(f"{kind}: {row['model']}, {row['images']} images")
            for name, seconds in row["seconds"].items():
                print(f"  {name:<22}{seconds:>9.1f} s{seconds / row['seconds']['ours']:>8.2f} × ours")
            print(f"  ours above the lowest peer by at most {100 * row['excess']:+.2f} points")
    strong = found["ratio_autoattack"]
    print(f"fastest peer / ours: {found['ratio_pgd']:.2f} (PGD)" + (f", {strong:.2f} (AutoAttack)" if strong else ""))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", nargs="+", default=list(MODELS))
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--autoattack-images", type=int, default=100, help="0 leaves AutoAttack out")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="of our search; successes are confirmed in fp32")
    parser.add_argument("--ablation", action="store_true", help="also without each of our savings")
    parser.add_argument("--json", action="store_true")
    warnings.filterwarnings("ignore")
    options = parser.parse_args()
    found = run(options)
    if options.json:
        print(json.dumps(found))
    else:
        table(found)


if __name__ == "__main__":
    main()
