"""One image under one attack at every ε of a grid: what the ε scrubber shows without evaluating the model again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from advcore.attacks import FGSM, Attack, Norm, clip, predict, probabilities
from advcore.data import LabeledImages
from advcore.epsilon import nearest
from advcore.evaluation.curves import first_epsilon
from advcore.images.encode import to_bytes

_FORWARD_VALUES = 4_000_000  # how many input values go through the model at once
COARSE_STEPS = 20
_SURE = 0.7  # a probability from which an answer looks confident; label smoothing keeps some models' below 0.9


@dataclass(frozen=True, eq=False)
class Scrub:
    """An image (C×H×W in [0, 1]) at every ε of `epsilons`, and the model's answers there.

    With a `direction` (C×H×W, within [−1, 1] in L∞, of length 1 in L2) the attacked image is clip(image + ε·direction);
    without one it is taken from `frames` (uint8 E×C×H×W). ε is in `norm`. `shares` are the class probabilities, float32 E×K;
    `label` is the class to lose, `target` the one to reach, or None.
    """

    epsilons: tuple[float, ...]
    image: Tensor
    direction: Tensor | None
    frames: Tensor | None
    shares: Tensor
    label: int
    target: int | None = None
    norm: Norm = "linf"

    @property
    def answers(self) -> Tensor:
        """The predicted class at each ε, int64 E."""
        return self.shares.argmax(1)

    @property
    def fooled(self) -> Tensor:
        """Whether the attack has what it wants at each ε, bool E: the label lost, or the target reached."""
        return self.answers != self.label if self.target is None else self.answers == self.target

    @property
    def smallest_epsilon(self) -> float:
        """The first ε of the grid that fools the model; ∞ if none does."""
        return float(first_epsilon(self.epsilons, self.fooled[:, None])[0])

    def place(self, epsilon: float) -> int:
        """The place in the grid of the ε that is nearest to this one."""
        return self.epsilons.index(nearest(self.epsilons, epsilon))

    def with_more(self, other: Scrub) -> Scrub:
        """This one and the ε that another has besides, of the same image under the same attack run again at every ε.

        Raises ValueError for attacks that have a direction: those need no second run.
        """
        if self.frames is None or other.frames is None:
            raise ValueError("Only an attack that runs again at every ε is put together from parts.")
        new = [place for place, epsilon in enumerate(other.epsilons) if epsilon not in self.epsilons]
        grid = [*self.epsilons, *(other.epsilons[place] for place in new)]
        order = sorted(range(len(grid)), key=grid.__getitem__)
        frames, shares = torch.cat([self.frames, other.frames[new]]), torch.cat([self.shares, other.shares[new]])
        return replace(self, epsilons=tuple(grid[at] for at in order), frames=frames[order], shares=shares[order])

    def attacked(self, place: int) -> Tensor:
        """The attacked image at the ε in that place of the grid, 1×C×H×W in [0, 1]; taken from `frames`, it has 8 bits."""
        if self.direction is not None:
            return clip(self.image[None], self.direction, self.epsilons[place], self.norm)
        assert self.frames is not None
        return self.frames[place : place + 1].float().div(255)


def coarse(epsilons: Sequence[float]) -> tuple[float, ...]:
    """Every k-th ε of a fine grid, ends included and at most twenty steps, for attacks that run again at every ε."""
    steps = len(epsilons) - 1
    divisors = (stride for stride in range(1, steps + 1) if steps % stride == 0)
    stride = next((stride for stride in divisors if steps // stride <= COARSE_STEPS), 1)
    return tuple(epsilons[::stride])


def scrub(
    model: nn.Module,
    image: Tensor,
    attack: Attack,
    epsilons: Sequence[float],
    *,
    label: int | None = None,
    target: int | None = None,
    index: int = 0,
) -> Scrub:
    """Attack one image, 1×C×H×W in [0, 1], at every ε (pixel space, in the attack's norm).

    Attacks with one direction for all ε (FGSM, noise) use the whole grid; others use `coarse` of it. Without a label the
    model's own answer is the one to lose. `index` is the image's position in its dataset, which decides the attack's random
    numbers. Raises AttackError as the attack does.
    """
    label = int(predict(model, image)) if label is None else label
    aim = torch.tensor([label if target is None else target], device=image.device)
    indices = torch.tensor([index])
    direction = attack.direction(model, image, aim, indices=indices)
    grid = tuple(epsilons) if direction is not None else coarse(epsilons)
    attacked = torch.cat(list(attack.sweep(model, image, aim, grid, indices=indices)))
    frames = to_bytes(attacked) if direction is None else None
    part = max(1, _FORWARD_VALUES // math.prod(image.shape))
    shares = torch.cat([probabilities(model, attacked[start : start + part]) for start in range(0, len(attacked), part)])
    return Scrub(grid, image[0], None if direction is None else direction[0], frames, shares.cpu(), label, target, attack.norm)


def striking(first: nn.Module, second: nn.Module, images: LabeledImages, usual: float) -> tuple[int, float]:
    """(index of an image, ε between `usual` and five times that) at which two models differ under FGSM.

    Both models classify the clean image correctly, and FGSM at that ε fools the first but not the second. If there is no such
    image, one for which FGSM fools the first; else (0, usual). Of several at the smallest such ε it is one of which the first
    model is sure, if possible, and of those the one of the highest contrast: a dark or hazy picture convinces nobody.
    """
    device = next(first.parameters()).device
    pixels, labels = images.pixels(device), images.labels.to(device)
    budgets = [usual * factor for factor in (1, 1.5, 2, 3, 4, 5) if usual * factor <= 1]
    shares = probabilities(first, pixels)
    clearness = images.contrast + (shares.amax(1).cpu() >= _SURE)  # contrast is below 1
    right = [shares.argmax(1) == labels, predict(second, pixels) == labels]
    sweeps = [FGSM().sweep(model, pixels, labels, budgets) for model in (first, second)]

    def clearest(wanted: Tensor) -> int:
        return int(torch.where(wanted.cpu(), clearness, -1.0).argmax())

    only_first = None
    for budget, attacked, beside in zip(budgets, *sweeps, strict=True):  # the larger ones only if nothing is found before
        falls = right[0] & (predict(first, attacked) != labels)
        wanted = falls & right[1] & (predict(second, beside) == labels)
        if wanted.any():
            return clearest(wanted), budget
        if only_first is None and falls.any():
            only_first = clearest(falls), budget
    return only_first or (0, usual)
