"""One image attacked from start to end: what the model says before, after, and after saving with 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from advcore.attacks import Attack, predict, probabilities
from advcore.images.encode import amplification, to_bytes


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
    model: nn.Module,
    clean: Tensor,
    attack: Attack,
    epsilon: float,
    *,
    label: int | None = None,
    target: int | None = None,
    index: int = 0,
) -> Outcome:
    """Attack one image (1×C×H×W in [0, 1]); without a label the model's own answer is the one to lose.

    `index` is the image's position in its dataset, which decides the attack's random numbers.
    """
    own = int(predict(model, clean)) if label is None else label
    aim = torch.tensor([own if target is None else target], device=clean.device)
    attacked = attack.perturb(model, clean, aim, epsilon, indices=torch.tensor([index]))
    saved = to_bytes(attacked).float().div(255)
    before, after, rounded = (probabilities(model, pixels)[0] for pixels in (clean, attacked, saved))
    return Outcome(clean, attacked, before, after, rounded, own, target)
