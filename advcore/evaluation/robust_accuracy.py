"""Robust accuracy at one ε: which images are left after an attack, and which component of AutoAttack fooled the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from advcore import attacks
from advcore.attacks import Attack, AutoAttack, Norm
from advcore.data import LabeledImages
from advcore.device import Precision, fastest_precision
from advcore.errors import AdvcoreError
from advcore.evaluation.curves import Padded, Quick, RobustnessCurve, default_batch_size, prepared


@dataclass(frozen=True)
class RobustAccuracy:
    """What an attack leaves of N images at one ε (pixel space, in `norm`).

    `fooled_by` has a number for each image: 0 where the model is wrong about the clean image, k where the k-th of `components`
    fooled it, and one more than their number where it is right to the end. Results of disjoint images add up.
    """

    epsilon: float
    norm: Norm
    components: tuple[str, ...]
    fooled_by: tuple[int, ...] = ()

    def __add__(self, other: RobustAccuracy) -> RobustAccuracy:
        if replace(self, fooled_by=()) != replace(other, fooled_by=()):
            raise AdvcoreError("Two robust accuracies add only at one ε, in one norm and under one attack.")
        return replace(self, fooled_by=self.fooled_by + other.fooled_by)

    @property
    def survivors(self) -> dict[str, int]:
        """How many images the model is right about: `clean`, then after each component."""
        names = ("clean", *self.components)
        return {name: sum(place > number for place in self.fooled_by) for number, name in enumerate(names)}

    @property
    def curve(self) -> RobustnessCurve:
        """The same as a curve of one point, with its interval. An image that is wrong without an attack counts as fooled."""
        left = self.survivors[self.components[-1]]
        return RobustnessCurve((self.epsilon,), (left,), len(self.fooled_by), self.norm, "worst")

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint's header: epsilon, norm, images, accuracy, survivors."""
        images = len(self.fooled_by)
        return {
            "epsilon": self.epsilon,
            "norm": self.norm,
            "images": images,
            "accuracy": self.curve.accuracy[0],
            "survivors": self.survivors,
        }


def robust_accuracy(
    model: nn.Module,
    data: LabeledImages,
    attack: Attack,
    epsilon: float,
    *,
    device: torch.device | None = None,
    precision: Precision | None = None,
    batch_size: int | None = None,
    done: Sequence[int] = (),
) -> Iterator[RobustAccuracy]:
    """Growing results, one batch of images after another; the last one is over all images.

    `epsilon` is in pixel space and in the attack's norm. `done` are the `fooled_by` of the first images, known from earlier.
    With `precision` bf16 (without one, the fastest), answers that need no gradient are computed in bf16; what counts as fooled
    is decided in fp32. Raises AttackError for an ε out of range, AdvcoreError for more `done` than images.
    """
    attacks.check_epsilon(epsilon, attack.norm)
    components = tuple(attack.components) if isinstance(attack, AutoAttack) else (attacks.title(attack),)
    if len(done) > len(data) or not all(type(place) is int and 0 <= place <= len(components) + 1 for place in done):
        raise AdvcoreError("What is known of this evaluation does not belong to these images; start it again.")
    device = device or next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    precision = precision or fastest_precision(device.type)
    exact = Padded(prepared(model, device, "fp32"))
    search = exact if precision == "fp32" else Quick(exact, Padded(prepared(model, device, precision)))
    found = RobustAccuracy(float(epsilon), attack.norm, components, tuple(done))
    size = batch_size or default_batch_size(data.shape, device)
    if len(done) == len(data):
        yield found
    for start in range(len(done), len(data), size):
        part = data[start : start + size]
        found = replace(found, fooled_by=found.fooled_by + tuple(_fooled_by(exact, search, attack, part, epsilon, device)))
        yield found


def _fooled_by(
    exact: nn.Module, search: nn.Module, attack: Attack, part: LabeledImages, epsilon: float, device: torch.device
) -> list[int]:
    images = part.pixels(device).contiguous(memory_format=torch.channels_last)
    labels, indices = part.labels.to(device), part.indices.to(device)
    right = _answers(exact, images) == labels
    held = right.nonzero()[:, 0]
    fooled_by = torch.zeros_like(labels)
    fooled_by[held] = _attacked(exact, search, attack, images[held], labels[held], epsilon, indices[held])
    return fooled_by.tolist()


def _attacked(
    exact: nn.Module, search: nn.Module, attack: Attack, images: Tensor, labels: Tensor, epsilon: float, indices: Tensor
) -> Tensor:
    """The number of the component that fools each image, or one more than there are; int64 N. The clean images are right."""
    if not isinstance(attack, AutoAttack):
        attacked = attack.perturb(search, images, labels, epsilon, indices=indices)
        return 1 + (_answers(exact, attacked) == labels).long()
    result = attack.run(search, images, labels, epsilon, indices)
    places, last = result.fooled_by.clone(), len(result.components) + 1
    # What fooled the search in bf16 and does not fool the model in fp32 is attacked again in fp32.
    unsure = ((places < last) & (_answers(exact, result.images) == labels)).nonzero()[:, 0]
    if len(unsure):
        places[unsure] = attack.run(exact, images[unsure], labels[unsure], epsilon, indices[unsure]).fooled_by
    return places


def _answers(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return attacks.predict(model, images)
