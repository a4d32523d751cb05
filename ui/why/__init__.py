"""The parts of the page Why."""

from __future__ import annotations

from dataclasses import dataclass

from advcore import attacks, data
from advcore.evaluation.scrub import Scrub
from advcore.models.checkpoints import Checkpoint
from ui import load


@dataclass(frozen=True, eq=False)
class Scene:
    """What the page was opened with: a test image, models A and B, and an attack (toward class `target`, or None)."""

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

    def asked(self, model: Checkpoint) -> load.ImageAttack:
        """The attack on the image, made on this model."""
        return load.image_attack(model, self.index, self.attack, self.target)

    def seen(self, model: Checkpoint) -> Scrub:
        """The image under that attack at every ε of the track."""
        return load.scrubbed(self.asked(model), self.info.epsilons)
