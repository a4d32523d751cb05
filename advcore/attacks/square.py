"""Square Attack: a random search that uses the model's scores and no gradient."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcore.attacks import draws
from advcore.attacks.base import Attack, Batch, Budget, Norm, length, option, per_image, unit
from advcore.attacks.losses import margin

# The share of the image that a square covers is halved after these queries of 10,000.
_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_DRAWN_AT_ONCE = 500  # queries whose random numbers are drawn together


@dataclass(frozen=True, kw_only=True)
class Square(Attack):
    """Square Attack (Andriushchenko et al. 2020, arXiv 1912.00049): a black-box random search over squares.

    Each query changes one square of the image, in L∞ to the edge of the budget, and keeps the change if another class
    gains on the label.
    The squares cover `share` of the image at first and become smaller. An image that is fooled gets no further queries.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    queries: int = option(5000, "queries to the model", low=1, high=100_000)
    share: float = option(0.8, "share of the image that the first squares cover", low=0, high=1)
    targeted: bool = False
    seed: int = option(0, "seed of the random numbers")

    @property
    def passes(self) -> int:
        """One for every query."""
        return self.queries

    def _attack(self, model: nn.Module, batch: Batch) -> Tensor:
        result, best = batch.images.clone(), batch.images
        done, value = self._ask(model, best, batch.labels)
        where, numbers = torch.arange(len(batch), device=best.device), best.new_empty(len(batch), 0)
        for query in range(self.queries):
            if done.any():
                result[where[done]] = best[done]
                held = ~done
                where, batch, best, value, numbers = where[held], batch[held], best[held], value[held], numbers[held]
                if not len(where):
                    return result
            if query % _DRAWN_AT_ONCE == 0:
                shape = (_DRAWN_AT_ONCE, 5 + best.shape[1])
                numbers = draws.uniform(batch.indices, shape, seed=self.seed, stream=1 + query // _DRAWN_AT_ONCE).to(best)
            candidate = self._candidate(batch, best, numbers[:, query % _DRAWN_AT_ONCE], query)
            done, reached = self._ask(model, candidate, batch.labels)
            # The search goes on from the first candidate even where it is no better than the clean image.
            better = done | (reached > value) if query else torch.ones_like(done)
            best = torch.where(per_image(better), candidate, best)
            value = torch.where(better, reached, value)
        result[where] = best
        return result

    def _ask(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each image has what the attack wants (bool N), and how close it is: the margin to raise (float N)."""
        with torch.no_grad():
            logits = model(images).float()
        return self.fooled(model, images, logits, labels), self.sign * margin(logits, labels)

    def _candidate(self, batch: Batch, best: Tensor, numbers: Tensor, query: int) -> Tensor:
        """What a query asks about, N×C×H×W within the budget. `numbers` are the query's random numbers, N×(5 + C)."""
        budget, linf = Budget(batch.images, batch.epsilon, self.norm), self.norm == "linf"
        if query == 0:
            return budget.project(batch.images + batch.epsilon * (self._stripes(batch) if linf else self._tiles(batch)))
        side = self._side(best, query)
        if linf:
            return self._square(batch, budget, best, numbers, side)
        return self._windows(batch, budget, best - batch.images, numbers, side)

    def _side(self, images: Tensor, query: int) -> int:
        """The side of the square of a query, in pixels; odd and at least 3 in L2, as far as the image allows."""
        height, width = images.shape[2:]
        at = (query - 1) * 10_000 // self.queries
        share = self.share / 2 ** sum(at > limit for limit in _HALVED_AFTER)
        side = max(round(math.sqrt(share * height * width)), 1)
        if self.norm == "l2":
            side = max(side, 3) | 1
        return min(side, height, width)

    # --- L∞ ---

    def _stripes(self, batch: Batch) -> Tensor:
        """Vertical stripes, one value wide, of +1 or −1: N×C×1×W."""
        _, channels, _, width = batch.images.shape
        return _signs(draws.uniform(batch.indices, (channels, 1, width), seed=self.seed)).to(batch.images)

    def _square(self, batch: Batch, budget: Budget, best: Tensor, numbers: Tensor, side: int) -> Tensor:
        """`best` with one square at +ε or −ε, by channel."""
        rows, columns = _offsets(best, numbers[:, :2], side)
        changed = budget.project(batch.images + batch.epsilon * _signs(numbers[:, 5:])[:, :, None, None])
        return torch.where(_inside(rows, columns, side), changed, best)

    # --- L2 ---

    def _tiles(self, batch: Batch) -> Tensor:
        """A grid of about five by five patterns with random signs: N×C×H×W of length 1."""
        count, channels, height, width = batch.images.shape
        side = max(min(height, width) // 5, 1)
        down, across = height // side, width // side
        random = draws.uniform(batch.indices, (down, across, channels + 1), seed=self.seed).to(batch.images)
        pattern = _pattern(side).to(batch.images)
        turned = (random[..., 0] > 0.5)[..., None, None, None]
        tiles = torch.where(turned, pattern.T, pattern) * _signs(random[..., 1:])[..., None, None]  # N×down×across×C×side×side
        grid = tiles.permute(0, 3, 1, 4, 2, 5).reshape(count, channels, down * side, across * side)
        placed = torch.zeros_like(batch.images)
        top, left = (height - down * side) // 2, (width - across * side) // 2
        placed[:, :, top : top + down * side, left : left + across * side] = grid
        return unit(placed, "l2")

    def _windows(self, batch: Batch, budget: Budget, change: Tensor, numbers: Tensor, side: int) -> Tensor:
        """The change of one window moved into another one, where a new pattern is added to what is there."""
        rows, columns = _offsets(change, numbers[:, :2], side)
        target, source = _inside(rows, columns, side), _inside(*_offsets(change, numbers[:, 2:4], side), side)
        pattern = _pattern(side).to(change)
        down, across = rows.clamp(0, side - 1)[:, :, None], columns.clamp(0, side - 1)[:, None, :]
        placed = torch.where((numbers[:, 4] > 0.5)[:, None, None], pattern[across, down], pattern[down, across])[:, None]
        old = change * target
        new = (placed * _signs(numbers[:, 5:])[:, :, None, None] + old / _channel_length(old).clamp(min=1e-12)) * target
        unused = (batch.epsilon**2 - length(change).to(change) ** 2).clamp(min=0) / change.shape[1]
        room = (unused + _channel_length(change * (target | source)) ** 2).sqrt()
        new = new / _channel_length(new).clamp(min=1e-12) * room
        moved = torch.where(target, new, change * ~source)
        return budget.project(batch.images + batch.epsilon * unit(moved, "l2"))


def _signs(numbers: Tensor) -> Tensor:
    """−1 or +1 for each number from [0, 1)."""
    return torch.where(numbers < 0.5, -1.0, 1.0).to(numbers)


def _offsets(images: Tensor, numbers: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Each row's and column's distance from the top left corner of a random square: int64 N×H and N×W."""
    height, width = images.shape[2:]
    top, left = ((numbers * (numbers.new_tensor([height, width]) - side + 1)).long()).unbind(1)
    rows, columns = (torch.arange(size, device=images.device) for size in (height, width))
    return rows - top[:, None], columns - left[:, None]


def _inside(rows: Tensor, columns: Tensor, side: int) -> Tensor:
    """Whether each pixel lies in the square, bool N×1×H×W."""
    down, across = (rows >= 0) & (rows < side), (columns >= 0) & (columns < side)
    return (down[:, :, None] & across[:, None, :])[:, None]


def _channel_length(change: Tensor) -> Tensor:
    return torch.linalg.vector_norm(change, dim=(2, 3), keepdim=True)


@functools.lru_cache(maxsize=64)
def _pattern(side: int) -> Tensor:
    """The L2 pattern of the paper: two peaks of opposite sign one above the other, side×side, of length 1."""
    upper = side // 2
    pattern = torch.cat([_peak(upper, side), -_peak(side - upper, side)])
    return pattern / pattern.norm()


def _peak(rows: int, columns: int) -> Tensor:
    """rows×columns of length 1, falling off from the middle: Σ 1/(k+1)² over all k from the distance to the middle on."""
    if not rows:
        return torch.zeros(0, columns)
    down, across = ((torch.arange(size) - size // 2).abs() for size in (rows, columns))
    sums = (1 / torch.arange(1, max(rows, columns) // 2 + 2) ** 2).flip(0).cumsum(0).flip(0)
    peak = sums[torch.maximum(down[:, None], across)]
    return peak / peak.norm()
