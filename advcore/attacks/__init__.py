"""The attacks: small frozen dataclasses that turn images into attacked images within a budget in pixel space."""

from __future__ import annotations

from advcore.attacks.base import (
    Attack,
    check_epsilon,
    climb,
    clip,
    evaluating,
    halve_when_full,
    input_gradient,
    predict,
    probabilities,
    uniform_noise,
)
from advcore.attacks.fgsm import FGSM
from advcore.attacks.noise import UniformNoise
from advcore.attacks.pgd import PGD
from advcore.errors import AttackError

ATTACKS: dict[str, type[Attack]] = {"fgsm": FGSM, "pgd": PGD, "noise": UniformNoise}
TITLES: dict[str, str] = {"fgsm": "FGSM", "pgd": "PGD", "noise": "Random noise"}


def attack_named(name: str, **options: object) -> Attack:
    """The attack called `name` (fgsm, pgd, noise) with the options it has; others are left aside.

    Raises AttackError for an unknown name, or when a targeted noise is asked for.
    """
    if name not in ATTACKS:
        raise AttackError(f"There is no attack '{name}'; choose one of {', '.join(ATTACKS)}.")
    kind = ATTACKS[name]
    if options.get("targeted") and "targeted" not in kind.__dataclass_fields__:
        raise AttackError(f"{TITLES[name]} follows no gradient and cannot be targeted; choose fgsm or pgd.")
    return kind(**{key: value for key, value in options.items() if key in kind.__dataclass_fields__})  # type: ignore[arg-type]


def title(attack: Attack) -> str:
    """The attack's name for people: `FGSM`, `PGD-20`, `PGD-50-10` (steps, restarts), `random noise`."""
    if isinstance(attack, PGD):
        return f"PGD-{attack.steps}" + (f"-{attack.restarts}" if attack.restarts > 1 else "")
    return "FGSM" if isinstance(attack, FGSM) else "random noise"
