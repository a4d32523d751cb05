"""The attacks: small frozen dataclasses that turn images into attacked images within an L∞ budget in pixel space.

All of them take `labels` as what to move away from or, when `targeted`, what to move toward. Left out, the model's own
clean prediction is moved away from. No attack leaves a trace in the model: not in its mode, its gradients or its buffers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcore.errors import AttackError

# A float32 sum in [0, 1] rounds by at most 2^-25; this margin keeps |attacked − image| ≤ ε exactly.
_ROUNDING = 2.0**-24
# How many input values PGD moves at once, on an accelerator and on a CPU (200 CIFAR-10 images).
_SIDE_BY_SIDE = (50_000_000, 614_400)


# Harm above this means fooled: losses lie far below it.
_DONE = 1e6


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into eval mode and give every layer its own mode back afterwards."""
    training = [module for module in model.modules() if module.training]
    if not training:  # the common case: a shared model is not even touched
        yield
        return
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """The predicted class of each image: N×C×H×W in [0, 1] → int64 N."""
    with evaluating(model), torch.no_grad():
        return halve_when_full(lambda part: model(part).argmax(1), images)


def probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """The class probabilities of each image: N×C×H×W in [0, 1] → float32 N×K, rows summing to 1."""
    with evaluating(model), torch.no_grad():
        return halve_when_full(lambda part: model(part).float().softmax(1), images)


def input_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """∂ cross-entropy / ∂ images, summed over the batch: N×C×H×W. Parameters get no gradient; the mode stays as it is."""
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        loss = F.cross_entropy(model(leaf).float(), labels, reduction="sum")
        return torch.autograd.grad(loss, leaf)[0]


def clip(images: Tensor, direction: Tensor, epsilon: float) -> Tensor:
    """`images + ε·direction` (direction within [−1, 1]) cut to [0, 1], never farther than ε from `images`."""
    return torch.add(images, direction, alpha=max(epsilon - _ROUNDING, 0.0)).clamp_(0, 1)


def uniform_noise(images: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Noise uniform in [−ε, ε], the shape of `images`, drawn where the generator lives."""
    noise = torch.empty(images.shape, device=generator.device).uniform_(-1, 1, generator=generator)
    return noise.to(images).mul_(epsilon)


def climb(
    gradient: Callable[[Tensor], Tensor],
    images: Tensor,
    epsilon: Tensor | float,
    step: Tensor | float,
    steps: int,
    start: Tensor | None,
) -> Tensor:
    """`steps` sign steps of size `step` (negative: downhill) from images + start, each projected into the ε-ball and [0, 1].

    ε and the step are one number for the whole batch, or N×1×1×1 for one an image.
    """
    reach = torch.as_tensor(epsilon - _ROUNDING, device=images.device).clamp(min=0)
    low, high = (images - reach).clamp_(0, 1), (images + reach).clamp_(0, 1)
    attacked = images.clone() if start is None else (images + start).clamp_(low, high)
    for _ in range(steps):
        attacked = attacked.add(gradient(attacked).sign_().mul_(step)).clamp_(low, high)
    return attacked


def halve_when_full(work: Callable[..., Tensor], *batch: Tensor) -> Tensor:
    """`work(*batch)`; where the accelerator's memory cannot hold that, on each half of the batch, and so on."""
    try:
        return work(*batch)
    except torch.OutOfMemoryError:
        size = len(batch[0])
        if size == 1:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    halves = [[tensor[part] for tensor in batch] for part in (slice(None, size // 2), slice(size // 2, None))]
    return torch.cat([halve_when_full(work, *half) for half in halves])


def check_epsilon(epsilon: float) -> float:
    """ε itself if it is a budget in pixel space; raises AttackError unless 0 ≤ ε ≤ 1."""
    if not 0 <= epsilon <= 1:
        raise AttackError(f"ε is an L∞ budget in pixel space and lies between 0 and 1, not {epsilon}; write 8/255 as 0.0314.")
    return float(epsilon)


@dataclass(frozen=True, kw_only=True)
class Attack:
    """Base of all attacks. A subclass says how it moves a batch in `_move`; ε is L∞ in pixel space."""

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor | None = None, epsilon: float = 0.0) -> Tensor:
        """Attacked images, the shape of `images` (N×C×H×W in [0, 1]), each within ε of its own and within [0, 1].

        `labels` (int64 N) are the true classes, or the wanted ones when targeted. ε = 0 returns the images unchanged.
        Raises AttackError when ε is outside [0, 1] or a targeted attack has no labels.
        """
        return next(self.sweep(model, images, labels, [epsilon]))

    def sweep(self, model: nn.Module, images: Tensor, labels: Tensor | None, epsilons: Sequence[float]) -> Iterator[Tensor]:
        """Attacked images for one ε after another, as `perturb` gives them."""
        for epsilon in epsilons:
            check_epsilon(epsilon)
        images = images.detach()
        with evaluating(model):
            labels = self._labels(model, images, labels)
            yield from self._sweep(model, images, labels, epsilons)

    def _sweep(self, model: nn.Module, images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> Iterator[Tensor]:
        for epsilon in epsilons:
            if epsilon == 0:
                yield images.clone()
            else:
                yield halve_when_full(lambda *batch, budget=epsilon: self._move(model, *batch, budget), images, labels)

    def _move(self, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        raise NotImplementedError

    @property
    def sign(self) -> int:
        """+1 climbs the loss of the labels, −1 descends it."""
        return -1 if getattr(self, "targeted", False) else 1

    def _labels(self, model: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        if labels is not None:
            return labels
        if self.sign < 0:
            raise AttackError("A targeted attack needs to know where to: give the wanted classes as labels.")
        return predict(model, images)


@dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Fast Gradient Sign Method (Goodfellow et al. 2015, arXiv 1412.6572): one step of size ε along the gradient's sign.

    The gradient does not depend on ε, so that a sweep takes one for all its ε.
    """

    targeted: bool = False

    def direction(self, model: nn.Module, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The step's direction, −1, 0 or +1 for each value: N×C×H×W. Attacked = clip(images + ε·direction)."""
        with evaluating(model):
            return self._direction(model, images, self._labels(model, images, labels))

    def _direction(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        gradient = halve_when_full(lambda *batch: input_gradient(model, *batch), images, labels)
        return gradient.sign_().mul_(self.sign)

    def _sweep(self, model: nn.Module, images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> Iterator[Tensor]:
        direction = self._direction(model, images, labels) if any(epsilons) else torch.zeros_like(images)
        for epsilon in epsilons:
            yield images.clone() if epsilon == 0 else clip(images, direction, epsilon)


@dataclass(frozen=True, kw_only=True)
class UniformNoise(Attack):
    """The control: noise drawn uniformly from [−ε, ε], which no gradient points. Hardly fools anyone at the same ε."""

    seed: int = 0

    def direction(self, images: Tensor) -> Tensor:
        """The noise at ε = 1, uniform in [−1, 1], N×C×H×W: a sweep scales one draw, so that ε alone changes."""
        generator = torch.Generator().manual_seed(self.seed)
        return uniform_noise(images, 1.0, generator)

    def _labels(self, model: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        return torch.empty(0) if labels is None else labels

    def _sweep(self, model: nn.Module, images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> Iterator[Tensor]:
        noise = self.direction(images)
        for epsilon in epsilons:
            yield images.clone() if epsilon == 0 else clip(images, noise, epsilon)


@dataclass(frozen=True, kw_only=True)
class PGD(Attack):
    """Projected Gradient Descent (Madry et al. 2018, arXiv 1706.06083): steps of FGSM, projected back into the ε-ball.

    `step_size` is in pixel space; None takes 2.5·ε/steps, with which the steps can reach any point of the ball. Over
    `restarts`, each from its own random start, the worst image is kept: the first that fools (or reaches the target), else
    the one whose loss went farthest.
    """

    steps: int = 20
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    targeted: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise AttackError(f"PGD needs at least 1 step and 1 restart, not {self.steps} and {self.restarts}.")
        if self.step_size is not None and not self.step_size > 0:
            raise AttackError(f"PGD's step size must be above 0, not {self.step_size}; leave it out for 2.5·ε/steps.")

    def _sweep(self, model: nn.Module, images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> Iterator[Tensor]:
        # Several ε side by side in one batch: a step then costs one launch for all of them.
        together = max(1, _SIDE_BY_SIDE[images.device.type == "cpu"] // max(1, images.numel()))
        generator = torch.Generator().manual_seed(self.seed)
        starts = [uniform_noise(images, 1.0, generator) for _ in range(self.restarts)] if self.random_start else []
        for first in range(0, len(epsilons), together):
            group = epsilons[first : first + together]
            budgets = torch.tensor(group, dtype=images.dtype, device=images.device).repeat_interleave(len(images))
            copies = [tensor.repeat(len(group), *[1] * (tensor.dim() - 1)) for tensor in (images, labels, *starts)]
            attacked = halve_when_full(
                lambda budgets, *batch: self._run(model, budgets, *batch), budgets.view(-1, 1, 1, 1), *copies
            )
            yield from attacked.split(len(images)) if len(images) else (images.clone() for _ in group)

    def _run(self, model: nn.Module, budgets: Tensor, images: Tensor, labels: Tensor, *starts: Tensor) -> Tensor:
        """The worst over the restarts; `budgets` N×1×1×1 is each image's ε, `starts` unit noise for each restart."""
        step = budgets * (2.5 / self.steps) if self.step_size is None else torch.full_like(budgets, self.step_size)

        def run(which: Tensor | slice, start: Tensor | None) -> Tensor:
            reach, aim, images_of = budgets[which], labels[which], images[which]
            begin = None if start is None else start[which] * reach
            ascent = self.sign * step[which]
            return climb(lambda attacked: input_gradient(model, attacked, aim), images_of, reach, ascent, self.steps, begin)

        attacked = run(slice(None), starts[0] if starts else None)
        worst = self._harm(model, attacked, labels) if len(starts) > 1 else None
        for start in starts[1:]:
            held = (worst < _DONE).nonzero()[:, 0]  # what is fooled needs no further try
            if not len(held):
                break
            candidate = run(held, start)
            harm = self._harm(model, candidate, labels[held])
            better = harm > worst[held]
            attacked[held[better]], worst[held] = candidate[better], torch.maximum(worst[held], harm)
        return attacked

    def _harm(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """How far each image is on its way, float N: any that fooled the model ranks above all that did not."""
        with torch.no_grad():
            logits = model(images).float()
            loss = self.sign * F.cross_entropy(logits, labels, reduction="none")
            done = (logits.argmax(1) == labels) == (self.sign < 0)
        return loss.clamp(max=_DONE / 2) + 2 * _DONE * done


ATTACKS: dict[str, type[Attack]] = {"fgsm": FGSM, "pgd": PGD, "noise": UniformNoise}
TITLES: dict[str, str] = {"fgsm": "FGSM", "pgd": "PGD", "noise": "Random noise"}


def attack_named(name: str, **options: object) -> Attack:
    """The attack called `name` (fgsm, pgd, noise) with the options it has; others are left aside.

    Raises AttackError for an unknown name, or when a targeted noise is asked for.
    """
    if name not in ATTACKS:
        raise AttackError(f"There is no attack '{name}'; choose one of {', '.join(ATTACKS)}.")
    kind = ATTACKS[name]
    if options.get("targeted") and "targeted" not in kind.__dataclass_fields__:
        raise AttackError(f"{TITLES[name]} follows no gradient and cannot be targeted; choose fgsm or pgd.")
    return kind(**{key: value for key, value in options.items() if key in kind.__dataclass_fields__})  # type: ignore[arg-type]


def title(attack: Attack) -> str:
    """The attack's name for people: `FGSM`, `PGD-20`, `PGD-50-10` (steps, restarts), `random noise`."""
    if isinstance(attack, PGD):
        return f"PGD-{attack.steps}" + (f"-{attack.restarts}" if attack.restarts > 1 else "")
    return "FGSM" if isinstance(attack, FGSM) else "random noise"
