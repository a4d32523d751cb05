"""The attacks of the studies' figures: wrong just where their docstrings say so."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from advcore import attacks, data
from advcore.attacks import FGSM
from advcore.attacks.study import OutputGradientFGSM, UnclippedFGSM
from advcore.evaluation.curves import accuracy
from advcore.models import checkpoints


@pytest.fixture(scope="module")
def standard() -> nn.Module:
    return checkpoints.find("digits/digits_cnn-standard").model()


def test_the_app_does_not_offer_them() -> None:
    assert not {UnclippedFGSM, OutputGradientFGSM} & {spec.kind for spec in attacks.offered().values()}


def test_unclipped_steps_leave_the_range_and_are_fgsm_within_it(standard: nn.Module, digits: data.LabeledImages) -> None:
    images, labels = digits[:60].pixels(), digits[:60].labels
    moved = UnclippedFGSM().perturb(standard, images, labels, 0.1)
    assert moved.min() < 0
    assert moved.max() > 1
    assert torch.allclose(moved.clamp(0, 1), FGSM().perturb(standard, images, labels, 0.1), atol=1e-6)


def test_the_gradient_of_the_output_is_no_attack(standard: nn.Module, digits: data.LabeledImages) -> None:
    clean, fgsm, faulty = (
        accuracy(standard, digits, attack, epsilon, precision="fp32")
        for attack, epsilon in ((FGSM(), 0.0), (FGSM(), 0.1), (OutputGradientFGSM(), 0.1))
    )
    # What is left of the gradient is rounding: it takes a small part of what the loss's gradient takes.
    assert clean - faulty < 0.5 * (clean - fgsm)


def test_the_gradient_of_the_output_is_rounding_and_nothing_else(standard: nn.Module, digits: data.LabeledImages) -> None:
    """In double precision, in a net whose output is spread over the classes, it vanishes beside the loss's."""
    net, image = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double(), digits[:1].pixels().double()
    leaf = image.requires_grad_()
    (gradient,) = torch.autograd.grad(net(leaf).softmax(1).sum(), leaf)
    assert gradient.abs().max() < 1e-12 < attacks.input_gradient(net, image, digits[:1].labels).abs().max()
