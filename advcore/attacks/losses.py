"""Losses that attacks maximize: each takes logits (float N×K) and labels (int64 N) and returns one number per image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Literal["ce", "margin", "dlr"]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each image, float N."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The best other logit minus the label's, float N: above 0 the label is lost (Carlini & Wagner 2017)."""
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return others - logits.gather(1, labels[:, None])[:, 0]


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio (Croce & Hein 2020), float N: the margin over the spread of the three largest logits.

    With two classes, where that ratio is constant, the plain margin.
    """
    if logits.shape[1] < 3:
        return margin(logits, labels)
    top = logits.topk(3, 1).values
    return margin(logits, labels) / (top[:, 0] - top[:, 2] + 1e-12)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The targeted difference of logits ratio (Croce & Hein 2020), float N; it grows as `targets` overtake `labels`.

    With three classes the third logit stands for the fourth; with two, the plain difference of the two logits.
    """
    difference = (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None]))[:, 0]
    if logits.shape[1] < 3:
        return difference
    top = logits.topk(min(4, logits.shape[1]), 1).values
    return difference / (top[:, 0] - (top[:, 2] + top[:, -1]) / 2 + 1e-12)


LOSSES: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {"ce": cross_entropy, "margin": margin, "dlr": dlr}
