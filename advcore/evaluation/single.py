"""One image under attack: what the model answers before, after, and after saving with 8 bits per value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from advcore.attacks import Attack, evaluating, input_gradient, predict, probabilities
from advcore.evaluation.scrub import Scrub
from advcore.images.encode import amplification

_LATTICE_STEPS = 20
_SLACK = 1e-3  # of a grey level: what float32 may round


@dataclass(frozen=True, eq=False)
class Outcome:
    """One image under attack: clean and attacked 1×C×H×W in [0, 1], with the model's probabilities (K) for each.

    `saved` (uint8, 1×C×H×W) is the attacked image as a PNG keeps it, `rounded` are the probabilities for it.
    """

    clean: Tensor
    attacked: Tensor
    before: Tensor
    after: Tensor
    rounded: Tensor
    label: int
    target: int | None
    saved: Tensor

    @property
    def wrong_before(self) -> bool:
        """Whether the model misses the label of the unchanged image."""
        return int(self.before.argmax()) != self.label

    def fooled(self, answer: Tensor) -> bool:
        """Whether these probabilities (K) miss the label although the clean image was classified correctly."""
        return not self.wrong_before and int(answer.argmax()) != self.label

    def reached(self, answer: Tensor) -> bool:
        """Whether the target has the largest of these probabilities."""
        return int(answer.argmax()) == self.target

    @property
    def largest_change(self) -> float:
        """The L∞ distance from the clean to the attacked image, in pixel space."""
        return float((self.attacked - self.clean).abs().max())

    @property
    def amplification(self) -> int:
        """The factor with which the perturbation is drawn."""
        return amplification(self.largest_change)

    def pictures(self) -> dict[str, Tensor]:
        """clean, perturbation (around mid-grey, amplified) and attacked, each C×H×W."""
        shown = (0.5 + self.amplification * (self.attacked - self.clean)).clamp(0, 1)
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
            "largest_change": self.largest_change,
            "amplification": self.amplification,
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
    before, after = (probabilities(model, pixels)[0] for pixels in (clean, attacked))
    return _saved(model, clean, attacked, before, after, attack, epsilon, own, target)


def outcome_of(model: nn.Module, seen: Scrub, attack: Attack, place: int) -> Outcome:
    """The outcome of `attack` at the ε in that place of a scrub's grid, without attacking the image again."""
    clean, device = seen.image[None], next(model.parameters()).device
    before, after = (shares.to(device) for shares in (seen.shares[0], seen.shares[place]))
    attacked, epsilon = seen.attacked(place), seen.epsilons[place]
    return _saved(model, clean, attacked, before, after, attack, epsilon, seen.label, seen.target)


def _saved(
    model: nn.Module,
    clean: Tensor,
    attacked: Tensor,
    before: Tensor,
    after: Tensor,
    attack: Attack,
    epsilon: float,
    label: int,
    target: int | None,
) -> Outcome:
    """The outcome, completed with the image in 8 bits and the model's probabilities for it."""
    aim = torch.tensor([label if target is None else target], device=clean.device)
    saved = within_8_bits(model, clean, attacked, aim, attack, epsilon)
    rounded = probabilities(model, saved.float().div(255))[0]
    return Outcome(clean, attacked, before, after, rounded, label, target, saved)


def within_8_bits(model: nn.Module, clean: Tensor, attacked: Tensor, aim: Tensor, attack: Attack, epsilon: float) -> Tensor:
    """The attacked image (1×C×H×W) in 8 bits per value, uint8, no farther than ε from the clean one.

    Values are rounded to the nearest of the 256 levels within ε (L∞), or toward the clean image (other norms). Where an L∞
    attack succeeded and rounding loses it, up to 20 further gradient steps are taken on the levels themselves; if they do not
    succeed either, the plain rounding is returned. A clean value that is none of the 256 levels can end up to one level away.
    """
    if attack.norm != "linf":
        toward = torch.where(attacked > clean, (attacked * 255 + _SLACK).floor(), (attacked * 255 - _SLACK).ceil())
        return toward.clamp(0, 255).to(torch.uint8)
    low = ((clean - epsilon) * 255 - _SLACK).ceil().clamp(0, 255)
    high = torch.maximum(((clean + epsilon) * 255 + _SLACK).floor().clamp(0, 255), low)
    plain = levels = torch.minimum(torch.maximum((attacked * 255).round(), low), high)

    def succeeds(pixels: Tensor) -> bool:
        with torch.no_grad():
            return bool(attack.succeeded(model(pixels).float(), aim))

    with evaluating(model):
        if attack.needs_labels and epsilon and succeeds(attacked):
            step = max(1, round(epsilon * 255 / 4))
            for taken in range(_LATTICE_STEPS + 1):
                if succeeds(levels / 255):
                    return levels.to(torch.uint8)
                if taken == _LATTICE_STEPS:
                    break
                gradient = input_gradient(model, levels / 255, aim)
                levels = torch.minimum(torch.maximum(levels + step * attack.sign * gradient.sign(), low), high)
    return plain.to(torch.uint8)
