"""Robust accuracy at one ε: which images are left after an attack, and which component of AutoAttack fooled the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from advcore import attacks
from advcore.attacks import Attack, AutoAttack, Norm
from advcore.data import LabeledImages
from advcore.device import Precision
from advcore.errors import AdvcoreError
from advcore.evaluation.curves import RobustnessCurve, copies, default_batch_size


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
        """How many images the model classifies correctly: `clean`, then after each component."""
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
    The attack searches in `precision` (left out: the fastest); what counts as fooled is decided in fp32. Raises AttackError
    for an ε out of range, AdvcoreError for more `done` than images.
    """
    attacks.check_epsilon(epsilon, attack.norm)
    components = tuple(attack.components) if isinstance(attack, AutoAttack) else (attacks.title(attack),)
    if len(done) > len(data) or not all(type(place) is int and 0 <= place <= len(components) + 1 for place in done):
        raise AdvcoreError("The saved part of this evaluation is of other images; start it again.")
    device, exact, quick = copies(model, device, precision)
    found = RobustAccuracy(float(epsilon), attack.norm, components, tuple(done))
    size = batch_size or default_batch_size(data.shape, device)
    if len(done) == len(data):
        yield found
    for start in range(len(done), len(data), size):
        part = data[start : start + size]
        found = replace(found, fooled_by=found.fooled_by + tuple(_fooled_by(exact, quick, attack, part, epsilon, device)))
        yield found


def _fooled_by(
    exact: nn.Module, quick: nn.Module, attack: Attack, part: LabeledImages, epsilon: float, device: torch.device
) -> list[int]:
    """`RobustAccuracy.fooled_by` of one batch."""
    images = part.pixels(device).contiguous(memory_format=torch.channels_last)
    labels, indices = part.labels.to(device), part.indices.to(device)
    if isinstance(attack, AutoAttack):
        return attack.run(quick, images, labels, epsilon, indices=indices)[1].tolist()
    right = attacks.predict(exact, images) == labels
    attacked = attack.perturb(quick, images, labels, epsilon, indices=indices)
    return (right.long() * (1 + (attacks.predict(exact, attacked) == labels).long())).tolist()
