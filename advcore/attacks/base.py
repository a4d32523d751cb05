"""What all attacks share: the base class, the budget, gradients, and the splitting of batches that do not fit into memory.

All attacks take `labels` as what to move away from or, when `targeted`, what to move toward. Left out, the model's own
clean prediction is moved away from. No attack changes the model: not its mode, its gradients or its buffers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcore.errors import AttackError

Norm = Literal["linf", "l2", "l0"]
"""How a perturbation is measured, in pixel space: the largest change of a value, the Euclidean length of all changes, or
the share of the values that change."""
NORMS: tuple[Norm, ...] = get_args(Norm)

# A float32 sum in [0, 1] rounds by at most 2^-25; this margin keeps |attacked − image| ≤ ε exactly.
_ROUNDING = 2.0**-24
# How many input values are attacked at once, on an accelerator and on a CPU (200 CIFAR-10 images).
_AT_ONCE = (50_000_000, 614_400)


# --- predictions and gradients ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into eval mode; restore the mode of every layer afterwards."""
    training = [module for module in model.modules() if module.training]
    if not training:  # the common case: a shared model is not changed at all
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
    return loss_gradient(model, images, lambda logits: F.cross_entropy(logits, labels, reduction="sum"))[2]


def loss_gradient(model: nn.Module, images: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """(logits N×K, loss, ∂ summed loss / ∂ images N×C×H×W) from one forward and one backward pass.

    `loss` maps float32 logits to a number or to one number per image.
    """
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        logits = model(leaf).float()
        value = loss(logits)
        gradient = torch.autograd.grad(value.sum(), leaf)[0]
    return logits.detach(), value.detach(), gradient


class FastSearch(nn.Module):
    """A model whose logits are those of `fast`, a cheaper copy of `exact` (for example in bf16).

    Attacks search with `fast`; an image only counts as fooled if `exact` is wrong about it (see `Attack.fooled`).
    """

    def __init__(self, fast: nn.Module, exact: nn.Module) -> None:
        super().__init__()
        self.fast, self.exact = fast, exact

    def forward(self, images: Tensor) -> Tensor:
        """The logits of `fast`, N×K."""
        return self.fast(images)


def halve_when_full(work: Callable[..., Tensor], *batch: Tensor) -> Tensor:
    """`work(*batch)`; if the accelerator runs out of memory, computed on each half of the batch, recursively."""
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


# --- the budget ------------------------------------------------------------------------------------------------------


def check_epsilon(epsilon: float, norm: Norm = "linf") -> float:
    """ε itself if it is a budget in pixel space; raises AttackError otherwise.

    L∞ and L0 budgets lie between 0 and 1; an L2 budget is any finite number from 0 on.
    """
    if norm == "l2" and not 0 <= epsilon < math.inf:
        raise AttackError(f"ε is an L2 budget in pixel space and is at least 0, not {epsilon}; 0.5 is a usual value.")
    if norm == "l0" and not 0 <= epsilon <= 1:
        raise AttackError(f"ε is the share of the values that may change and lies between 0 and 1, not {epsilon}.")
    if norm == "linf" and not 0 <= epsilon <= 1:
        raise AttackError(f"ε is an L∞ budget in pixel space and lies between 0 and 1, not {epsilon}; 8/255 is 0.0314.")
    return float(epsilon)


def per_image(values: Tensor) -> Tensor:
    """N numbers as N×1×1×1, to be multiplied with images."""
    return values.view(-1, 1, 1, 1)


def length(perturbation: Tensor) -> Tensor:
    """The Euclidean length of each perturbation N×C×H×W: float64 N×1×1×1."""
    return per_image(torch.linalg.vector_norm(perturbation.flatten(1), dim=1, dtype=torch.float64))


def unit(gradient: Tensor, norm: Norm) -> Tensor:
    """The direction of steepest ascent: the sign of the gradient (L∞), or the gradient scaled to length 1 (L2)."""
    return gradient.sign() if norm == "linf" else gradient / length(gradient).clamp(min=1e-12).to(gradient)


def clip(images: Tensor, direction: Tensor, epsilon: float, norm: Norm = "linf") -> Tensor:
    """`images + ε·direction`, cut to [0, 1] and never farther than ε from `images`.

    `direction` lies within [−1, 1] (L∞), or has at most length 1 (L2).
    """
    return torch.add(images, direction, alpha=max(_exact(epsilon, images, norm), 0.0)).clamp_(0, 1)


def _exact(epsilon: Any, images: Tensor, norm: Norm) -> Any:
    """ε less what float32 may round, so that the distance measured exactly is never above ε. May be negative."""
    if norm == "linf":
        return epsilon - _ROUNDING
    return epsilon * (1 - 4 * _ROUNDING) - _ROUNDING * math.sqrt(images[:1].numel())


@dataclass(frozen=True, eq=False)
class Budget:
    """The images within ε of `images` (N×C×H×W), in L∞ or L2, and within [0, 1].

    `epsilon` is one number for all images, or N×1×1×1.
    """

    images: Tensor
    epsilon: Tensor | float
    norm: Norm = "linf"

    def project(self, attacked: Tensor) -> Tensor:
        """`attacked`, projected into the budget; images inside it are returned unchanged."""
        if self.norm == "linf":
            return attacked.clamp(*self._bounds)
        change = attacked - self.images
        scale = (self._reach / length(change).clamp(min=1e-12)).clamp(max=1).to(change)
        return self.images.addcmul(change, scale).clamp_(0, 1)

    @cached_property
    def _reach(self) -> Tensor:
        return torch.as_tensor(_exact(self.epsilon, self.images, self.norm), device=self.images.device).clamp(min=0)

    @cached_property
    def _bounds(self) -> tuple[Tensor, Tensor]:
        return (self.images - self._reach).clamp_(0, 1), (self.images + self._reach).clamp_(0, 1)


def ascend(
    gradient: Callable[[Tensor], Tensor], images: Tensor, epsilon: float, step: float, steps: int, start: Tensor | None
) -> Tensor:
    """Projected gradient ascent in L∞: `steps` sign steps of size `step` from images + start, kept within ε and [0, 1]."""
    budget = Budget(images, epsilon)
    attacked = images.clone() if start is None else budget.project(images + start)
    for _ in range(steps):
        attacked = budget.project(attacked.add(gradient(attacked).sign_().mul_(step)))
    return attacked


# --- the base class --------------------------------------------------------------------------------------------------


def option(
    default: Any, about: str, *, low: float | None = None, high: float | None = None, choices: Sequence[str] = ()
) -> Any:
    """A field of an attack that people may set: its default, what it means, and its range or choices."""
    return dataclasses.field(default=default, metadata={"about": about, "low": low, "high": high, "choices": tuple(choices)})


@dataclass(frozen=True, eq=False)
class Batch:
    """What an attack works on: N images, each with its own label, budget and random numbers.

    `images` N×C×H×W in [0, 1], `labels` int64 N, `epsilon` N×1×1×1 (above 0), `indices` int64 N: the position of each image in
    its dataset. `start` (N×C×H×W) are images to begin from, or None. `batch[mask]` is the same for some of the images.
    """

    images: Tensor
    labels: Tensor
    epsilon: Tensor
    indices: Tensor
    start: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: Tensor | slice) -> Batch:
        return Batch(*(tensor[which] for tensor in self.tensors))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The fields in order, without a `start` that is None."""
        fields = (self.images, self.labels, self.epsilon, self.indices)
        return fields if self.start is None else (*fields, self.start)


@dataclass(frozen=True, kw_only=True)
class Attack:
    """Base of all attacks: a frozen dataclass of keyword-only options, and one method that a subclass writes.

    * `_attack(model, batch)`: the attacked images of a batch, in which each image has its own ε. The base class checks ε, puts
      the model into eval mode, fills in labels, puts several ε side by side and splits batches that do not fit into memory. It
      clips nothing: end with `Budget(batch.images, batch.epsilon, self.norm).project(…)`.
    * A single-step attack writes `direction` instead: what is added once for every ε.

    Fields made with `option` appear on the command line, and their ranges are checked here. Random numbers come
    from `draws`, so that an image's result does not depend on its batch.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)
    """The norms in which the attack has a budget."""
    needs_labels: ClassVar[bool] = True
    warm_start: ClassVar[bool] = False
    """Whether `perturb` can begin at given images."""
    single_run: ClassVar[bool] = False
    """Whether one run serves every ε of a sweep, so that its cost does not grow with their number."""

    norm: Norm = option("linf", "the norm of ε", choices=NORMS)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, limits = getattr(self, field.name), field.metadata
            if not limits or (value is None and field.default is None):
                continue
            choices = self.norms if field.name == "norm" else limits["choices"]
            about = f"{type(self).__name__}: {field.name} ({limits['about']})"
            if choices and value not in choices:
                raise AttackError(f"{about} must be one of {', '.join(choices)}, not {value!r}.")
            if limits["low"] is not None and not value >= limits["low"]:
                raise AttackError(f"{about} must be at least {limits['low']:g}, not {value}.")
            if limits["high"] is not None and not value <= limits["high"]:
                raise AttackError(f"{about} must be at most {limits['high']:g}, not {value}.")

    @property
    def passes(self) -> int:
        """About how many forward passes an image costs (at each ε, unless `single_run`); a gradient counts three."""
        return 3

    @property
    def sign(self) -> int:
        """+1 raises the loss of the labels, −1 lowers it."""
        return -1 if getattr(self, "targeted", False) else 1

    def succeeded(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Whether each image has what the attack wants, bool N: the label lost, or the wanted class reached."""
        return (logits.argmax(1) == labels) == (self.sign < 0)

    def fooled(self, model: nn.Module, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """As `succeeded`, for the model's `logits` of `images`; under a `FastSearch` its exact model confirms every success."""
        done = self.succeeded(logits, labels)
        if isinstance(model, FastSearch) and done.any():
            with torch.no_grad():
                done[done.clone()] = self.succeeded(model.exact(images[done]).float(), labels[done])
        return done

    def perturb(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None = None,
        epsilon: float = 0.0,
        *,
        indices: Tensor | None = None,
        start: Tensor | None = None,
    ) -> Tensor:
        """Attacked images, the shape of `images` (N×C×H×W in [0, 1]), each within ε of its own and within [0, 1].

        `labels` (int64 N) are the true classes, or the wanted ones when targeted. `indices` (int64 N) are the images' positions
        in their dataset, 0 … N−1 if left out; they decide the random numbers. An attack with `warm_start` can begin at the
        images `start` (N×C×H×W, projected into the budget) instead of a random point. ε = 0 returns the images unchanged.
        Raises AttackError when ε is out of range, a targeted attack has no labels, or the attack takes no `start`.
        """
        return next(self.sweep(model, images, labels, [epsilon], indices=indices, start=start))

    def sweep(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None,
        epsilons: Sequence[float],
        *,
        indices: Tensor | None = None,
        start: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """Attacked images for one ε after another, each as `perturb` gives them."""
        if start is not None and not self.warm_start:
            raise AttackError(f"{type(self).__name__} cannot begin at given images; leave out `start`.")
        for epsilon in epsilons:
            check_epsilon(epsilon, self.norm)
        images, start = images.detach(), None if start is None else start.detach()
        indices = torch.arange(len(images), device=images.device) if indices is None else indices.to(images.device)
        with evaluating(model):
            if labels is None and self.needs_labels:
                if self.sign < 0:
                    raise AttackError("A targeted attack needs the wanted classes: give them as labels.")
                labels = predict(model, images)
            labels = torch.zeros_like(indices) if labels is None else labels
            unset = per_image(images.new_zeros(len(images)))  # `_sweep` sets each image's ε
            yield from self._sweep(model, Batch(images, labels, unset, indices, start), epsilons)

    def direction(
        self, model: nn.Module, images: Tensor, labels: Tensor | None = None, *, indices: Tensor | None = None
    ) -> Tensor | None:
        """N×C×H×W such that `clip(images, direction, ε)` are the attacked images at every ε; None if there is none.

        The model is in eval mode only where the caller has put it there.
        """
        return None

    def _attack(self, model: nn.Module, batch: Batch) -> Tensor:
        """The attacked images N×C×H×W of the batch, within its budgets. The model is in eval mode; every ε is above 0."""
        raise NotImplementedError(f"{type(self).__name__} has neither a direction nor an _attack.")

    def _sweep(self, model: nn.Module, batch: Batch, epsilons: Sequence[float]) -> Iterator[Tensor]:
        """Attacked images for one ε after another; the batch's own budgets are not set."""
        images = batch.images
        direction = self.direction(model, images, batch.labels, indices=batch.indices) if any(epsilons) else images
        if direction is not None:
            yield from (images.clone() if not epsilon else clip(images, direction, epsilon, self.norm) for epsilon in epsilons)
            return
        # Several ε side by side in one batch: a step then costs one launch for all of them.
        together = max(1, _AT_ONCE[images.device.type == "cpu"] // max(1, images.numel()))
        for first in range(0, len(epsilons), together):
            group = epsilons[first : first + together]
            budgets = [epsilon for epsilon in group if epsilon]
            attacked = iter(self._side_by_side(model, batch, budgets) if budgets else ())
            yield from (next(attacked) if epsilon else images.clone() for epsilon in group)

    def _side_by_side(self, model: nn.Module, batch: Batch, epsilons: Sequence[float]) -> Sequence[Tensor]:
        images = batch.images
        if not len(images):
            return [images.clone() for _ in epsilons]
        budgets = per_image(torch.tensor(epsilons, dtype=images.dtype, device=images.device).repeat_interleave(len(images)))
        copies = Batch(*(tensor.repeat(len(epsilons), *[1] * (tensor.dim() - 1)) for tensor in batch.tensors))
        tensors = dataclasses.replace(copies, epsilon=budgets).tensors
        return halve_when_full(lambda *part: self._attack(model, Batch(*part)), *tensors).split(len(images))
