"""Python that reproduces what the app shows."""

from __future__ import annotations

from advcore.attacks import Attack, python_call


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
