"""What was never run on a GPU, in one go and in under ten minutes: `make gpu-check`, or

    python benchmarks/gpu_check.py [--out gpu-check.json] [--seconds 120]

Attacks on every shipped model whose images are here, compared with the CPU; the benchmarks of the curve, of worst-case curves
and of training; `torchrun` over NCCL on all GPUs; the peak memory of a curve, and a batch that does not fit; and `--seconds` of
the training of a PreAct ResNet-18 of width 64 with N-FGSM at 8/255, from which the time of 30 epochs follows. Writes a JSON
file and prints a table. Without a GPU it says so, runs nothing and ends with exit code 2.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from advcore import data
from advcore.attacks import APGD, FGSM, PGD, Attack, input_gradient, predict
from advcore.device import describe, pick_device
from advcore.errors import DataError
from advcore.evaluation.curves import robustness_curve
from advcore.models import checkpoints
from advcore.models.checkpoints import Checkpoint
from advcore.recipe import Recipe
from advcore.training import loop

IMAGES = 50
ATTACKS: dict[str, Attack] = {"FGSM": FGSM(), "PGD-20": PGD(steps=20), "APGD": APGD(steps=20)}
ROBUST = Recipe(
    dataset="cifar10",
    architecture="preact_resnet18",
    width=64,
    defense="n_fgsm",
    epsilon=8 / 255,
    epochs=30,
    batch_size=128,
    optimizer="sgd",
    learning_rate=0.2,
    weight_decay=5e-4,
    schedule="cyclic",
    augment=("flip", "crop"),
    held_out=0,
    evaluations=0,
)


def against_cpu(checkpoint: Checkpoint, device: torch.device) -> dict[str, Any]:
    """How far a model is from itself on the CPU: attacked images answered otherwise; gradients, as a share of the largest."""
    test = data.load(checkpoint.dataset, limit=IMAGES)
    epsilon = checkpoint.recipe.epsilon or data.dataset(checkpoint.dataset).epsilon
    differ, gradients, answers = {}, [], {}
    for place in (torch.device("cpu"), device):
        model = checkpoint.model().to(place)
        pixels, labels = test.pixels(place), test.labels.to(place)
        gradients.append(input_gradient(model, pixels, labels).cpu())
        for name, attack in ATTACKS.items():
            attacked = attack.perturb(model, pixels, labels, epsilon)
            answers.setdefault(name, []).append(predict(model, attacked).cpu())
    for name, (here, there) in answers.items():
        differ[name] = int((here != there).sum())
    apart = float((gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max())
    return {"images": len(test), "epsilon": epsilon, "differ": differ, "gradients_apart": apart}


def attacks(device: torch.device) -> dict[str, Any]:
    """`against_cpu` of every shipped model whose test images, or samples of them, are here."""
    found: dict[str, Any] = {}
    for name, checkpoint in checkpoints.catalog().items():
        with contextlib.suppress(DataError):
            found[name] = against_cpu(checkpoint, device)
    return found


def memory(device: torch.device) -> dict[str, Any]:
    """The peak memory of a PGD curve, and whether a batch that does not fit is halved to the same answers."""
    name = "digits/digits_cnn-standard"
    model, test = checkpoints.find(name).model(), data.load("digits")
    torch.cuda.reset_peak_memory_stats(device)
    list(robustness_curve(model, test, PGD(steps=20), [0.05, 0.1, 0.2], device=device))
    peak = torch.cuda.max_memory_allocated(device)
    images = test.pixels().repeat(200, 1, 1, 1).to(device)
    model = model.to(device)
    whole = torch.cat([predict(model, part) for part in images.split(1000)])
    room = 1.2 * torch.cuda.memory_allocated(device) / torch.cuda.get_device_properties(device).total_memory
    try:
        torch.cuda.set_per_process_memory_fraction(min(1.0, room), device)
        halved = predict(model, images)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    return {"checkpoint": name, "peak_mib": peak / 2**20, "batch": len(images), "differ": int((halved != whole).sum())}


def robust_training(device: torch.device, seconds: float) -> dict[str, Any]:
    """So many seconds of `ROBUST`, and how long the whole would take; on random images where CIFAR-10 is not here."""
    try:
        images = data.load("cifar10", "train")
    except DataError:
        random = torch.randint(256, (50_000, 3, 32, 32), dtype=torch.uint8)
        names = data.BUILT_IN["cifar10"].class_names
        images = data.LabeledImages(random, torch.randint(10, (50_000,)), names, "cifar10", "random numbers: for the time only")
    trainer = loop.Trainer(ROBUST, images, device, None, None)
    for _ in range(20):
        float(trainer.advance())
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds and trainer.step < trainer.steps:
        float(trainer.advance())
        steps += 1
    each = (time.perf_counter() - began) / steps
    return {
        "images": images.source,
        "precision": trainer.precision,
        "steps": steps,
        "images_per_second": ROBUST.batch_size / each,
        "thirty_epochs_s": each * trainer.steps,
        "peak_mib": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None,
    }


def benchmark(script: str, *options: str) -> Callable[[], dict[str, Any]]:
    """One of the benchmarks, in a process of its own."""

    def run() -> dict[str, Any]:
        command = [sys.executable, str(ROOT / "benchmarks" / script), *options, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        return json.loads(done.stdout.splitlines()[-1])

    return run


def several() -> dict[str, Any]:
    """The same curve by one process and by one for each GPU, over NCCL."""
    words = ["curve", "--checkpoint", "digits/digits_cnn-standard", "--epsilons", "0:0.2:0.05", "--json"]
    count = torch.cuda.device_count()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m", "advcore"]
    found = []
    for command in ([sys.executable, "-m", "advcore"], launch):
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=True, cwd=ROOT)
        (result,) = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))["results"]
        found.append([point["correct"] for point in result["points"]])
    return {"processes": count, "equal": found[0] == found[1]}


def tried(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What it gives, with its seconds; an error is a result too."""
    began = time.perf_counter()
    try:
        found = work()
    except Exception as error:  # what fails on a machine nobody has tried is what this script is for
        told = getattr(error, "stderr", None) or error
        found = {"error": f"{type(error).__name__}: {str(told).strip()[-500:]}"}
    return {**found, "seconds": round(time.perf_counter() - began, 1)}


def main() -> int:
    """Run everything; 2 without a GPU, 1 where something failed or differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-check.json"))
    parser.add_argument("--seconds", type=float, default=120, help="of the robust training")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no GPU on this machine, or PyTorch cannot use it: nothing was run.", file=sys.stderr)
        return 2
    device = pick_device("cuda")
    works: dict[str, Callable[[], dict[str, Any]]] = {
        "attacks": lambda: {"models": attacks(device)},
        "memory": lambda: memory(device),
        "torchrun": several,
        "curve": benchmark("curve_vs_peers.py", "--images", "1000", "--repeats", "2"),
        "worst case": benchmark("worst_case_vs_peers.py", "--images", "100", "--autoattack-images", "50"),
        "training": benchmark("training_vs_peers.py", "--images", "20000"),
        "robust training": lambda: robust_training(device, options.seconds),
    }
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(device), "described": describe(device, "fp32")}
    for name, work in works.items():
        found[name] = tried(work)
        print(f"{name:<16} {found[name]['seconds']:>6.1f} s  {summary(name, found[name])}", flush=True)
        options.out.write_text(json.dumps(found, indent=1))
    failed = [name for name in works if "error" in found[name] or not found[name].get("equal", True)]
    print(f"Written to {options.out}." + (f" Failed: {', '.join(failed)}." if failed else ""))
    return 1 if failed else 0


def summary(name: str, found: dict[str, Any]) -> str:
    """A result in one line."""
    if "error" in found:
        return found["error"].splitlines()[-1]
    if name == "attacks":
        counts = [count for row in found["models"].values() for count in row["differ"].values()]
        return f"{len(found['models'])} models: {sum(counts)} of {IMAGES * len(counts)} answers differ from the CPU's"
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in found.items()
        if not isinstance(value, dict | list)
    )


if __name__ == "__main__":
    sys.exit(main())
