"""Python that reproduces what the app shows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from advcore.attacks import Attack, Norm, offered, python_call
from advcore.evaluation.curves import Reading


def attack_snippet(checkpoint_id: str, dataset: str, index: int, attack: Attack, epsilon: float, target: int | None) -> str:
    """A script that attacks one test image and prints the model's answers; it runs as it stands beside `advcore`."""
    aim = "" if target is None else f", target={target}"
    return f"""from advcore import attacks, data
from advcore.evaluation.single import attack_picture
from advcore.images.encode import png
from advcore.models import checkpoints

checkpoint = checkpoints.find({checkpoint_id!r})
test = data.load({dataset!r})
image, label = test[{index}:{index + 1}].pixels(), int(test.labels[{index}])

outcome = attack_picture(
    checkpoint.model(), image, attacks.{python_call(attack)}, epsilon={epsilon!r}, label=label{aim}, index={index}
)
print(outcome.record(test.class_names))
open("attacked.png", "wb").write(png(outcome.saved[0]))
"""


def curve_command(
    checkpoint_ids: Sequence[str], attack: str, epsilons: Sequence[float], *, norm: Norm, reading: Reading, images: int
) -> str:
    """The command that measures these curves; `epsilons` ascend evenly from 0."""
    end, step = epsilons[-1], round(epsilons[-1] / max(1, len(epsilons) - 1), 10)
    even = len(epsilons) > 1 and abs(step * (len(epsilons) - 1) - end) < 1e-12
    grid = f"0:{end:.10g}:{step:.10g}" if even else ",".join(f"{epsilon:.10g}" for epsilon in epsilons)
    words = ["python", "-m", "advcore", "curve", "--checkpoint", *checkpoint_ids, "--attack", attack, "--epsilons", grid]
    choice = next((option for option in offered()[attack].options if option.name == "norm"), None)
    words += ["--norm", norm] * (choice is not None and choice.default != norm)
    words += ["--worst-case"] * (reading == "worst") + ["--limit", str(images)]
    return shlex.join(words)
