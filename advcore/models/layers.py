"""The layers of the networks that torch does not have: normalization, the residual block, whitening."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Normalize(nn.Module):
    """(images − mean) / std per channel: pixel space N×C×H×W in [0, 1] to what the network was trained on."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """The normalized images, N×C×H×W."""
        return (images - self.mean) / self.std


class PreActBlock(nn.Module):
    """The pre-activation residual block of He et al. 2016 (arXiv 1603.05027).

    Where the shape changes, the 1×1 shortcut takes the activated input, as in He et al.'s own code; with `raw` it takes the raw
    input, as in Wong et al.'s.
    """

    def __init__(self, channels: int, out: int, stride: int, raw: bool = False) -> None:
        super().__init__()
        self.raw = raw
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False) if stride != 1 or channels != out else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Features N×C×H×W to features of the block's width."""
        active = F.relu(self.norm1(inputs))
        residual = inputs if self.shortcut is None else self.shortcut(inputs if self.raw else active)
        return self.conv2(F.relu(self.norm2(self.conv1(active)))) + residual


class Whitening(nn.Conv2d):
    """A fixed 2×2 convolution that makes the patches of natural images uncorrelated, with a trained bias (Jordan 2024).

    `fit` sets its filters: the eigenvectors of the patches' covariance over the roots of their eigenvalues, and their
    negatives.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 2 * 4 * channels, 2)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Take the filters from images N×C×H×W as this layer gets them, normalized."""
        patches = F.unfold(images.float(), 2).transpose(1, 2).reshape(-1, self.weight[0].numel())
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = vectors.T / (values.clamp_min(0) + 5e-4).sqrt()[:, None]
        self.weight.copy_(torch.cat([filters, -filters]).view_as(self.weight))


class Scale(nn.Module):
    """Its inputs times a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs times the factor."""
        return inputs * self.factor
