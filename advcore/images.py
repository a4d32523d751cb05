"""Images out: pixel space to 8 bits and PNG, thumbnails, and one image attacked from start to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcore.attacks import Attack, predict, probabilities
from advcore.pictures import encode_png


def to_bytes(pixels: Tensor) -> Tensor:
    """Pixel space [0, 1] to uint8, rounded to the nearest of the 256 levels."""
    return pixels.mul(255).round().clamp(0, 255).to(torch.uint8)


def png(pixels: Tensor) -> bytes:
    """One image, C×H×W uint8 or float in [0, 1], as PNG bytes at its own size."""
    return encode_png(pixels if pixels.dtype == torch.uint8 else to_bytes(pixels))


def thumbnails(images: Tensor, side: int = 64) -> Tensor:
    """uint8 N×C×H×W at most `side` px high and wide, smaller ones as they are."""
    if max(images.shape[2:]) <= side:
        return images.contiguous()
    scale = side / max(images.shape[2:])
    size = [max(1, round(edge * scale)) for edge in images.shape[2:]]
    return to_bytes(F.interpolate(images.float() / 255, size=size, mode="area"))


def amplification(perturbation: Tensor) -> int:
    """The factor that makes a perturbation visible around mid-grey: the largest of 1, 2, 3, 5, 10, … that fits."""
    largest = float(perturbation.abs().max())
    # A little more than 0.5: the difference of two float32 numbers 0.1 apart is 0.1 only by luck.
    fitting = [factor for factor in (1, 2, 3, 5, 10, 20, 30, 50, 100) if factor * largest <= 0.5001]
    return fitting[-1] if fitting else 1


@dataclass(frozen=True, eq=False)
class Outcome:
    """One image under attack: clean and attacked 1×C×H×W in [0, 1], with the model's probabilities (K) for each.

    `rounded` are the probabilities of the attacked image after saving it with 8 bits a value, as a PNG does.
    """

    clean: Tensor
    attacked: Tensor
    before: Tensor
    after: Tensor
    rounded: Tensor
    label: int
    target: int | None

    @property
    def wrong_before(self) -> bool:
        """Whether the model misses the label of the unchanged image."""
        return int(self.before.argmax()) != self.label

    def fooled(self, answer: Tensor) -> bool:
        """Whether the attack cost the model the label, which it had before; into which class, `reached` says."""
        return not self.wrong_before and int(answer.argmax()) != self.label

    def reached(self, answer: Tensor) -> bool:
        """Whether these probabilities are the target's."""
        return int(answer.argmax()) == self.target

    def pictures(self) -> dict[str, Tensor]:
        """clean, perturbation (around mid-grey, amplified) and attacked, each C×H×W."""
        difference = self.attacked - self.clean
        shown = (0.5 + amplification(difference) * difference).clamp(0, 1)
        return {"clean": self.clean[0], "perturbation": shown[0], "attacked": self.attacked[0]}

    def record(self, names: Sequence[str]) -> dict[str, Any]:
        """The outcome in plain values."""
        return {
            "before": _answer(self.before, names),
            "after": _answer(self.after, names),
            "after_8bit": _answer(self.rounded, names),
            "wrong_without_attack": self.wrong_before,
            "fooled": self.fooled(self.after),
            "fooled_8bit": self.fooled(self.rounded),
            "reached": None if self.target is None else self.reached(self.after),
            "reached_8bit": None if self.target is None else self.reached(self.rounded),
            "largest_change": float((self.attacked - self.clean).abs().max()),
            "amplification": amplification(self.attacked - self.clean),
        }


def _answer(shares: Tensor, names: Sequence[str]) -> dict[str, Any]:
    best = int(shares.argmax())
    return {"class": names[best], "confidence": float(shares[best])}


def attack_picture(
    model: nn.Module, clean: Tensor, attack: Attack, epsilon: float, *, label: int | None = None, target: int | None = None
) -> Outcome:
    """Attack one image (1×C×H×W in [0, 1]); without a label the model's own answer is the one to lose."""
    own = int(predict(model, clean)) if label is None else label
    aim = torch.tensor([own if target is None else target], device=clean.device)
    attacked = attack.perturb(model, clean, aim, epsilon)
    saved = to_bytes(attacked).float().div(255)
    before, after, rounded = (probabilities(model, pixels)[0] for pixels in (clean, attacked, saved))
    return Outcome(clean, attacked, before, after, rounded, own, target)
