"""The networks of the studies and a residual one, built from a table of entries.

Every model takes images in pixel space: its first layer normalizes them. A new architecture is a function that returns its
layers and an entry in `ARCHITECTURES`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from advcore.errors import ModelError
from advcore.lazy import nn, torch

Shape = tuple[int, int, int]


# Where a study pools after a ReLU, the max-pool stands before it here: the same values on a quarter of the work.


def lee_cnn(shape: Shape, classes: int) -> list[nn.Module]:
    """Lee's (P2) network: two 3×3 convolutions (32, 64), no pooling, linear 128, linear K."""
    channels, height, width = shape
    return [
        nn.Conv2d(channels, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * (height - 4) * (width - 4), 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    ]


def srivathsav_cnn(shape: Shape, classes: int) -> list[nn.Module]:
    """Srivathsav et al.'s (P4) network: conv 32, pool, conv 64, pool, dense 128, dense K; the softmax is left to the loss."""
    channels, height, width = shape
    side = [((edge - 2) // 2 - 2) // 2 for edge in (height, width)]
    return [
        nn.Conv2d(channels, 32, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * side[0] * side[1], 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    ]


def even_deeper_cnn(shape: Shape, classes: int) -> list[nn.Module]:
    """Deepthi et al.'s (P3) EvenDeeperCNN: six convolutions, a max-pool after every two, three linear layers.

    The study gives no widths: 32, 32, 64, 64, 128, 128 and 256, 128 keep an epoch on two cores within a minute, and come to
    about the clean accuracy that it reports.
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    for out in (32, 64, 128):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(), nn.Conv2d(out, out, 3, padding=1)]
        layers += [nn.MaxPool2d(2), nn.ReLU()]
        channels = out
    return [
        *layers,
        nn.Flatten(),
        nn.Linear(128 * (height // 8) * (width // 8), 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    ]


def general_cnn(shape: Shape, classes: int, width: int) -> list[nn.Module]:
    """Chowdhury's (P1) generalized CNN: convolution + pooling blocks and a dense head.

    Grey images: two blocks, no dropout. Colour: three blocks, dropout 0.25 after each and 0.5 before the output; larger than
    32 px, a fourth block stands before them. `width` is the channels of the first grey block; colour images have twice as
    many. The study gives no widths: 32, 64 and a head of 128 for grey, 64, 128, 256 and a head of 256 for colour (`width` 32)
    are quick on two cores.
    """
    channels, *sides = shape
    colour = channels > 1
    widths, head, layers = ((2, 4, 8), 8, []) if colour else ((1, 2), 4, [])
    if colour and min(sides) > 32:
        widths = (1, *widths)
    for times in widths:
        layers += [nn.Conv2d(channels, times * width, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()]
        layers += [nn.Dropout(0.25)] if colour else []
        channels, sides = times * width, [side // 2 for side in sides]
    head *= width
    dense = [nn.Flatten(), nn.Linear(channels * sides[0] * sides[1], head), nn.ReLU()]
    return [*layers, *dense, *([nn.Dropout(0.5)] if colour else []), nn.Linear(head, classes)]


def digits_cnn(shape: Shape, classes: int) -> list[nn.Module]:
    """A small network for 8×8 digits: conv 32, conv 64, pool, dense 64; trains in seconds on any laptop."""
    channels, height, width = shape
    return [
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * (height // 2) * (width // 2), 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    ]


def preact_resnet18(shape: Shape, classes: int, width: int, raw: bool = False) -> list[nn.Module]:
    """PreAct ResNet-18 (He et al. 2016): `width` channels in the first stage, doubled three times.

    64 is the published width (11 M parameters). For images larger than 32 px the first convolution has stride 2. With `raw` it
    is the network of Wong et al. 2020: raw shortcuts, and neither norm nor ReLU after the last block.
    """
    from advcore.models.layers import PreActBlock

    stride = 2 if min(shape[1:]) > 32 else 1
    layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, stride, 1, bias=False)]
    channels = width
    for stage in range(4):
        out = width * 2**stage
        layers += [PreActBlock(channels, out, 1 if stage == 0 else 2, raw), PreActBlock(out, out, 1, raw)]
        channels = out
    layers += [] if raw else [nn.BatchNorm2d(channels), nn.ReLU()]
    return [*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


def _airbench_block(channels: int, out: int) -> list[nn.Module]:
    """conv, pool, norm, GELU, conv, norm, GELU; filters begin as the identity, and of the norms only the bias is trained."""
    convolutions = [nn.Conv2d(size, out, 3, padding=1, bias=False) for size in (channels, out)]
    norms = [nn.BatchNorm2d(out, momentum=0.4) for _ in range(2)]
    for convolution, norm in zip(convolutions, norms, strict=True):
        nn.init.dirac_(convolution.weight.data[: convolution.in_channels])
        norm.weight.requires_grad_(False)
    return [convolutions[0], nn.MaxPool2d(2), norms[0], nn.GELU(), convolutions[1], norms[1], nn.GELU()]


def airbench(shape: Shape, classes: int, width: int) -> list[nn.Module]:
    """The network of cifar10-airbench94 (Jordan 2024, arXiv 2404.00498): 2×2 whitening, three blocks, scaled logits.

    `width` channels in the first block (64 as published, 2.0 M parameters), four times as many in the other two.
    """
    from advcore.models.layers import Scale, Whitening

    layers: list[nn.Module] = [Whitening(shape[0]), nn.GELU()]
    channels = 8 * shape[0]
    for out in (width, 4 * width, 4 * width):
        layers += _airbench_block(channels, out)
        channels = out
    pool = nn.MaxPool2d(tuple((side - 1) // 8 for side in shape[1:]))
    return [*layers, pool, nn.Flatten(), nn.Linear(channels, classes, bias=False), Scale(1 / 9)]


def fit_to_images(model: nn.Module, images: torch.Tensor) -> None:
    """Fit a fresh model to its training images N×C×H×W in [0, 1]: set the filters of a `Whitening` layer."""
    from advcore.models.layers import Whitening

    layers = list(model.children())
    for before, layer in itertools.pairwise(layers):
        if isinstance(layer, Whitening):
            layer.fit(before(images))


@dataclass(frozen=True)
class Architecture:
    """The entry of a network.

    `layers(shape, classes)` returns its layers; with `default_width` also takes `width`. `about` is one sentence, `study` the
    study that it comes from (P1 to P4), if any. `smallest` is the smallest image side in pixels. `normalization` is the mean
    and standard deviation of every channel, or None for the dataset's own. `default_width` is the width used unless another
    is given; None for networks without that choice. `study_recipe` is its study's training as fields of a Recipe,
    `study_continues` that it starts from the undefended network, `robust_recipe` what robust training needs.
    """

    name: str
    title: str
    about: str
    layers: Callable[..., list[nn.Module]]
    smallest: int
    study: str = ""
    normalization: tuple[float, float] | None = None
    default_width: int | None = None
    study_recipe: Mapping[str, Any] = field(default_factory=dict)
    study_continues: bool = False
    robust_recipe: Mapping[str, Any] = field(default_factory=dict)


# The published recipe of cifar10-airbench94 with Muon (Jordan 2024).
AIRBENCH = {
    "optimizer": "muon",
    "learning_rate": 0.24,
    "schedule": "linear",
    "weight_decay": 0.004,
    "label_smoothing": 0.2,
}
_ALL = (
    Architecture(
        "lee_cnn",
        "Lee's CNN",
        "Two 3×3 convolutions without pooling and two linear layers.",
        lee_cnn,
        6,
        study="P2",
        study_recipe={"epsilon": 0.3, "epochs": 6},
    ),
    Architecture(
        "srivathsav_cnn",
        "Srivathsav's CNN",
        "Two 3×3 convolutions, each with a max-pool, and two linear layers.",
        srivathsav_cnn,
        10,
        study="P4",
        normalization=(0.0, 1.0),
        study_recipe={"epsilon": 0.1, "epochs": 10},
        study_continues=True,
    ),
    Architecture(
        "even_deeper_cnn",
        "EvenDeeperCNN",
        "Six 3×3 convolutions, a max-pool after every two, and three linear layers.",
        even_deeper_cnn,
        8,
        study="P3",
        normalization=(0.5, 0.5),
        study_recipe={"epsilon": 0.5, "epochs": 10, "augment": ("flip", "rotate")},
    ),
    Architecture(
        "general_cnn",
        "General CNN",
        "Two to four convolutions, each with a max-pool, and two linear layers; dropout on colour images.",
        general_cnn,
        8,
        study="P1",
        default_width=32,
        study_recipe={"epochs": 10},
    ),
    Architecture(
        "digits_cnn",
        "Digits CNN",
        "Two 3×3 convolutions, a max-pool and two linear layers; trains in seconds on 8×8 digits.",
        digits_cnn,
        2,
    ),
    Architecture(
        "preact_resnet18",
        "PreAct ResNet-18",
        "Eight residual blocks with batch norm (He et al. 2016); the width can be chosen.",
        preact_resnet18,
        8,
        default_width=64,
        robust_recipe={"optimizer": "sgd", "learning_rate": 0.2, "weight_decay": 5e-4},
    ),
    Architecture(
        "wong_preact_resnet18",
        "PreAct ResNet-18 (Wong)",
        "As PreAct ResNet-18, with raw shortcuts and no last batch norm (Wong et al. 2020).",
        functools.partial(preact_resnet18, raw=True),
        8,
        default_width=64,
        robust_recipe={"optimizer": "sgd", "learning_rate": 0.2, "weight_decay": 5e-4},
    ),
    Architecture(
        "airbench",
        "Airbench CNN",
        "A whitening layer and three blocks of two convolutions with batch norm (Jordan 2024): fast on CIFAR-10.",
        airbench,
        9,
        default_width=64,
        robust_recipe=AIRBENCH | {"defense": "n_fgsm", "epochs": 30, "batch_size": 512, "width": 32, "averaging": 0.99},
    ),
)
ARCHITECTURES: dict[str, Architecture] = {architecture.name: architecture for architecture in _ALL}
MAX_WIDTH = 256


def build(
    architecture: str,
    shape: Shape,
    classes: int,
    *,
    mean: Sequence[float] = (0.5,),
    std: Sequence[float] = (0.25,),
    width: int | None = None,
) -> nn.Module:
    """A fresh model in eval mode: images C×H×W in [0, 1] to `classes` logits.

    `mean` and `std` are the dataset's, per channel or one for all; an architecture that has its own normalization uses that.
    Raises ModelError for an unknown architecture, images too small for it, or a width it does not have.
    """
    from advcore.models.layers import Normalize

    spec = checked(architecture, shape, width)
    options = {} if spec.default_width is None else {"width": width or spec.default_width}
    if spec.normalization:
        mean, std = ([value] * shape[0] for value in spec.normalization)
    elif len(mean) != shape[0]:
        mean, std = [mean[0]] * shape[0], [std[0]] * shape[0]
    return nn.Sequential(Normalize(mean, std), *spec.layers(shape, classes, **options)).eval()


def checked(architecture: str, shape: Shape, width: int | None = None) -> Architecture:
    """The entry of an architecture that can be built for images C×H×W; raises ModelError where `build` would."""
    if architecture not in ARCHITECTURES:
        raise ModelError(f"There is no architecture '{architecture}'; choose one of {', '.join(ARCHITECTURES)}.")
    spec = ARCHITECTURES[architecture]
    if min(shape[1:]) < spec.smallest:
        raise ModelError(f"{spec.title} needs images of at least {spec.smallest} px a side, not {min(shape[1:])}.")
    if width is not None and spec.default_width is None:
        raise ModelError(f"{spec.title} has no width to choose; leave it out.")
    if width is not None and not 4 <= width <= MAX_WIDTH:
        raise ModelError(f"The width must lie between 4 and {MAX_WIDTH}, not {width}.")
    return spec


def parameter_count(model: nn.Module) -> int:
    """The number of parameters, those that training leaves fixed included."""
    return sum(parameter.numel() for parameter in model.parameters())
