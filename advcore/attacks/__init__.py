"""The attacks: small frozen dataclasses that turn images into attacked images within a budget in pixel space."""

from __future__ import annotations

from advcore.attacks.apgd import APGD, TargetedAPGD
from advcore.attacks.autoattack import AutoAttack
from advcore.attacks.base import (
    NORMS,
    Attack,
    Batch,
    Budget,
    FastSearch,
    Norm,
    ascend,
    check_epsilon,
    clip,
    evaluating,
    halve_when_full,
    input_gradient,
    loss_gradient,
    option,
    predict,
    probabilities,
)
from advcore.attacks.carlini_wagner import CarliniWagner
from advcore.attacks.deepfool import DeepFool
from advcore.attacks.fab import FAB
from advcore.attacks.fgsm import FGSM
from advcore.attacks.jsma import JSMA
from advcore.attacks.noise import SignNoise, UniformNoise
from advcore.attacks.pgd import PGD
from advcore.attacks.registry import (
    ATTACKS,
    NORM_TITLES,
    AttackSpec,
    Option,
    Role,
    attack_named,
    offered,
    python_call,
    spec_of,
    title,
)
from advcore.attacks.smallest import SmallestAttack
from advcore.attacks.square import Square
