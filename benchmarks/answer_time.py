"""How long each model takes for the ε scrubber's work, one image under FGSM at 64 ε: one gradient and 64 answers.

Beside it, the time of the first picture of a decision map: 11 × 11 answers on a plane of two random directions.

    python benchmarks/answer_time.py [PATTERN] [--repeats 7] [--json | --table]

Times are medians of the repeats after one warm-up, in milliseconds, in fp32 as the page computes; the image is random, since
what is in it does not change the work. Beside them stand the number of parameters and the file's size; `--table` prints the
rows of checkpoints/README.md, with the figures of the headers.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from advcore import data
from advcore.attacks import FGSM
from advcore.device import describe, pick_device
from advcore.evaluation.diagnosis import diagnosis_of
from advcore.evaluation.plane import SIDES, Plane, decision_map, random_direction
from advcore.evaluation.scrub import scrub
from advcore.models import checkpoints
from advcore.models.architectures import parameter_count

EPSILONS = [step / 126 for step in range(64)]


def answer_time(checkpoint: checkpoints.Checkpoint, repeats: int) -> dict[str, Any]:
    """The model's row: id, milliseconds of the scrubber's work and of a first map, parameters, bytes."""
    device = pick_device()
    model = checkpoint.model().to(device)
    image = torch.rand(1, *checkpoint.shape, device=device)
    ones = torch.ones_like(image[0])
    plane = Plane(image[0], random_direction(ones, 0), random_direction(ones, 1), (0.5, 0.5))
    times, maps = [], []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        scrub(model, image, FGSM(), EPSILONS)  # ends on the CPU: nothing is left to wait for
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
        next(decision_map(model, plane, SIDES[:1]))
        maps.append(time.perf_counter() - start)
    milliseconds, first = (round(statistics.median(each[1:]) * 1000, 1) for each in (times, maps))
    size = checkpoint.path.stat().st_size
    return {"id": checkpoint.id, "ms": milliseconds, "map_ms": first, "parameters": parameter_count(model), "bytes": size}


def table_row(checkpoint: checkpoints.Checkpoint, row: dict[str, Any]) -> str:
    """The model's line of checkpoints/README.md: figures at its own ε, or its dataset's where it was trained with none."""
    epsilon = checkpoint.recipe.epsilon or data.dataset(checkpoint.recipe.dataset).epsilon
    figures = {item["attack"]: item["accuracy"] for item in checkpoint.metrics["attacks"] if item["epsilon"] == epsilon}
    pgd = next(f"{100 * share:.1f} ({name})" for name, share in figures.items() if name.startswith("PGD"))
    minutes = checkpoint.provenance.get("seconds", 0.0) / 60
    measured = [f"{100 * checkpoint.metrics['clean']:.1f}", f"{epsilon:.3g}", f"{100 * figures['FGSM']:.1f}", pgd]
    strong = checkpoint.metrics.get("autoattack")
    measured += [f"{100 * strong['accuracy']:.1f}" if strong else "–", concluded(checkpoint)]
    costs = [f"{row['ms']:.0f}", f"{row['bytes'] / 1e6:.1f}", f"{minutes:.1f}"]
    return f"| {' | '.join([f'`{checkpoint.id}`', *measured, *costs])} |"


def concluded(checkpoint: checkpoints.Checkpoint) -> str:
    """What the ten checks in the header conclude, with the numbers of those that fail or else are doubtful; – without them."""
    found = diagnosis_of(checkpoint)
    if found is None:
        return "–"
    numbers = found.failed or found.numbers("doubtful")
    return found.conclusion.lower() + (f" ({', '.join(map(str, numbers))})" if numbers else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--repeats", type=int, default=7)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--table", action="store_true")
    options = parser.parse_args()
    wanted = [item for name, item in checkpoints.catalog().items() if fnmatch.fnmatchcase(name, options.pattern)]
    rows = [answer_time(item, options.repeats) for item in wanted]
    if options.json:
        print(json.dumps({"device": describe(pick_device(), "fp32"), "epsilons": len(EPSILONS), "models": rows}))
        return
    if options.table:
        print(*(table_row(item, row) for item, row in zip(wanted, rows, strict=True)), sep="\n")
        return
    print(f"{describe(pick_device(), 'fp32')}, torch {torch.__version__}, one image × {len(EPSILONS)} ε")
    for row in rows:
        times = f"{row['ms']:>8.1f} ms, map {row['map_ms']:>7.1f} ms"
        print(f"{row['id']:<44} {times} {row['parameters']:>12,} parameters {row['bytes'] / 1e6:>7.2f} MB")


if __name__ == "__main__":
    main()
