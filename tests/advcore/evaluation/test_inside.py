"""The last hidden layer in two dimensions, on networks whose features are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from advcore.data import LabeledImages
from advcore.errors import AdvcoreError
from advcore.evaluation.inside import hidden, inside
from tests.makers import fresh


def images(values: torch.Tensor) -> LabeledImages:
    pixels = values.to(torch.uint8).view(len(values), 1, 2, 2)
    return LabeledImages(pixels, torch.arange(len(values)) % 3, ("a", "b", "c"))


def test_the_directions_are_those_of_most_variance() -> None:
    # The hidden layer is the image itself; its first pixel varies most, then its last, and the others not at all.
    torch.manual_seed(0)
    values = torch.zeros(120, 4)
    values[:, 0], values[:, 3] = torch.randint(0, 255, (120,)), torch.randint(100, 130, (120,))
    body = hidden(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    nothing = nn.Parameter(torch.zeros(1))
    body.register_parameter("device", nothing)
    *parts, found = inside(body, images(values))
    assert parts == [None] * 3
    spread = values.var(0)
    assert found.variance == pytest.approx((float(spread[0] / spread.sum()), float(spread[3] / spread.sum())), abs=0.01)
    assert found.directions[0, 0] > 0.99
    assert found.directions[1, 3] > 0.99
    assert found.size == 4
    assert torch.allclose(found.places_of(body, images(values).pixels()), found.places, atol=1e-5)
    assert torch.allclose(found.places.mean(0), torch.zeros(2), atol=1e-4)


def test_the_copy_ends_before_the_last_layer_and_the_model_stays_whole() -> None:
    model = fresh("digits_cnn", (1, 8, 8)).eval()
    last = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
    pixels = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        features, logits = hidden(model)(pixels), model(pixels)
        assert torch.allclose(last(features), logits, atol=1e-5)


def test_what_follows_the_last_layer_does_not_scale_the_features() -> None:
    model = fresh("airbench", (3, 32, 32)).eval()
    *body, last, scale = model
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(hidden(model)(pixels), nn.Sequential(*body)(pixels))
        assert torch.allclose(scale(last(hidden(model)(pixels))), model(pixels), atol=1e-6)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(AdvcoreError, match="no linear layer"):
        hidden(nn.Conv2d(1, 1, 1))
    with pytest.raises(AdvcoreError, match="too few"):
        list(inside(hidden(fresh("digits_cnn", (1, 8, 8))), images(torch.zeros(2, 4))))
