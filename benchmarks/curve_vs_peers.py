"""How long one accuracy-against-ε curve under FGSM takes: ours, torchattacks, foolbox, ART, and the floor.

    python benchmarks/curve_vs_peers.py [--images 2000] [--repeats 3] [--checkpoint mnist/lee_cnn-standard] [--json]

One process, one checkpoint, the same images, 21 ε from 0 to 0.5. Every peer runs at its best batch size out of 50, 100, 200
and 500, found on a quarter of the images. Ours is measured with its savings added in turn: a curve for each ε by itself (a
gradient each), one gradient for all of them, and the faster precision. The floor is the bare model's one forward and input
gradient and 20 forward passes, at its own best batch size. All take turns; times are the best of the repeats.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from advcore import data
from advcore.attacks import FGSM, input_gradient
from advcore.device import Precision, describe, fastest_precision, pick_device
from advcore.evaluation.curves import prepared, robustness_curve
from advcore.models import checkpoints

EPSILONS = [round(0.025 * step, 3) for step in range(21)]
BATCHES = (50, 100, 200, 500)
Measure = Callable[[data.LabeledImages, Sequence[float], int], list[float]]


def ours(model: nn.Module, precision: Precision, images: data.LabeledImages, epsilons: Sequence[float]) -> list[float]:
    """Accuracies of our own curve, at the batch size it chooses itself."""
    *_, curve = robustness_curve(model, images, FGSM(), epsilons, precision=precision, device=pick_device())
    return list(curve.accuracy)


def floor(
    model: nn.Module, precision: Precision, images: data.LabeledImages, epsilons: Sequence[float], batch: int
) -> list[float]:
    """The least any curve can do: one forward and input gradient, and one forward for every further ε; counts nothing.

    The gradient is taken in fp32, as in the curve: in bf16 it is slower on a CPU, and weaker.
    """
    device = pick_device()
    exact, net = prepared(model, device, "fp32"), prepared(model, device, precision)
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        pixels = part.pixels(device).contiguous(memory_format=torch.channels_last)
        input_gradient(exact, pixels, part.labels.to(device))
        with torch.inference_mode():
            for _ in epsilons[1:]:
                net(pixels)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return []


def _batched(
    images: data.LabeledImages, epsilons: Sequence[float], batch: int, right: Callable[[Tensor, Tensor], list[int]]
) -> list[float]:
    """Accuracies from a peer's counts of right answers for each ε of one batch."""
    device, counts = pick_device(), [0] * len(epsilons)
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        found = right(part.pixels(device), part.labels.to(device))
        counts = [count + more for count, more in zip(counts, found, strict=True)]
    return [count / len(images) for count in counts]


def by_torchattacks(model: nn.Module, images: data.LabeledImages, epsilons: Sequence[float], batch: int) -> list[float]:
    """torchattacks: one attack object for each ε, then the model's answers."""
    import torchattacks

    def right(pixels: Tensor, labels: Tensor) -> list[int]:
        counts = []
        for epsilon in epsilons:
            attacked = torchattacks.FGSM(model, eps=epsilon)(pixels, labels) if epsilon else pixels
            with torch.no_grad():
                counts.append(int((model(attacked).argmax(1) == labels).sum()))
        return counts

    return _batched(images, epsilons, batch, right)


def by_foolbox(model: nn.Module, images: data.LabeledImages, epsilons: Sequence[float], batch: int) -> list[float]:
    """foolbox: the whole list of ε in one call, which also says which images are adversarial."""
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=pick_device())
    attack = foolbox.attacks.LinfFastGradientAttack()

    def right(pixels: Tensor, labels: Tensor) -> list[int]:
        _, _, fooled = attack(wrapped, pixels, labels, epsilons=list(epsilons))
        return (~fooled).sum(1).tolist()

    return _batched(images, epsilons, batch, right)


def by_art(model: nn.Module, images: data.LabeledImages, epsilons: Sequence[float], batch: int) -> list[float]:
    """Adversarial Robustness Toolbox: its classifier around the model, one attack object for each ε."""
    import numpy as np
    from art.attacks.evasion import FastGradientMethod
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model,
        nn.CrossEntropyLoss(),
        input_shape=images.shape,
        nb_classes=len(images.class_names),
        clip_values=(0.0, 1.0),
        device_type="gpu" if pick_device().type == "cuda" else "cpu",
    )
    pixels, labels = images.pixels().numpy(), images.labels.numpy()
    shares = []
    for epsilon in epsilons:
        attacked = pixels
        if epsilon:
            attacked = FastGradientMethod(classifier, eps=epsilon, batch_size=batch).generate(pixels, y=np.asarray(labels))
        answers = classifier.predict(attacked, batch_size=batch).argmax(1)
        shares.append(float((answers == labels).mean()))
    return shares


PEERS = {"torchattacks": by_torchattacks, "foolbox": by_foolbox, "art": by_art}


def timed(work: Callable[[], list[float]], repeats: int) -> tuple[float, list[float]]:
    """The shortest of the repeats in seconds, and what the work gave."""
    best, found = float("inf"), []
    for _ in range(repeats):
        start = time.perf_counter()
        found = work()
        best = min(best, time.perf_counter() - start)
    return best, found


def race(works: dict[str, Callable[[], list[float]]], repeats: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """The shortest time of each and what it gave; they take turns, so that a busy moment falls on all alike."""
    seconds, found = dict.fromkeys(works, float("inf")), {}
    for _ in range(repeats):
        for name, work in works.items():
            once, found[name] = timed(work, 1)
            seconds[name] = min(seconds[name], once)
    return seconds, found


def best_batch(measure: Measure, images: data.LabeledImages) -> int:
    """The fastest of the batch sizes, on a quarter of the images and five ε, each after one warm-up."""
    few, epsilons = images[: max(BATCHES[0], len(images) // 4)], EPSILONS[::5]
    measure(few[: BATCHES[0]], epsilons, BATCHES[0])
    return min(BATCHES, key=lambda batch: timed(lambda: measure(few, epsilons, batch), 2)[0])


def largest_difference(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The largest difference between two curves, in points."""
    return max(abs(one - other) for one, other in zip(mine, theirs, strict=True)) * 100


def run(checkpoint_id: str, count: int, repeats: int) -> dict[str, object]:
    """All measurements, as the object that `--json` prints."""
    checkpoint = checkpoints.find(checkpoint_id)
    model = checkpoint.model().to(pick_device())
    images = data.load(checkpoint.recipe.dataset, "test", limit=count)
    default = fastest_precision(pick_device().type)
    batches, works = {}, {}
    for name, peer in PEERS.items():
        measure: Measure = functools.partial(peer, model)
        batches[name] = best_batch(measure, images)
        works[name] = functools.partial(measure, images, EPSILONS, batches[name])
    for precision in dict.fromkeys(("fp32", default)):
        measure = functools.partial(floor, model, precision)
        works[f"floor {precision}"] = functools.partial(measure, images, EPSILONS, best_batch(measure, images))
        works[f"ours {precision}"] = functools.partial(ours, model, precision, images, EPSILONS)
    works["a gradient for each ε"] = lambda: [ours(model, "fp32", images, [epsilon])[0] for epsilon in EPSILONS]
    ours(model, "fp32", images[:100], EPSILONS)
    seconds, found = race(works, repeats)
    first_s, _ = timed(lambda: ours(model, default, images[:100], EPSILONS), repeats)
    peers, curves = ({name: values[name] for name in PEERS} for values in (seconds, found))
    fp32_s, default_s = seconds["ours fp32"], seconds[f"ours {default}"]
    exact, quick = found["ours fp32"], found[f"ours {default}"]
    fastest = min(peers.values())
    return {
        "separate_s": seconds["a gradient for each ε"],
        "fp32_s": fp32_s,
        "default_s": default_s,
        "floor_s": seconds[f"floor {default}"],
        "floor_fp32_s": seconds["floor fp32"],
        "first_hundred_s": first_s,
        "peers": peers,
        "peer_batches": batches,
        "ratio_fp32": fastest / fp32_s,
        "ratio_default": fastest / default_s,
        "ratio_floor_fp32": fp32_s / seconds["floor fp32"],
        "ratio_floor": default_s / seconds[f"floor {default}"],
        "max_abs_diff_fp32": max(largest_difference(exact, curve) for curve in curves.values()),
        "max_abs_diff_default": largest_difference(quick, exact),
        "device": describe(pick_device(), default),
        "default_precision": default,
        "checkpoint": checkpoint_id,
        "images": len(images),
        "source": images.source,
        "growth": growth(model, default, images, repeats),
    }


def growth(model: nn.Module, precision: Precision, images: data.LabeledImages, repeats: int) -> list[dict[str, float]]:
    """Our time over the number of images (21 ε) and over the number of ε (a quarter of the images)."""
    quarter = images[: max(1, len(images) // 4)]
    runs = [(images[: max(1, len(images) // part)], EPSILONS) for part in (8, 4, 2)]
    runs += [(quarter, [0.5 * step / count for step in range(1, count + 1)]) for count in (1, 6, 11, 41)]
    return [
        {
            "images": len(few),
            "epsilons": len(grid),
            "seconds": timed(functools.partial(ours, model, precision, few, grid), repeats)[0],
        }
        for few, grid in runs
    ]


def table(found: dict[str, object]) -> None:
    """The measurements for people."""
    peers, batches = found["peers"], found["peer_batches"]
    fp32_s = found["fp32_s"]
    print(f"{found['checkpoint']}, {found['images']} images ({found['source']}), 21 ε")
    print(f"{found['device']}, torch {torch.__version__}")
    print(f"{'':<28}{'seconds':>9}{'× ours fp32':>13}")
    rows = [
        ("ours, a gradient for each ε", found["separate_s"]),
        ("ours, fp32", fp32_s),
        (f"ours, default ({found['default_precision']})", found["default_s"]),
    ]
    rows += [(f"{name} (batch {batches[name]})", seconds) for name, seconds in peers.items()]
    rows += [("floor, fp32", found["floor_fp32_s"]), (f"floor, {found['default_precision']}", found["floor_s"])]
    for name, seconds in rows:
        print(f"{name:<28}{seconds:>9.2f}{seconds / fp32_s:>13.2f}")
    print(f"fastest peer / ours: {found['ratio_fp32']:.2f} in fp32, {found['ratio_default']:.2f} by default")
    floors = f"{found['ratio_floor_fp32']:.2f} in fp32, {found['ratio_floor']:.2f} by default"
    print(f"ours / floor: {floors}; first curve over 100 images: {found['first_hundred_s']:.2f} s")
    print(
        f"largest accuracy difference: {found['max_abs_diff_fp32']:.3f} points to the peers, "
        f"{found['max_abs_diff_default']:.3f} between default and fp32"
    )
    print("growth:")
    for row in found["growth"]:
        print(f"  {row['images']:>6} images × {row['epsilons']:>3} ε: {row['seconds']:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="mnist/lee_cnn-standard")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    found = run(options.checkpoint, options.images, options.repeats)
    if options.json:
        print(json.dumps(found))
    else:
        table(found)


if __name__ == "__main__":
    main()
