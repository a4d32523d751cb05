"""FGSM on a whole photo of many megapixels, in whole 8-bit levels.

A `View` first takes means over blocks of pixels. So the gradient is the same for all pixels of a block, and one sign a block is
enough. What the model sees of the attacked photo follows from the distance of each pixel to black or white. Both are exact:
`attacks.FGSM` on `nn.Sequential(view, model)` gives the same with a hundred times the memory traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from advcore.attacks import FGSM, Attack, check_epsilon, predict, probabilities
from advcore.errors import AttackError
from advcore.evaluation.scrub import Scrub
from advcore.images.decode import Photo, decode
from advcore.models.architectures import Shape
from advcore.photos.framing import Framing, View, block_means, frame, pixels_of, view_of

MAX_STEPS = 32
PREVIEW = 320  # the longer side, in pixels, of the small copy that is shown
_BATCH = 8


def whole_levels(epsilon: float) -> int:
    """The largest number of 8-bit levels within ε (L∞, pixel space)."""
    return int(check_epsilon(epsilon) * 255 + 1e-6)


def level_grid(end: float, steps: int = MAX_STEPS) -> tuple[int, ...]:
    """At most `steps` + 1 evenly spaced 8-bit levels, from 0 to the largest within ε = `end`."""
    last = whole_levels(end)
    return tuple(range(0, last + 1, max(1, -(-last // steps))))


def device_of(model: nn.Module) -> torch.device:
    """The device of the model's weights; the CPU for a model without any."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


@dataclass(frozen=True, eq=False)
class FullSize:
    """A photo under FGSM at its own size, for several ε.

    `direction` is −1, 0 or +1 a block, int8 C×h×w. `levels` are the ε in 8-bit steps (ε = level / 255). `shares` are the class
    probabilities at each of them, float32 E×K, and `seen` what the model sees, float32 E×c×h×w. `label` is the class to move
    away from, `target` the one to reach, or None.
    """

    photo: Photo
    framing: Framing
    direction: Tensor
    levels: tuple[int, ...]
    seen: Tensor
    shares: Tensor
    label: int
    target: int | None

    def scrub(self, longest: int = PREVIEW) -> Scrub:
        """The attack as a Scrub: its image is a small copy of the photo, its answers are those to the whole photo."""
        image = preview(self.photo, longest)
        columns, rows = _block_places(self.photo, View(self.framing, self.seen.shape[1:]), image.shape[1:])
        direction = torch.zeros_like(image)
        inside = self.direction[:, rows[rows >= 0][:, None], columns[columns >= 0][None, :]]
        direction[:, (rows >= 0).nonzero(), (columns >= 0).nonzero().T] = inside.float()
        return Scrub(tuple(level / 255 for level in self.levels), image, direction, None, self.shares, self.label, self.target)


@dataclass(frozen=True, eq=False)
class FullNoise:
    """The control: uniform random noise on every pixel of the crop.

    `seen` is what the model sees at each level, float32 E×c×h×w; `direction` the noise at ε = 1 on a small copy of the
    photo, C×h×w in [−1, 1].
    """

    seen: Tensor
    direction: Tensor

    def scrub(self, model: nn.Module, attack: Scrub) -> Scrub:
        """The model's answers to the noise, at the levels of `attack` on the same photo."""
        device = device_of(model)
        shares = torch.cat([probabilities(model, some.to(device)).cpu() for some in self.seen.split(_BATCH)])
        return replace(attack, direction=self.direction, shares=shares)


def full_size(
    model: nn.Module,
    photo: Photo,
    view: View,
    levels: Sequence[int],
    *,
    label: int | None = None,
    target: int | None = None,
) -> Iterator[tuple[float, FullSize | None]]:
    """FGSM on a whole photo, yielding (share done, None) and finally (1, the result).

    It moves away from `label` (by default the model's own answer), or toward `target`.
    """
    device = device_of(model)
    view = View(view.framing, view.shape).to(device)  # a new one, so that the caller's stays on its device
    blocks = block_means(photo.pixels, view.rows, view.columns, view.factor).to(device)
    behind = nn.Sequential(_FromBlocks(view), model)
    yield 0.2, None
    label = int(predict(behind, blocks)) if label is None else label
    direction = _direction(behind, blocks, label, target)
    yield 0.3, None
    moved = torch.empty(len(levels), *blocks.shape[1:])
    for done in _moved(photo.pixels, view, direction, levels, moved):
        yield 0.3 + 0.5 * done, None
    seen, shares = [], []
    for start in range(0, len(levels), _BATCH):
        with torch.no_grad():
            some = view.from_blocks(blocks + moved[start : start + _BATCH].to(device)).clamp_(0, 1)
        seen.append(some.cpu())
        shares.append(probabilities(model, some).cpu())
        yield 0.8 + 0.2 * min(1, (start + _BATCH) / len(levels)), None
    yield 1.0, FullSize(photo, view.framing, direction, tuple(levels), torch.cat(seen), torch.cat(shares), label, target)


def attacked_pixels(photo: Photo, view: View, direction: Tensor, level: int) -> Tensor:
    """The photo with every pixel of the crop moved by `level` in its block's direction, clamped to 0…255: uint8 C×H×W."""
    attacked = photo.pixels.permute(1, 2, 0).numpy().copy()
    inside, factor = attacked[view.rows, view.columns], view.factor
    for row, (mask, moving) in enumerate(_masks(direction, factor)):
        strip = inside[row * factor : (row + 1) * factor]
        room = strip ^ mask
        strip[:] = (room - np.minimum(room, moving * np.uint8(level))) ^ mask
    return torch.from_numpy(attacked).permute(2, 0, 1)


def noisy_pixels(photo: Photo, view: View, level: int) -> Tensor:
    """The photo with every pixel of the crop moved by random noise up to `level`, as `full_noise` draws it: uint8 C×H×W."""
    noisy = photo.pixels.permute(1, 2, 0).numpy().copy()
    inside = noisy[view.rows, view.columns]
    _add_noise(inside, _draw(inside.shape), level, inside)
    return torch.from_numpy(noisy).permute(2, 0, 1)


def attack_whole(
    model: nn.Module,
    photo: Photo,
    view: View,
    attack: Attack,
    epsilon: float,
    *,
    label: int | None = None,
    target: int | None = None,
) -> Tensor:
    """The photo attacked at its own size within ε (L∞, pixel space), in whole 8-bit levels: uint8 C×H×W.

    FGSM uses the blocks; any other attack runs on `nn.Sequential(view, model)`, slowly for megapixels.
    Raises AttackError for another norm than L∞.
    """
    if attack.norm != "linf":
        raise AttackError("A photo at its own size is attacked in L∞ only; choose --norm linf.")
    if isinstance(attack, FGSM):
        if attack.targeted != (target is not None):
            raise AttackError("A targeted attack needs a target class, and an untargeted one takes none.")
        *_, (_, result) = full_size(model, photo, view, [0], label=label, target=target)
        return attacked_pixels(photo, view, result.direction, whole_levels(epsilon))
    device = device_of(model)
    whole = nn.Sequential(View(view.framing, view.shape).to(device), model)
    pixels = pixels_of(photo).to(device)
    own = int(predict(whole, pixels)) if label is None else label
    aim = torch.tensor([own if target is None else target], device=device)
    moved = attack.perturb(whole, pixels, aim, epsilon).sub_(pixels).mul_(255).round_()
    most = whole_levels(epsilon)
    return (photo.pixels + moved[0].clamp_(-most, most).to(torch.int16).cpu()).clamp_(0, 255).to(torch.uint8)


def full_noise(photo: Photo, view: View, levels: Sequence[int], *, longest: int = PREVIEW) -> FullNoise:
    """Random noise on every pixel of the crop, computed at five of the levels.

    In between, the blocks' means are interpolated: averaged over a block, the error is far less than one level.
    """
    blocks = block_means(photo.pixels, view.rows, view.columns, view.factor)
    inside = photo.pixels.permute(1, 2, 0).numpy()[view.rows, view.columns]
    draw = _draw(inside.shape)
    knots = sorted({levels[round(at * (len(levels) - 1))] for at in (0, 0.25, 0.5, 0.75, 1)})
    at_knots = torch.cat([_noisy_means(inside, draw, knot, view.factor) if knot else blocks for knot in knots])
    with torch.no_grad():
        seen = torch.cat([view.from_blocks(_between(at_knots, knots, level)) for level in levels]).clamp_(0, 1)
    small = preview(photo, longest)
    shown = torch.zeros_like(small)
    columns, rows = _pixel_places(photo, view, small.shape[1:])
    sampled = torch.from_numpy(draw)[rows[rows >= 0][:, None], columns[columns >= 0][None, :]].permute(2, 0, 1)
    shown[:, (rows >= 0).nonzero(), (columns >= 0).nonzero().T] = sampled.float() / 127
    return FullNoise(seen, shown)


def preview(photo: Photo, longest: int = PREVIEW) -> Tensor:
    """A small copy of the photo, means over whole blocks, at most about `longest` pixels a side: float32 C×h×w in [0, 1]."""
    factor = max(1, -(-max(photo.size) // longest))
    return block_means(photo.pixels, slice(None), slice(None), factor)[0]


def answer_to_file(model: nn.Module, data: bytes, shape: Shape, dataset: str) -> Tensor:
    """The class probabilities (float32 K) for the bytes of a downloaded photo, decoded again like any file."""
    opened = decode(data)
    return probabilities(model, view_of(opened, frame(opened, shape, dataset), shape).to(device_of(model)))[0].cpu()


def _pixel_places(photo: Photo, view: View, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """For each column and row of a small copy of `size` (h, w): the pixel of the crop at its middle; −1 outside the crop."""
    factor = max(1, max(photo.size) // max(size))
    places = []
    for count, part in ((size[1], view.columns), (size[0], view.rows)):
        middle = torch.arange(count) * factor + factor // 2
        places.append(torch.where((middle >= part.start) & (middle < part.stop), middle - part.start, -1))
    return places[0], places[1]


def _block_places(photo: Photo, view: View, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """As `_pixel_places`, but the block that contains the pixel."""
    columns, rows = _pixel_places(photo, view, size)
    return tuple(torch.where(place >= 0, place // view.factor, -1) for place in (columns, rows))  # type: ignore[return-value]


class _FromBlocks(nn.Module):
    """The part of a view after the blocks' means, as a layer."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def forward(self, blocks: Tensor) -> Tensor:
        return self.view.from_blocks(blocks)


def _direction(behind: nn.Module, blocks: Tensor, label: int, target: int | None) -> Tensor:
    """The sign of FGSM's step for every block, int8 C×h×w."""
    aim = torch.tensor([label if target is None else target], device=blocks.device)
    return FGSM(targeted=target is not None).direction(behind, blocks, aim)[0].to(torch.int8).cpu()


def _masks(direction: Tensor, factor: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For every row of blocks, two W×C arrays, one entry a pixel: 255 where values grow, and 1 where they change at all.

    `value ^ mask` is then how far a value can move in its direction.
    """
    for row in direction.permute(1, 2, 0).numpy():
        wide = np.repeat(row, factor, 0)
        yield np.where(wide > 0, 255, 0).astype(np.uint8), (wide != 0).astype(np.uint8)


def _moved(pixels: Tensor, view: View, direction: Tensor, levels: Sequence[int], moved: Tensor) -> Iterator[float]:
    """Fill `moved` (E×C×h×w) with how far every block's mean moves at each level, in pixel space; yields the share done."""
    inside, factor, most = pixels.permute(1, 2, 0).numpy()[view.rows, view.columns], view.factor, max(levels)
    channels, height, width = direction.shape
    bins = most + 1
    # A pixel with room r moves by min(r, level), so the counts of a block's pixels by room give the means for all levels.
    table = np.minimum(np.arange(bins)[:, None], np.asarray(levels)[None]).astype(np.float32) / (255 * factor * factor)
    first = (np.repeat(np.arange(width), factor)[:, None] * channels + np.arange(channels)) * bins
    for row, (mask, _) in enumerate(_masks(direction, factor)):
        room = np.minimum(inside[row * factor : (row + 1) * factor] ^ mask, np.uint8(most))
        counts = np.bincount((first + room).ravel(), minlength=width * channels * bins).reshape(-1, bins)
        means = (counts.astype(np.float32) @ table).reshape(width, channels, len(levels))
        moved[:, :, row] = torch.from_numpy(means).permute(2, 1, 0)
        if row % 16 == 15:
            yield row / height
    moved *= direction


def _draw(shape: Sequence[int]) -> np.ndarray:
    """Uniform integers, −127…127: the noise at its largest, the same in every call."""
    return np.random.default_rng(0).integers(-127, 128, shape, np.int8)


def _add_noise(inside: np.ndarray, draw: np.ndarray, level: int, noisy: np.ndarray) -> None:
    """Write the pixels plus the draw scaled to `level` into `noisy`, 64 rows at a time."""
    for start in range(0, len(inside), 64):
        strip = slice(start, start + 64)
        step = (draw[strip].astype(np.int16) * level + 64) >> 7  # within ±level, and many times faster than a division
        noisy[strip] = (inside[strip] + step).clip(0, 255)


def _noisy_means(inside: np.ndarray, draw: np.ndarray, level: int, factor: int) -> Tensor:
    """The blocks' means under noise of up to `level`, 1×C×h×w."""
    noisy = np.empty_like(inside)
    _add_noise(inside, draw, level, noisy)
    return block_means(torch.from_numpy(noisy).permute(2, 0, 1), slice(None), slice(None), factor)


def _between(at_knots: Tensor, knots: Sequence[int], level: int) -> Tensor:
    """The blocks' means at a level between two knots."""
    after = next(index for index, knot in enumerate(knots) if knot >= level)
    if knots[after] == level:
        return at_knots[after : after + 1]
    share = (level - knots[after - 1]) / (knots[after] - knots[after - 1])
    return torch.lerp(at_knots[after - 1 : after], at_knots[after : after + 1], share)
