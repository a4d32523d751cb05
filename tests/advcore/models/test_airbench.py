"""The network of cifar10-airbench: its layers, its whitening, and that training leaves its fixed weights alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from advcore import data
from advcore.models import architectures, layers
from advcore.recipe import Recipe
from advcore.training.loop import Trainer, initial_model

RECIPE = Recipe(
    dataset="cifar10",
    architecture="airbench",
    width=4,
    batch_size=20,
    epochs=2,
    held_out=0,
    optimizer="muon",
    learning_rate=0.05,
    weight_decay=0.004,
)


@pytest.fixture
def colours() -> data.LabeledImages:
    pixels = torch.randint(0, 256, (60, 3, 12, 12), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return data.LabeledImages(pixels, torch.arange(60) % 10, tuple("abcdefghij"), "cifar10")


@pytest.mark.parametrize(("shape", "classes"), [((3, 32, 32), 10), ((1, 28, 28), 10), ((3, 64, 64), 200), ((3, 9, 9), 10)])
def test_it_takes_every_size(shape: architectures.Shape, classes: int) -> None:
    assert architectures.build("airbench", shape, classes, width=4)(torch.rand(2, *shape)).shape == (2, classes)


def test_it_has_the_published_layers() -> None:
    model = architectures.build("airbench", (3, 32, 32), 10)
    shapes = [tuple(layer.weight.shape) for layer in model if isinstance(layer, nn.Conv2d)]
    widths = [(24, 3, 2, 2), (64, 24, 3, 3), (64, 64, 3, 3), (256, 64, 3, 3), *[(256, 256, 3, 3)] * 3]
    assert shapes == widths
    block = next(layer for layer in model if isinstance(layer, nn.Conv2d) and layer.in_channels == 64)
    images = torch.rand(1, 64, 8, 8)
    torch.testing.assert_close(block(images), images, msg="its filters begin as the identity")


def test_whitened_patches_are_uncorrelated() -> None:
    images = torch.randn(64, 3, 16, 16)
    images[:, 1] = 0.7 * images[:, 0] + 0.3 * images[:, 1]
    layer = layers.Whitening(3)
    layer.fit(images)
    with torch.no_grad():
        answers = (layer(images) - layer.bias.view(1, -1, 1, 1))[:, :12].permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(answers @ answers.T / answers.shape[1], torch.eye(12), atol=0.03, rtol=0)
    torch.testing.assert_close(layer.weight[12:], -layer.weight[:12])


def test_a_training_starts_with_filters_fitted_to_its_images(colours: data.LabeledImages) -> None:
    one = initial_model(RECIPE, colours)
    other = initial_model(RECIPE, data.LabeledImages(colours.images // 3, colours.labels, colours.class_names, "cifar10"))
    assert not torch.equal(one[1].weight, other[1].weight)
    assert torch.equal(one[3].weight, other[3].weight)


def test_every_trained_weight_changes_and_no_other(colours: data.LabeledImages) -> None:
    trainer = Trainer(RECIPE, colours, torch.device("cpu"), "fp32", None)
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    for _ in range(2):
        trainer.advance()
    for name, value in trainer.network.named_parameters():
        assert torch.equal(value, before[name]) != value.requires_grad, name
