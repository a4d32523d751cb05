"""The network as the losses call it: several batches in one call."""

from __future__ import annotations

from torch import Tensor, nn


class Batches(nn.Module):
    """A network that takes several batches in one call, each normalized with its own batch statistics."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *batches: Tensor) -> tuple[Tensor, ...]:
        """Float logits N×K of each batch N×C×H×W."""
        return tuple(self.network(batch).float() for batch in batches)
