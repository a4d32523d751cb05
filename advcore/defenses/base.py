"""What a defense is: its entry in the registry, and what a training step hands it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from advcore.lazy import F, nn, torch


@dataclass(frozen=True)
class Setting:
    """A number of the recipe: its default, its range (ends included) and how a form shows it.

    A `default` of None means that the value follows from others, as `empty` says. `digits` are the places after the point. An
    `epsilon` can be written as `8/255`. A new setting is also a field of `Recipe` (recipe.py), with the same name.
    """

    name: str
    title: str
    default: float | None
    low: float
    high: float
    step: float | None = None
    digits: int = 0
    help: str = ""
    empty: str = ""
    epsilon: bool = False


ATTACK_STEPS = Setting("attack_steps", "Steps of the training attack", 7, 1, 1000)
STEP_SIZE = Setting(
    "step_size",
    "Size of its steps",
    None,
    1e-6,
    1,
    epsilon=True,
    help="L∞ in pixel space; empty: 1.25 ε for fgsm_rs, ε for n_fgsm, 2.5 ε / steps for pgd and trades",
    empty="by the paper's rule",
)


@dataclass(frozen=True)
class Step:
    """What a defense needs to turn a batch into losses.

    `model` is a `Batches`, wrapped where several processes train: losses go through it. `network` is the same network, in
    training mode, for making attacks. `recipe` gives ε and the settings of the defense. `generator` lives on the device and its
    numbers come from the recipe's seed and the step, so that a resumed run draws the same ones.
    """

    model: nn.Module
    network: nn.Module
    recipe: Any  # a Recipe, which is a layer above
    generator: torch.Generator
    teacher: nn.Module | None = None

    def loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross-entropy with the recipe's label smoothing, mean over the batch."""
        (logits,) = self.model(images)
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)

    def uniform(self, images: torch.Tensor, reach: float) -> torch.Tensor:
        """Noise uniform in [−reach, reach], the shape of `images`."""
        return torch.empty_like(images).uniform_(-reach, reach, generator=self.generator)

    def ascended(self, images: torch.Tensor, labels: torch.Tensor, steps: int, size: float) -> torch.Tensor:
        """The batch after `steps` sign steps of `size` up the cross-entropy, from a uniform start, within ε and [0, 1]."""
        from advcore.attacks import ascend, input_gradient

        epsilon = self.recipe.epsilon
        start = self.uniform(images, epsilon)
        return ascend(lambda attacked: input_gradient(self.network, attacked, labels), images, epsilon, size, steps, start)

    @property
    def step_size(self) -> float:
        """The recipe's, else 2.5 ε / steps, with which the steps can reach any point of the ε-ball."""
        return self.recipe.step_size or 2.5 * self.recipe.epsilon / self.recipe.attack_steps


@dataclass(frozen=True, kw_only=True)
class Defense:
    """A way of training. Every table, form, command and caption reads this entry.

    `losses(step, images, labels)` yields the losses of a batch (images N×C×H×W in [0, 1], labels int64 N); the training
    loop backpropagates each before it asks for the next. `trained` describes such a model in its title (“FGSM-trained”); `role`
    is its name where two models are compared, and `defended` says whether it has the colour of defended models.
    `settings` are the fields of the recipe that it reads besides ε. `strength` is what it trains against, as a sign and a field
    of the recipe: such a model's id and title end with it.
    """

    name: str
    title: str
    trained: str
    about: str
    losses: Callable[[Step, torch.Tensor, torch.Tensor], Iterator[torch.Tensor]]
    paper: str = ""
    role: str = "Adversarially trained"
    defended: bool = True
    epsilon: Literal["none", "optional", "required"] = "required"
    needs_teacher: bool = False
    settings: tuple[Setting, ...] = ()
    strength: tuple[str, str] = ("ε", "epsilon")

    @property
    def described(self) -> str:
        """What it does, with its paper."""
        return f"{self.about} ({self.paper})" if self.paper else self.about
