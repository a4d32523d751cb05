"""AutoAttack: a fixed sequence of attacks, each on the images that the ones before could not fool."""

from __future__ import annotations

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
        """The sum over the components: the cost of an image that none of them fools."""
        return sum(attack.passes for attack in self.components.values())

    def run(
        self, model: nn.Module, images: Tensor, labels: Tensor | None, epsilon: float, *, indices: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The sequence at one ε: (attacked images N×C×H×W, clean where the model holds; `fooled_by`, int64 N).

        `fooled_by` is 0 where the model is wrong about the clean image, k where the k-th component fooled it, and one more than
        the number of components where the model holds. Arguments as for `perturb`; a `FastSearch` searches with its fast model,
        and its exact one decides which images are fooled. Raises AttackError as `perturb` does.
        """
        check_epsilon(epsilon, self.norm)
        images = images.detach()
        indices = torch.arange(len(images), device=images.device) if indices is None else indices.to(images.device)
        with evaluating(model):
            exact = model.exact if isinstance(model, FastSearch) else model
            labels = predict(exact, images) if labels is None else labels
            budgets = per_image(images.new_full((len(images),), epsilon))
            return self._run(model, Batch(images, labels, budgets, indices))

    def _attack(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._run(model, batch)[0]

    def _run(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        exact = model.exact if isinstance(model, FastSearch) else model
        components, attacked = self.components.values(), batch.images.clone()
        holds = predict(exact, attacked) == batch.labels
        fooled_by = holds * (len(components) + 1)
        for place, attack in enumerate(components, 1):
            for chosen in (fooled_by > len(components)).nonzero()[:, 0].split(_TOGETHER):
                part = batch[chosen]
                found = halve_when_full(lambda *fields, of=attack: of._attack(model, Batch(*fields)), *part.tensors)
                fooled = predict(exact, found) != part.labels
                attacked[chosen[fooled]], fooled_by[chosen[fooled]] = found[fooled], place
        return attacked, fooled_by
