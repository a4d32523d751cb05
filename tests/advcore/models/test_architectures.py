"""The networks: layer by layer as the studies give them, for every image size, with normalization in front."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from advcore.data import BUILT_IN
from advcore.errors import ModelError
from advcore.models import architectures, layers
from tests.makers import fresh

MNIST, CIFAR10, TINY, DIGITS = (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 8, 8)


def layout(model: nn.Module) -> str:
    """The layers in words, as a paper would list them."""
    words = []
    for layer in model:
        match layer:
            case nn.Conv2d():
                assert layer.stride == (1, 1)
                size = f"conv {layer.out_channels} {layer.kernel_size[0]}×{layer.kernel_size[1]}"
                words.append(size + (" same" if layer.padding == (1, 1) else ""))
            case nn.MaxPool2d():
                assert layer.stride == layer.kernel_size
                words.append(f"pool {layer.kernel_size}")
            case nn.Linear():
                words.append(f"dense {layer.in_features}→{layer.out_features}")
            case nn.Dropout():
                words.append(f"dropout {layer.p}")
            case _:
                words.append(type(layer).__name__.lower())
    # A max-pool and a ReLU may change places, since both keep the order of numbers; the studies pool last.
    return ", ".join(words).replace("pool 2, relu", "relu, pool 2")


LAYOUTS = {
    ("lee_cnn", MNIST): "normalize, conv 32 3×3, relu, conv 64 3×3, relu, flatten, dense 36864→128, relu, dense 128→10",
    (
        "srivathsav_cnn",
        MNIST,
    ): "normalize, conv 32 3×3, relu, pool 2, conv 64 3×3, relu, pool 2, flatten, dense 1600→128, relu, dense 128→10",
    ("even_deeper_cnn", CIFAR10): "normalize, conv 32 3×3 same, relu, conv 32 3×3 same, relu, pool 2, conv 64 3×3 same, relu, "
    "conv 64 3×3 same, relu, pool 2, conv 128 3×3 same, relu, conv 128 3×3 same, relu, pool 2, flatten, dense 2048→256, relu, "
    "dense 256→128, relu, dense 128→10",
    ("general_cnn", MNIST): "normalize, conv 32 3×3 same, relu, pool 2, conv 64 3×3 same, relu, pool 2, flatten, "
    "dense 3136→128, relu, dense 128→10",
    ("general_cnn", CIFAR10): "normalize, conv 64 3×3 same, relu, pool 2, dropout 0.25, conv 128 3×3 same, relu, pool 2, "
    "dropout 0.25, conv 256 3×3 same, relu, pool 2, dropout 0.25, flatten, dense 4096→256, relu, dropout 0.5, dense 256→10",
    ("general_cnn", TINY): "normalize, conv 32 3×3 same, relu, pool 2, dropout 0.25, conv 64 3×3 same, relu, pool 2, "
    "dropout 0.25, conv 128 3×3 same, relu, pool 2, dropout 0.25, conv 256 3×3 same, relu, pool 2, dropout 0.25, flatten, "
    "dense 4096→256, relu, dropout 0.5, dense 256→10",
    ("digits_cnn", DIGITS): "normalize, conv 32 3×3 same, relu, conv 64 3×3 same, relu, pool 2, flatten, dense 1024→64, relu, "
    "dense 64→10",
}


@pytest.mark.parametrize(("architecture", "shape"), LAYOUTS)
def test_layers_are_the_studys(architecture: str, shape: architectures.Shape) -> None:
    assert layout(architectures.build(architecture, shape, 10)) == LAYOUTS[architecture, shape]


def test_a_max_pool_and_a_relu_may_change_places() -> None:
    numbers = torch.randn(2, 3, 8, 8)
    assert torch.equal(nn.MaxPool2d(2)(nn.ReLU()(numbers)), nn.ReLU()(nn.MaxPool2d(2)(numbers)))


def test_a_raw_block_gives_its_shortcut_the_raw_input() -> None:
    torch.manual_seed(0)
    block, inputs = layers.PreActBlock(4, 8, 2, raw=True).eval(), torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        active = block.norm1(inputs).relu()
        wanted = block.conv2(block.norm2(block.conv1(active)).relu()) + block.shortcut(inputs)
        assert torch.allclose(block(inputs), wanted, atol=1e-6)
    theirs = architectures.build("wong_preact_resnet18", CIFAR10, 10)
    assert [type(layer).__name__ for layer in theirs][-4:] == ["PreActBlock", "AdaptiveAvgPool2d", "Flatten", "Linear"]


def test_preact_resnet18_has_eight_blocks_and_eleven_million_weights() -> None:
    model = architectures.build("preact_resnet18", CIFAR10, 10)
    assert [type(layer).__name__ for layer in model] == [
        "Normalize",
        "Conv2d",
        *["PreActBlock"] * 8,
        *("BatchNorm2d", "ReLU", "AdaptiveAvgPool2d", "Flatten", "Linear"),
    ]
    blocks = [layer for layer in model if isinstance(layer, layers.PreActBlock)]
    assert [block.conv2.out_channels for block in blocks] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [block.conv1.stride[0] for block in blocks] == [1, 1, 2, 1, 2, 1, 2, 1]
    assert [block.shortcut is not None for block in blocks] == [False, False, True, False, True, False, True, False]
    # Without the three shortcuts these are its eighteen layers.
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules()) - 3 == 18
    # 11,171,146 of the usual pre-activation ResNet-18 and Wong et al.'s batch norm before the output.
    assert architectures.parameter_count(model) == 11_171_146 + 2 * 512


def test_a_pre_activation_block_is_the_papers() -> None:
    """He et al. 2016, figure 4 (e): BN, ReLU, conv, BN, ReLU, conv, sum; a changed shortcut starts after the first ReLU."""
    block = layers.PreActBlock(4, 8, 2).eval()
    inputs = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        active = torch.relu(block.norm1(inputs))
        expected = block.conv2(torch.relu(block.norm2(block.conv1(active)))) + block.shortcut(active)
        assert torch.allclose(block(inputs), expected)
        same = layers.PreActBlock(4, 4, 1).eval()
        expected = same.conv2(torch.relu(same.norm2(same.conv1(torch.relu(same.norm1(inputs)))))) + inputs
        assert torch.allclose(same(inputs), expected)


@pytest.mark.parametrize("shape", [MNIST, CIFAR10, TINY, DIGITS], ids=str)
@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_every_network_takes_every_size_it_can(architecture: str, shape: architectures.Shape) -> None:
    if min(shape[1:]) < architectures.ARCHITECTURES[architecture].smallest:
        with pytest.raises(ModelError, match="needs images of at least"):
            architectures.build(architecture, shape, 7)
        return
    model = architectures.build(architecture, shape, 7)
    assert not model.training
    assert isinstance(model[0], layers.Normalize)
    with torch.no_grad():
        logits = model(torch.rand(2, *shape))
    assert tuple(logits.shape) == (2, 7)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_the_smallest_size_is_the_smallest_that_works(architecture: str) -> None:
    smallest = architectures.ARCHITECTURES[architecture].smallest
    with torch.no_grad():
        assert tuple(
            architectures.build(architecture, (1, smallest, smallest + 3), 3)(torch.rand(1, 1, smallest, smallest + 3)).shape
        ) == (1, 3)
    with pytest.raises(ModelError, match=f"at least {smallest} px a side, not {smallest - 1}"):
        architectures.build(architecture, (1, smallest + 3, smallest - 1), 3)


@pytest.mark.parametrize("shape", [(1, 28, 20), (3, 40, 64)], ids=str)
@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_images_need_not_be_square(architecture: str, shape: architectures.Shape) -> None:
    with torch.no_grad():
        assert tuple(architectures.build(architecture, shape, 5)(torch.rand(1, *shape)).shape) == (1, 5)


def test_normalization_is_the_first_layer_and_the_datasets_own() -> None:
    info = BUILT_IN["cifar10"]
    first = architectures.build("general_cnn", CIFAR10, 10, mean=info.mean, std=info.std)[0]
    images = torch.rand(4, *CIFAR10)
    expected = (images - torch.tensor(info.mean)[:, None, None]) / torch.tensor(info.std)[:, None, None]
    assert torch.allclose(first(images), expected)
    assert not list(first.parameters())  # no training changes it


@pytest.mark.parametrize(
    ("architecture", "mean", "std"),
    [("even_deeper_cnn", 0.5, 0.5), ("srivathsav_cnn", 0.0, 1.0), ("lee_cnn", 0.1307, 0.3081), ("general_cnn", 0.1307, 0.3081)],
)
def test_a_study_that_prescribes_a_normalization_gets_it(architecture: str, mean: float, std: float) -> None:
    first = architectures.build(architecture, MNIST, 10, mean=(0.1307,), std=(0.3081,))[0]
    assert first.mean.flatten().tolist() == pytest.approx([mean])
    assert first.std.flatten().tolist() == pytest.approx([std])


def test_one_mean_serves_all_channels() -> None:
    first = architectures.build("even_deeper_cnn", CIFAR10, 10)[0]
    assert first.mean.flatten().tolist() == first.std.flatten().tolist() == [0.5] * 3
    assert architectures.build("general_cnn", CIFAR10, 10, mean=(0.4,), std=(0.2,))[0].mean.flatten().tolist() == pytest.approx(
        [0.4] * 3
    )


def test_widths_of_the_residual_network() -> None:
    narrow = architectures.build("preact_resnet18", CIFAR10, 10, width=4)
    assert narrow[1].out_channels == 4
    assert narrow[-1].in_features == 32
    assert architectures.build("preact_resnet18", CIFAR10, 10)[1].out_channels == 64
    assert architectures.build("preact_resnet18", TINY, 10, width=8)[1].stride == (2, 2)
    assert architectures.build("preact_resnet18", CIFAR10, 10, width=8)[1].stride == (1, 1)


@pytest.mark.parametrize("shape", [MNIST, CIFAR10, TINY], ids=str)
def test_the_general_network_is_32_wide_unless_another_width_is_given(shape: architectures.Shape) -> None:
    usual, given, half = (architectures.build("general_cnn", shape, 10, width=width) for width in (None, 32, 16))
    assert layout(usual) == layout(given) == LAYOUTS["general_cnn", shape]
    halved = [(2 * layer.out_channels) for layer in half if isinstance(layer, nn.Conv2d)]
    assert halved == [layer.out_channels for layer in usual if isinstance(layer, nn.Conv2d)]
    assert 2 * half[-1].in_features == usual[-1].in_features


@pytest.mark.parametrize("width", [0, 3, -64, architectures.MAX_WIDTH + 1])
def test_a_width_outside_its_range_is_refused(width: int) -> None:
    with pytest.raises(ModelError, match=f"between 4 and 256, not {width}"):
        architectures.build("preact_resnet18", CIFAR10, 10, width=width)


def test_a_width_for_a_network_without_one_is_refused() -> None:
    with pytest.raises(ModelError, match="Lee's CNN has no width"):
        architectures.build("lee_cnn", MNIST, 10, width=64)


@pytest.mark.parametrize("name", ["resnet50", "", "Lee_CNN", "../lee_cnn"])
def test_an_unknown_architecture_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ModelError, match=r"There is no architecture .*lee_cnn, srivathsav_cnn"):
        architectures.build(name, MNIST, 10)


def test_weights_are_the_seeds() -> None:
    first, again, other = (fresh("digits_cnn", DIGITS, seed=seed)(torch.ones(1, *DIGITS)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_every_network_says_what_it_is(architecture: str) -> None:
    spec = architectures.ARCHITECTURES[architecture]
    assert spec.name == architecture
    assert spec.title
    assert spec.layers.__doc__
