"""The attacks: small frozen dataclasses that turn images into attacked images within a budget in pixel space."""

from __future__ import annotations

from advcore.attacks.base import (
    NORMS,
    Attack,
    Batch,
    Budget,
    Norm,
    check_epsilon,
    climb,
    clip,
    evaluating,
    halve_when_full,
    input_gradient,
    loss_gradient,
    option,
    predict,
    probabilities,
    uniform_noise,
)
from advcore.attacks.fgsm import FGSM
from advcore.attacks.noise import UniformNoise
from advcore.attacks.pgd import PGD
from advcore.attacks.registry import ATTACKS, AttackSpec, Option, Role, attack_named, offered, python_call, spec_of, title
