"""One test image, two models and an attack: what the pages Attack and Why both show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from advcore import attacks, data
from advcore.evaluation.figures import claimed_epsilon
from advcore.evaluation.scrub import Scrub
from advcore.models.checkpoints import Checkpoint
from ui import load
from ui.frame import number, remember
from ui.pickers import ANY


@dataclass(frozen=True, eq=False)
class Scene:
    """A test image, models A and B, an attack (toward class `target`, or None) and the ε at which it is shown first."""

    info: data.Dataset
    images: data.LabeledImages
    index: int
    models: tuple[Checkpoint, Checkpoint]
    known: dict[str, Checkpoint]
    attack_name: str
    attack: attacks.Attack
    target: int | None
    epsilon: float

    @property
    def label(self) -> int:
        """The image's true class."""
        return int(self.images.labels[self.index])

    @property
    def different(self) -> bool:
        """Whether A and B are two models."""
        return self.models[0].id != self.models[1].id

    @property
    def file(self) -> str:
        """How the names of its files begin."""
        return f"{self.info.name}-{self.index}"

    def asked(self, model: Checkpoint) -> load.ImageAttack:
        """The attack on the image, made on this model."""
        return load.image_attack(model, self.index, self.attack, self.target)

    def seen(self, model: Checkpoint) -> Scrub:
        """The image under that attack at every ε of the track."""
        return load.scrubbed(self.asked(model), self.info.epsilons)

    def image_words(self, write: Callable[[str], str] = str) -> str:
        """Which image it is; `write` escapes the name of its class."""
        return f"Test image {self.index} of {self.info.title}, true class “{write(self.images.class_names[self.label])}”"


def usual_epsilon(info: data.Dataset, models: Sequence[Checkpoint]) -> float:
    """The ε that the defended one of the models claims, if the track has it; else the dataset's."""
    claims = [claimed_epsilon(model) or math.inf for model in reversed(models) if model.defended]
    return next((at for claim in claims for at in info.epsilons if math.isclose(at, claim, abs_tol=1e-6)), info.epsilon)


def open_scene(
    info: data.Dataset,
    images: data.LabeledImages,
    known: dict[str, Checkpoint],
    models: tuple[Checkpoint, Checkpoint],
    attack_name: str,
    target_name: str,
) -> Scene:
    """The scene of these choices, which the page then remembers, all but ε.

    The image and ε are the address's; at first they are such that FGSM fools A and not B. The image's true class is no target.
    """
    first, usual = load.striking(*models, usual_epsilon(info, models))
    index = int(number("image", 0, len(images) - 1, first, scope=info.name))
    asked = None if target_name == ANY else target_name
    target = None if asked in (None, images.class_names[int(images.labels[index])]) else images.class_names.index(asked)
    attack = attacks.attack_named(attack_name, targeted=target is not None)
    epsilon = number("epsilon", 0, info.epsilon_max, min(usual, info.epsilon_max), scope=info.name)
    a, b = (model.id for model in models)
    remember(info.name, dataset=info.name, a=a, b=b, attack=attack_name, target=asked, image=index)
    return Scene(info, images, index, models, known, attack_name, attack, target, epsilon)
