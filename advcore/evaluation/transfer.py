"""Transfer: an attack made on one model, tried on all others (Papernot et al. 2016, arXiv 1605.07277)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from advcore.attacks import Attack, predict
from advcore.data import LabeledImages
from advcore.evaluation.interval import wilson_interval

_AT_ONCE = 40  # images that are attacked at once


@dataclass(frozen=True, eq=False)
class Transfer:
    """What K models answer to images that were attacked on each of them, at one ε.

    `ids` names the models, `labels` (int64 N) are the true classes. `clean` (int64 K×N) are the answers without an attack,
    `answers` (int64 K×K×N) those of victim v to the images attacked on source s, at [s, v]; −1 where nothing was measured yet.
    """

    ids: tuple[str, ...]
    labels: Tensor
    clean: Tensor
    answers: Tensor

    @property
    def share(self) -> float:
        """The share of all answers that is measured."""
        return float((self.answers >= 0).float().mean())

    def left(self, source: int | None, victim: int) -> tuple[int, int]:
        """(right answers of the victim, images measured); a source of None is no attack."""
        answers = self.clean[victim] if source is None else self.answers[source, victim]
        return int((answers == self.labels).sum()), int((answers >= 0).sum())

    def carried(self, source: int, victim: int) -> Tensor:
        """The positions of the images whose attack on the source also fools the victim: both are right without it."""
        sure = (self.clean[source] == self.labels) & (self.clean[victim] == self.labels)
        answers = self.answers[source]
        fooled = [(answers[of] >= 0) & (answers[of] != self.labels) for of in (source, victim)]
        return (sure & fooled[0] & fooled[1]).nonzero().flatten()

    def rows(self) -> list[dict[str, Any]]:
        """One record for each pair, and one for each model without an attack: source, victim, correct, images, interval."""
        found = []
        for source in (None, *range(len(self.ids))):
            for victim, name in enumerate(self.ids):
                correct, images = self.left(source, victim)
                low, high = wilson_interval(correct, images)
                found.append(
                    {
                        "source": "" if source is None else self.ids[source],
                        "victim": name,
                        "correct": correct,
                        "images": images,
                        "accuracy": correct / images if images else None,
                        "low": low,
                        "high": high,
                    }
                )
        return found


def nothing(ids: tuple[str, ...], labels: Tensor) -> Transfer:
    """The table of these models on images of these labels (int64 N) before anything is measured."""
    blank = torch.full((len(ids), len(ids), len(labels)), -1)
    return Transfer(ids, labels, blank[0].clone(), blank)


def transfer(
    models: Mapping[str, nn.Module], images: LabeledImages, attack: Attack, epsilon: float, known: Transfer | None = None
) -> Iterator[Transfer]:
    """Attack `images` on each model and classify the results with all models, in batches; continues after `known`.

    The models are on one device and in eval mode; ε is in the attack's norm, in pixel space. All pairs grow together.
    """
    ids, count = tuple(models), len(images)
    if known is None:
        known = nothing(ids, images.labels)
    device = next(next(iter(models.values())).parameters()).device
    for start in range(0, count, _AT_ONCE):
        some, part = images[start : start + _AT_ONCE], slice(start, start + _AT_ONCE)
        pixels, labels = some.pixels(device), some.labels.to(device)
        for place, model in enumerate(models.values()):
            if (known.answers[place, :, part] >= 0).all():
                continue
            clean, answers = known.clean.clone(), known.answers.clone()
            clean[place, part] = predict(model, pixels).cpu()
            attacked = attack.perturb(model, pixels, labels, epsilon, indices=some.indices)
            answers[place, :, part] = torch.stack([predict(victim, attacked).cpu() for victim in models.values()])
            known = Transfer(ids, images.labels, clean, answers)
            yield known
