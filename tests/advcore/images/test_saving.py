"""What saving leaves of an image's pixels."""

from __future__ import annotations

import pytest
import torch

from advcore.images.saving import SAVINGS, as_jpeg, as_png


@pytest.mark.parametrize("saving", SAVINGS, ids=lambda saving: saving.title)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 20)])
def test_what_is_opened_again_is_the_same_kind_of_image(saving, shape: tuple[int, int, int]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    before = image.clone()
    opened = saving.apply(image)
    assert (opened.shape, opened.dtype) == (image.shape, torch.float32)
    assert torch.equal(opened, as_png(opened))  # 8 bits
    assert torch.equal(opened, saving.apply(image))
    assert torch.equal(image, before)


def test_jpeg_changes_more_the_lower_its_quality_and_png_hardly_anything() -> None:
    image = torch.rand((1, 28, 28), generator=torch.Generator().manual_seed(1))
    changes = [float((apply(image) - image).abs().mean()) for apply in (as_png, as_jpeg(90), as_jpeg(50), as_jpeg(20))]
    assert changes == sorted(changes)
    assert 0 < changes[0] < 0.5 / 255 < changes[1]


def test_a_flat_image_stays_flat_on_every_way_but_the_print() -> None:
    grey = torch.full((1, 16, 16), 128 / 255)
    for saving in SAVINGS[:-1]:
        assert float((saving.apply(grey) - grey).abs().max()) <= 1 / 255
    assert SAVINGS[-1].apply(grey).std() == pytest.approx(0.02, rel=0.3)
