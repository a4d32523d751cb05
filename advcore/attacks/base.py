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
