"""Accuracy against the operations of training, for CIFAR-10: standard trainings and robust ones at 8/255, and published ones.

    python benchmarks/training_work.py [--json | --chart FILE.svg]

One training step of two images is counted by torch (convolutions and matrix products, two operations a multiply-add, attacks
included) and multiplied by images and epochs, and the operations of the network that training starts from are added; 1 PFLOP
is 10¹⁵ operations. Figures: clean accuracy of standard trainings; of robust ones at 8/255 the accuracy under PGD-50-10 on
1,000 images, as Wong et al. publish theirs (on 10,000). Figures of shipped models come from their headers; those of other
trainings were measured once, as checkpoints/README.md says.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from advcore import data
from advcore.defenses import DEFENSES
from advcore.defenses.base import Step
from advcore.defenses.batches import Batches
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training import shipped, watch

RESIDUAL = {"dataset": "cifar10", "architecture": "preact_resnet18"}
ROBUST = RESIDUAL | {"defense": "fgsm_rs", "epsilon": 8 / 255}
TRIED = (
    (Recipe(**RESIDUAL, width=16, epochs=16), 85.5),
    (Recipe(dataset="cifar10", architecture="general_cnn", epochs=16), 79.0),
    (Recipe(dataset="cifar10", architecture="even_deeper_cnn", epochs=12), 76.8),
    (Recipe(dataset="cifar10", architecture="even_deeper_cnn", epochs=60), 80.9),
    (Recipe(dataset="cifar10", architecture="airbench", width=64, epochs=10), 90.05),
    (Recipe(dataset="cifar10", architecture="airbench", width=64, epochs=25), 90.5),
    (Recipe(**ROBUST, width=16, epochs=10), 39.7),
    (Recipe(**ROBUST, width=32, epochs=15, held_out=500), 42.9),
    (Recipe(**ROBUST, width=32, epochs=15, held_out=500, warm_start="cifar10/preact_resnet18-standard"), 42.9),
    (Recipe(**ROBUST | {"architecture": "airbench", "defense": "n_fgsm"}, width=64, epochs=30, held_out=500), 43.4),
)
# Wong et al. 2020, tables 4 ("to 45 %" in 15 epochs) and 1; airbench: Jordan 2024, with test-time augmentation.
PUBLISHED = (
    (Recipe(**ROBUST, width=64, epochs=15), "Wong et al. 2020", 45.0),
    (Recipe(**ROBUST, width=64, epochs=30), "Wong et al. 2020", 46.06),
    (Recipe(dataset="cifar10", architecture="airbench", epochs=10), "Jordan 2024", 94.0),
)
COLOURS = {"ours": "#0072B2", "published": "#888888"}


@dataclass(frozen=True)
class Training:
    """One training: the operations it took, and the percentage right."""

    name: str
    robust: bool
    epochs: int
    pflop: float
    accuracy: float
    published: bool


class Operations(TorchDispatchMode):
    """Counts the operations of what runs inside; torch's FlopCounterMode fails at gradients of the input alone."""

    total = 0

    def __torch_dispatch__(self, of: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and add its count, if torch knows one."""
        result = of(*args, **(kwargs or {}))
        if count := flop_registry.get(of._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def pflop(recipe: Recipe) -> float:
    """The operations of a whole training, with those of the network it starts from, in 10¹⁵."""
    before = pflop(checkpoints.find(recipe.warm_start).recipe) if recipe.warm_start else 0.0
    images = data.dataset(recipe.dataset).sizes["train"]
    seen = watch.trained_on(min(recipe.images or images, images), recipe)
    return before + sum(per_image(part) * seen * part.epochs for part in recipe.parts) / 1e15


def per_image(recipe: Recipe) -> float:
    """The operations that one image takes in a training step."""
    info = data.dataset(recipe.dataset)
    network = checkpoints.build(recipe, info.shape, len(info.class_names)).train()
    images, labels = torch.rand(2, *info.shape), torch.tensor([0, 1])
    step = Step(Batches(network), network, recipe, torch.Generator().manual_seed(0))
    with Operations() as counter:
        for loss in DEFENSES[recipe.defense].losses(step, images, labels):
            loss.backward()
    return counter.total / len(images)


def trainings() -> Iterator[Training]:
    """Every training with a known figure, the shipped ones first."""
    known = checkpoints.catalog("cifar10")
    for item in shipped.matching("cifar10/*"):
        recipe, found = item.recipe, known.get(item.recipe.checkpoint_id)
        if found is None or not comparable(recipe):
            continue
        strong = [row["accuracy"] for row in found.metrics["attacks"] if row["attack"] == "PGD-50-10"]
        yield made(recipe, 100 * (strong[0] if recipe.epsilon else found.metrics["clean"]))
    for recipe, accuracy in TRIED:
        yield made(recipe, accuracy)
    for recipe, whose, accuracy in PUBLISHED:
        yield made(recipe, accuracy, whose)


def comparable(recipe: Recipe) -> bool:
    """Whether it is a standard training, or a robust one at 8/255."""
    return recipe.defense == "standard" or math.isclose(recipe.epsilon, 8 / 255, abs_tol=1e-3)


def made(recipe: Recipe, accuracy: float, whose: str = "") -> Training:
    """The row of a training; `whose` names those who published it."""
    width = f"width {recipe.width}" if recipe.width else ""
    start = "from a standard one" if recipe.warm_start else ""
    delay = f"{recipe.standard_epochs} standard epochs first" if recipe.standard_epochs else ""
    name = ", ".join(filter(None, [recipe.architecture, recipe.defense, width, start, delay, whose]))
    work = round(pflop(recipe), 3)
    return Training(name, recipe.defense != "standard", recipe.epochs, work, round(accuracy, 2), bool(whose))


def table(rows: list[Training]) -> str:
    """The rows as Markdown, with their numbers in the chart."""
    lines = ["| | training | epochs | PFLOP | clean | PGD-50-10 |", "|---|---|---|---|---|---|"]
    for number, row in enumerate(rows, 1):
        figure = f"{row.accuracy:.1f}{' (published)' if row.published else ''}"
        clean, robust = ("", figure) if row.robust else (figure, "")
        lines.append(f"| {number} | {row.name} | {row.epochs} | {row.pflop:.2f} | {clean} | {robust} |")
    return "\n".join(lines)


def chart(rows: list[Training]) -> str:
    """Two panels, clean accuracy and accuracy under PGD-50-10, over the operations (a logarithmic axis)."""
    numbered = list(enumerate(rows, 1))
    panels = [panel([one for one in numbered if one[1].robust == robust], 410 * robust, robust) for robust in (False, True)]
    style = "text{font:13px sans-serif;fill:#55606b}.head{font-weight:700;fill:#14202b}"
    ground = '<rect width="820" height="320" fill="#fff"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 320"><style>{style}</style>{ground}{"".join(panels)}</svg>\n'
    )


def panel(rows: list[tuple[int, Training]], left: int, robust: bool) -> str:
    """One panel of the chart: a point for each training, with its number."""
    low, high = (35, 50) if robust else (75, 95)

    def x(work: float) -> float:
        return left + 55 + 320 * (math.log10(work) + 1) / 2

    def y(accuracy: float) -> float:
        return 262 - 215 * (accuracy - low) / (high - low)

    head = "Robust at 8/255: under PGD-50-10, %" if robust else "Standard: clean accuracy, %"
    drawn = [f'<text class="head" x="{left + 25}" y="24">{head}</text>']
    for tick in range(low, high + 1, 5):
        drawn.append(f'<path d="M{left + 55} {y(tick)}h320" stroke="#dfe4e8"/>')
        drawn.append(f'<text x="{left + 45}" y="{y(tick) + 4}" text-anchor="end">{tick}</text>')
    for work in (0.1, 1, 10):
        drawn.append(f'<text x="{x(work)}" y="284" text-anchor="middle">{work:g}</text>')
    drawn.append(f'<text x="{left + 215}" y="306" text-anchor="middle">PFLOP of training</text>')
    for number, row in rows:
        tint = COLOURS["published" if row.published else "ours"]
        drawn.append(f'<circle cx="{x(row.pflop):.1f}" cy="{y(row.accuracy):.1f}" r="5" fill="{tint}"/>')
        drawn.append(f'<text x="{x(row.pflop) + 8:.1f}" y="{y(row.accuracy) - 5:.1f}">{number}</text>')
    return "".join(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--chart", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows = sorted(trainings(), key=lambda row: (row.robust, row.pflop))
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
    elif options.chart:
        options.chart.write_text(chart(rows), encoding="utf-8")
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
