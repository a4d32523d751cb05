"""How long an epoch of FGSM training takes: ours, the usual tutorial loop, and a plain fast-adversarial-training loop.

    python benchmarks/training_vs_peers.py [--images 60000] [--epochs 1] [--architecture srivathsav_cnn] [--ablation] [--json]

Equal in all: the MNIST images, the network with its first weights, Adam, batch size, ε, epochs, precision (fp32 unless
--precision bf16 is asked of ours), and a process of its own each, after a few steps to warm up. Accuracies are measured
alike. Two pairs, because the two loops do different things:

- tutorial: DataLoader, ToTensor and Normalize on each picture, an FGSM batch from passes of its own, clean and attacked
  batch concatenated; with and without worker processes, the faster one counts. Against our `fgsm`.
- fast: images as one float tensor, FGSM from a random start, loss.backward() for the attack and for the step (the loop of
  Wong et al. 2020). Against our `fgsm_rs`. With `--ablation` also with each of four switches alone, and with all: they are
  where our speed comes from.

`--architecture wong_cnn` is the network of Wong et al.'s own MNIST experiment, whose ε is 0.3 and whose batches are 100.

Then what a step of each defense costs beside `standard`, and what its passes through the network let one expect.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from advcore import data
from advcore.attacks import FGSM, PGD
from advcore.device import describe, keep_freed_memory, pick_device
from advcore.evaluation.curves import accuracy
from advcore.models.architectures import ARCHITECTURES, Architecture
from advcore.recipe import Recipe
from advcore.training import loop

RATE, SEED = 0.001, 0
PGD_STEPS = 7
SWITCHES = {
    "input_gradient": "the attack's gradient for the input alone",
    "channels_last": "the weights and images in channels_last",
    "fused": "the fused optimizer",
    "memory": "freed memory kept by the process",
}
"""What our loop does differently from the plain fast loop."""
# A pass is one run through the network, forward or backward. PGD: k attack steps and the training step, two passes each;
# TRADES: the clean answer, k attack steps, and a step on clean and attacked images together.
PASSES = {
    "standard": 2,
    "fgsm": 4,
    "fgsm_rs": 4,
    "pgd": 2 * PGD_STEPS + 2,
    "trades": 1 + 2 * PGD_STEPS + 4,
}


def wong_cnn(shape: tuple[int, int, int], classes: int) -> list[nn.Module]:
    """The MNIST network of Wong et al. 2020: two 4×4 convolutions with stride 2, linear 100, linear K."""
    channels, height, width = shape
    layers: list[nn.Module] = [nn.Conv2d(channels, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()]
    return [*layers, nn.Flatten(), nn.Linear(32 * (height // 4) * (width // 4), 100), nn.ReLU(), nn.Linear(100, classes)]


def recipe(options: argparse.Namespace, defense: str) -> Recipe:
    """What everyone trains."""
    epsilon = 0.0 if defense == "standard" else options.epsilon
    return Recipe(
        dataset=options.dataset,
        architecture=options.architecture,
        defense=defense,
        epsilon=epsilon,
        epochs=options.epochs,
        batch_size=options.batch,
        learning_rate=RATE,
        seed=SEED,
        images=options.images,
        attack_steps=PGD_STEPS,
        held_out=0,
        evaluations=0,
    )


# --- the contenders: each trains `model` on `images` for `epochs`, on `device` ---------------------------------------------


class Pictures(Dataset):
    """A dataset as torchvision's MNIST is: every item becomes a PIL image and goes through the transforms."""

    def __init__(self, images: data.LabeledImages, transform: Callable[[Any], Tensor]) -> None:
        self.pixels, self.labels, self.transform = images.images, images.labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index, 0].numpy())), int(self.labels[index])


def tutorial(
    model: nn.Sequential,
    images: data.LabeledImages,
    epochs: int,
    device: torch.device,
    options: argparse.Namespace,
    workers: int,
) -> None:
    """The usual loop: DataLoader, transforms, FGSM by passes of its own, then a step on both batches concatenated."""
    from torchvision import transforms

    # What our network does to images first, the usual loop does to each picture.
    mean, std, inner = float(model[0].mean), float(model[0].std), model[1:].to(device)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((mean,), (std,))])
    loader = DataLoader(
        Pictures(images, transform), batch_size=options.batch, shuffle=True, drop_last=True, num_workers=workers
    )
    optimizer = torch.optim.Adam(inner.parameters(), lr=RATE)
    low, high, reach = (0 - mean) / std, (1 - mean) / std, options.epsilon / std
    inner.train()
    for _ in range(epochs):
        for batch, labels in loader:
            batch, labels = batch.to(device), labels.to(device)
            batch.requires_grad = True
            loss = F.cross_entropy(inner(batch), labels)
            inner.zero_grad()
            loss.backward()
            attacked = torch.clamp(batch + reach * batch.grad.sign(), low, high).detach()
            both = torch.cat([batch.detach(), attacked])
            optimizer.zero_grad()
            loss = F.cross_entropy(inner(both), torch.cat([labels, labels]))
            loss.backward()
            optimizer.step()


def fast(
    model: nn.Sequential,
    images: data.LabeledImages,
    epochs: int,
    device: torch.device,
    options: argparse.Namespace,
    on: Collection[str] = (),
) -> None:
    """The loop of fast adversarial training on MNIST, on images that lie ready as one float tensor; with some `SWITCHES` on."""
    pixels, labels = images.pixels(device), images.labels.to(device)
    layout = torch.channels_last if "channels_last" in on else torch.contiguous_format
    if "memory" in on:
        keep_freed_memory()
    model = model.to(device, memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused="fused" in on or None)
    reach, size = options.epsilon, options.batch
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(labels), device=device)
        for start in range(0, len(labels) - size + 1, size):
            chosen = order[start : start + size]
            batch, wanted = pixels[chosen].contiguous(memory_format=layout), labels[chosen]
            delta = torch.zeros_like(batch).uniform_(-reach, reach)
            delta.requires_grad = True
            loss = F.cross_entropy(model(batch + delta), wanted)
            if "input_gradient" in on:
                (gradient,) = torch.autograd.grad(loss, delta)
            else:
                loss.backward()
                gradient = delta.grad.detach()
            delta.data = torch.clamp(delta + 1.25 * reach * gradient.sign(), -reach, reach)
            delta = torch.max(torch.min(1 - batch, delta.data), 0 - batch).detach()
            loss = F.cross_entropy(model(torch.clamp(batch + delta, 0, 1)), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def ours(options: argparse.Namespace, images: data.LabeledImages, defense: str) -> nn.Module:
    """`advcore.training`, as the app and the command line use it."""
    *_, last = loop.train(recipe(options, defense), images=images, device=pick_device(), precision=options.precision)
    assert last.model is not None
    return last.model


CONTENDERS = ("ours_fgsm", "tutorial", "tutorial_workers", "ours_fgsm_rs", "fast")


def contend(options: argparse.Namespace) -> dict[str, Any]:
    """One contender, in this process: seconds an epoch, peak memory, accuracies."""
    name, device = options.contender, pick_device()
    images = data.load(options.dataset, "train", limit=options.images)
    test = data.load(options.dataset, "test", limit=options.test)
    ready = peak_mib(device)
    for part, epochs in ((images[: 4 * options.batch], 1), (images, options.epochs)):  # warm-up, then the race
        model = loop.initial_model(recipe(options, "fgsm"), images)
        began = time.perf_counter()
        if name.startswith("ours"):
            shorter = argparse.Namespace(**vars(options) | {"epochs": epochs, "images": len(part)})
            model = ours(shorter, part, name.removeprefix("ours_"))
        elif name.startswith("fast"):
            fast(model, part, epochs, device, options, name.split("+")[1:])
        else:
            tutorial(model, part, epochs, device, options, 2 if name == "tutorial_workers" else 0)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    model = model.eval().to(device)
    few = test[:1000]
    fair = {"device": device, "precision": "fp32"}
    return {
        "epoch_s": seconds / options.epochs,
        "images_per_second": len(images) * options.epochs / seconds,
        "peak_mib": peak_mib(device),
        "training_mib": peak_mib(device) - ready,
        "clean": accuracy(model, test, FGSM(), 0.0, **fair),
        "fgsm": accuracy(model, test, FGSM(), options.epsilon, **fair),
        "pgd10": accuracy(model, few, PGD(steps=10), options.epsilon, **fair),
    }


def peak_mib(device: torch.device) -> float:
    """The most memory this process has held so far: the accelerator's, or on a CPU the whole process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


# --- what a defense costs --------------------------------------------------------------------------------------------------


def defenses(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds of a step of each defense, turn by turn, so that a busy moment of the machine hits all of them."""
    keep_freed_memory()
    images = data.load(options.dataset, "train", limit=8 * options.batch)
    trainers = {}
    for name in PASSES:
        made = Recipe.from_dict(recipe(options, name).to_dict() | {"images": None, "epochs": 10_000})
        trainers[name] = loop.Trainer(made, images, pick_device(), options.precision, None)
    seconds: dict[str, list[float]] = {name: [] for name in PASSES}
    for turn in range(options.turns + 2):
        for name, trainer in trainers.items():
            began = time.perf_counter()
            float(trainer.advance())
            if turn >= 2:
                seconds[name].append(time.perf_counter() - began)
    found = {}
    standard = statistics.median(seconds["standard"])
    for name, times in seconds.items():
        relative, expected = statistics.median(times) / standard, PASSES[name] / PASSES["standard"]
        found[name] = {
            "step_s": statistics.median(times),
            "relative": relative,
            "passes": PASSES[name],
            "expected": expected,
            "of_expected": relative / expected,
        }
    return found


# --- the race ----------------------------------------------------------------------------------------------------------------


def race(options: argparse.Namespace) -> dict[str, Any]:
    """Every contender `--repeats` times, turn by turn; the best time of each counts."""
    found: dict[str, dict[str, Any]] = {}
    ablation = [f"fast+{name}" for name in SWITCHES] + ["+".join(("fast", *SWITCHES))] if options.ablation else []
    for _ in range(options.repeats):
        for name in (*CONTENDERS, *ablation):
            result = child(name)
            if name not in found or result["epoch_s"] < found[name]["epoch_s"]:
                found[name] = result
    slower = min(found["tutorial"]["epoch_s"], found["tutorial_workers"]["epoch_s"])
    device = pick_device()
    return {
        "device": describe(device, options.precision),
        "torch": torch.__version__,
        "dataset": options.dataset,
        "architecture": options.architecture,
        "images": options.images,
        "epochs": options.epochs,
        "batch": options.batch,
        "epsilon": options.epsilon,
        "contenders": found,
        "ratio_tutorial": slower / found["ours_fgsm"]["epoch_s"],
        "ratio_fast": found["fast"]["epoch_s"] / found["ours_fgsm_rs"]["epoch_s"],
        "ablation": {name: found["fast"]["epoch_s"] / found[name]["epoch_s"] for name in ablation},
        "defenses": child("defenses"),
    }


def child(name: str) -> dict[str, Any]:
    """This script again, in a process of its own, for one contender."""
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--contender", name], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def table(found: dict[str, Any]) -> Iterator[str]:
    """The figures for people."""
    yield (
        f"FGSM training, {found['dataset']}, {found['architecture']}, {found['images']:,} images, {found['epochs']} epoch(s), "
        f"batch {found['batch']}, ε = {found['epsilon']}; {found['device']}, torch {found['torch']}"
    )
    yield f"  {'':<18} {'s/epoch':>8} {'images/s':>9} {'peak MiB':>9} {'clean':>8} {'FGSM':>8} {'PGD-10':>8}"
    for name, row in found["contenders"].items():
        shares = "".join(f"{100 * row[attack]:>8.2f}%" for attack in ("clean", "fgsm", "pgd10"))
        yield f"  {name:<18} {row['epoch_s']:>8.2f} {row['images_per_second']:>9.0f} {row['peak_mib']:>9.0f}{shares}"
    for name, ratio in found["ablation"].items():
        yield f"  {ratio:.2f}× as fast as the plain fast loop: the same with {', '.join(name.split('+')[1:])}"
    yield f"  ours is {found['ratio_tutorial']:.2f}× as fast as the tutorial loop, {found['ratio_fast']:.2f}× as the fast loop"
    yield f"  {'defense':<18} {'ms/step':>8} {'× standard':>11} {'passes':>7} {'expected':>9} {'of it':>7}"
    for name, row in found["defenses"].items():
        yield (
            f"  {name:<18} {1000 * row['step_s']:>8.1f} {row['relative']:>11.2f} {row['passes']:>7.0f} {row['expected']:>9.2f} "
            f"{row['of_expected']:>7.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mnist", help="mnist, or another grey dataset")
    parser.add_argument("--architecture", default="srivathsav_cnn")
    parser.add_argument("--epsilon", type=float, default=0.1, help="L∞ in pixel space")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--test", type=int, default=10_000, help="test images the accuracies are measured on")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--turns", type=int, default=20, help="steps of each defense that are timed")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of ours")
    parser.add_argument("--ablation", action="store_true", help="also the fast loop with each of our four switches")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.architecture == "wong_cnn":
        ARCHITECTURES["wong_cnn"] = Architecture("wong_cnn", "Wong et al.'s MNIST network", "For this benchmark.", wong_cnn, 4)
    if options.contender:
        print(json.dumps(defenses(options) if options.contender == "defenses" else contend(options)))
        return
    found = race(options)
    print(json.dumps(found) if options.json else "\n".join(table(found)))


if __name__ == "__main__":
    main()
