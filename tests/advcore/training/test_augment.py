"""Augmentations: what they may do to an image, and that every draw comes from the generator."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from advcore.recipe import AUGMENTATIONS
from advcore.training.augment import SHIFT, augment


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_flips_mirror_about_half_of_the_images() -> None:
    images = torch.rand(200, 3, 6, 5)
    found = augment(images, ["flip"], drawn(0))
    pairs = list(zip(found, images, strict=True))
    mirrored = torch.tensor([torch.equal(one, other.flip(2)) for one, other in pairs])
    kept = torch.tensor([torch.equal(one, other) for one, other in pairs])
    assert (mirrored ^ kept).all()
    assert 70 < mirrored.sum() < 130


@pytest.mark.parametrize("side", [8, 28, 32])
def test_crops_shift_by_whole_pixels_and_fill_with_zeros(side: int) -> None:
    images = torch.rand(60, 1, side, side) + 0.5
    found = augment(images, ["crop"], drawn(1))
    reach = side // 8
    shifts = set()
    for one, other in zip(found, images, strict=True):
        padded = F.pad(other, (reach,) * 4)
        fitting = [
            (down, right)
            for down in range(2 * reach + 1)
            for right in range(2 * reach + 1)
            if torch.allclose(one, padded[:, down : down + side, right : right + side], atol=1e-4)
        ]
        assert len(fitting) == 1
        shifts.update(fitting)
    assert len(shifts) > 5


def test_rotations_turn_a_little_and_keep_the_range() -> None:
    images = torch.rand(40, 1, 28, 28)
    found = augment(images, ["rotate"], drawn(2))
    assert found.shape == images.shape
    assert 0 <= found.min() <= found.max() <= 1 + 1e-5
    centre = (slice(None), slice(None), slice(12, 16), slice(12, 16))
    corner = (slice(None), slice(None), slice(0, 4), slice(0, 4))
    # At 15° the centre moves by half a pixel, a corner by five.
    smooth = F.avg_pool2d(images, 5, 1, 2)
    turned = augment(smooth, ["rotate"], drawn(2))
    assert (turned - smooth)[centre].abs().mean() < 0.7 * (turned - smooth)[corner].abs().mean()


def test_shifts_move_by_whole_pixels_and_mirror_the_border() -> None:
    images = torch.rand(100, 3, 9, 7)
    found = augment(images, ["shift"], drawn(3))
    padded = F.pad(images, (SHIFT,) * 4, "reflect")
    corners = set()
    for one, other in zip(found, padded, strict=True):
        places = [(row, column) for row in range(5) for column in range(5)]
        fitting = [at for at in places if torch.equal(one, other[:, at[0] : at[0] + 9, at[1] : at[1] + 7])]
        assert len(fitting) == 1
        corners.update(fitting)
    assert len(corners) > 20, "all of the 25 places are drawn"


def test_cutout_paints_one_square_grey() -> None:
    images = torch.rand(200, 3, 16, 16) / 4
    found = augment(images, ["cutout"], drawn(3))
    painted = (found == 0.5).all(1)
    assert torch.equal(found, torch.where(painted[:, None], 0.5, images))
    for one in painted:
        rows, columns = one.any(1), one.any(0)
        assert torch.equal(one, rows[:, None] & columns[None, :])
        assert 3 <= rows.sum() <= 6
        assert 3 <= columns.sum() <= 6
    sizes = painted.sum((1, 2))
    assert (sizes == 36).float().mean() > 0.3
    assert painted.any(0).all(), "every place is painted sometimes"


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "alternate_flip"])
def test_augmentation_draws_from_its_generator_alone(name: str) -> None:
    images = torch.rand(10, 1, 8, 8)
    one, again, other = (augment(images, [name], drawn(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
