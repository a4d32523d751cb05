"""AutoAttack: a fixed sequence of attacks, each on the images that the ones before could not fool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcore.attacks.apgd import APGD, TargetedAPGD
from advcore.attacks.base import (
    Attack,
    Batch,
    FastSearch,
    Norm,
    check_epsilon,
    evaluating,
    halve_when_full,
    option,
    per_image,
    predict,
)
from advcore.attacks.fab import FAB
from advcore.attacks.square import Square

_TOGETHER = 128  # images attacked at once: more gain little speed and cost memory


@dataclass(frozen=True, eq=False)
class AutoAttackResult:
    """What AutoAttack left of N images.

    `images` (N×C×H×W) are the attacked images, clean where the model holds. `fooled_by` (int64 N) is 0 where the model is wrong
    about the clean image, k where the k-th of `components` fooled it, and one more than their number where it holds. Results
    of disjoint images add up.
    """

    components: tuple[str, ...]
    images: Tensor
    fooled_by: Tensor

    def __add__(self, other: AutoAttackResult) -> AutoAttackResult:
        images, fooled_by = torch.cat([self.images, other.images]), torch.cat([self.fooled_by, other.fooled_by])
        return AutoAttackResult(self.components, images, fooled_by)

    @property
    def fooled(self) -> Tensor:
        """Whether the model is wrong about each attacked image, bool N."""
        return self.fooled_by <= len(self.components)

    @property
    def survivors(self) -> dict[str, int]:
        """How many images the model still gets right: `clean`, then after each component."""
        counts = [int((self.fooled_by > place).sum()) for place in range(len(self.components) + 1)]
        return dict(zip(("clean", *self.components), counts, strict=True))


@dataclass(frozen=True, kw_only=True)
class AutoAttack(Attack):
    """AutoAttack, standard version (Croce & Hein 2020, arXiv 2003.01690): APGD-CE, APGD-T, FAB-T and Square in turn.

    Each component only gets the images that still hold. The accuracy left is an upper bound on the robust accuracy.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    steps: int = option(100, "steps of APGD and FAB", low=1, high=1000)
    targets: int = option(9, "target classes of APGD and FAB", low=1, high=999)
    queries: int = option(5000, "queries of Square", low=1, high=100_000)
    seed: int = option(0, "seed of the random numbers")

    @property
    def components(self) -> dict[str, Attack]:
        """The attacks of the sequence by name."""
        steps, targets, norm, seed = self.steps, self.targets, self.norm, self.seed
        return {
            "APGD-CE": APGD(norm=norm, steps=steps, seed=seed),
            "APGD-T": TargetedAPGD(norm=norm, steps=steps, targets=targets, seed=seed),
            "FAB-T": FAB(norm=norm, steps=steps, targets=targets),
            "Square": Square(norm=norm, queries=self.queries, seed=seed),
        }

    @property
    def passes(self) -> int:
        """The sum over the components: what an image costs that holds against all."""
        return sum(attack.passes for attack in self.components.values())

    def run(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None,
        epsilon: float,
        indices: Tensor | None = None,
        *,
        fast: nn.Module | None = None,
        progress: Callable[[str, int], None] | None = None,
    ) -> AutoAttackResult:
        """The sequence at one ε, with what each component left. Arguments as for `perturb`.

        `fast` is a cheaper copy of the model to search with, such as one in bf16; an image only counts as fooled if `model` is
        wrong about it. `progress(component, images that hold)` is called before each component. Raises AttackError as `perturb`
        does.
        """
        check_epsilon(epsilon, self.norm)
        images = images.detach()
        indices = torch.arange(len(images), device=images.device) if indices is None else indices.to(images.device)
        with evaluating(model):
            labels = predict(model, images) if labels is None else labels
            budgets = per_image(images.new_full((len(images),), epsilon))
            return self._run(model, Batch(images, labels, budgets, indices), fast, progress)

    def _attack(self, model: nn.Module, batch: Batch) -> Tensor:
        if isinstance(model, FastSearch):  # which images hold is decided by the exact model here too
            return self._run(model.exact, batch, model.fast).images
        return self._run(model, batch).images

    def _run(
        self,
        model: nn.Module,
        batch: Batch,
        fast: nn.Module | None = None,
        progress: Callable[[str, int], None] | None = None,
    ) -> AutoAttackResult:
        components, search = self.components, model if fast is None else FastSearch(fast, model)
        attacked = batch.images.clone()
        holds = predict(model, attacked) == batch.labels
        fooled_by = holds * (len(components) + 1)
        for place, (name, attack) in enumerate(components.items(), 1):
            held = (fooled_by > len(components)).nonzero()[:, 0]
            if progress is not None:
                progress(name, len(held))
            for chosen in held.split(_TOGETHER):
                part = batch[chosen]
                found = halve_when_full(lambda *fields, of=attack: of._attack(search, Batch(*fields)), *part.tensors)
                fooled = predict(model, found) != part.labels
                attacked[chosen[fooled]], fooled_by[chosen[fooled]] = found[fooled], place
        return AutoAttackResult(tuple(components), attacked, fooled_by)
