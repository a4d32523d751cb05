"""The table of attacks. Every form, command, caption and chart derives from it: a new attack is a class and its entry here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from advcore.attacks.apgd import APGD, TargetedAPGD
from advcore.attacks.autoattack import AutoAttack
from advcore.attacks.base import Attack, Norm
from advcore.attacks.carlini_wagner import CarliniWagner
from advcore.attacks.deepfool import DeepFool
from advcore.attacks.fab import FAB
from advcore.attacks.fgsm import FGSM
from advcore.attacks.jsma import JSMA
from advcore.attacks.noise import SignNoise, UniformNoise
from advcore.attacks.pgd import PGD
from advcore.attacks.square import Square
from advcore.attacks.study import OutputGradientFGSM, UnclippedFGSM
from advcore.errors import AttackError

Role = Literal["attack", "control", "black box", "minimal norm", "study fault"]
NORM_TITLES: dict[Norm, str] = {"linf": "L∞", "l2": "L2", "l0": "L0"}


@dataclass(frozen=True)
class Option:
    """One thing that can be set on an attack: its type (int, float or str), default, and range or choices."""

    name: str
    about: str
    type: type
    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttackSpec:
    """The entry of one attack.

    `name` is what links and commands call it, `kind()` the configuration that pages offer, `title` its name in words, `about`
    one sentence. `paper` names authors and year, `arxiv` its number; only controls and study faults have none. `label` gives a
    configured instance's title where that differs from `title`. `dash` is its line style in charts: an SVG dash list in pixels,
    or one of solid, dot, dash, longdash, dashdot and longdashdot.
    """

    name: str
    kind: type[Attack]
    title: str
    about: str
    role: Role = "attack"
    paper: str = ""
    arxiv: str = ""
    dash: str = "dashdot"
    label: Callable[[Any], str] | None = None

    @property
    def options(self) -> tuple[Option, ...]:
        """What can be set, in the order of the class's fields; `norm` only where there is a choice."""
        hints = get_type_hints(self.kind)
        found = []
        for field in dataclasses.fields(self.kind):
            limits = dict(field.metadata)
            if not limits:
                continue
            if field.name == "norm":
                if len(self.norms) == 1:
                    continue
                limits["choices"] = self.norms
            found.append(Option(field.name, type=_plain_type(hints[field.name]), default=field.default, **limits))
        return tuple(found)

    @property
    def targetable(self) -> bool:
        """Whether it can move toward a class of one's choice."""
        return "targeted" in self.kind.__dataclass_fields__

    @property
    def norms(self) -> tuple[Norm, ...]:
        """The norms in which it has a budget."""
        return self.kind.norms

    @property
    def passes(self) -> int:
        """About how many forward passes `kind()` costs per image; `passes` of a configured attack gives that one's."""
        return self.kind().passes


def _plain_type(hint: Any) -> type:
    """int, float or str for a field's annotation."""
    options = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return options[0] if isinstance(options[0], type) else str


ATTACKS: dict[str, AttackSpec] = {
    spec.name: spec
    for spec in (
        AttackSpec(
            "fgsm",
            FGSM,
            "FGSM",
            "One step of size ε along the sign of the gradient.",
            paper="Goodfellow et al. 2015",
            arxiv="1412.6572",
            dash="solid",
        ),
        AttackSpec(
            "pgd",
            PGD,
            "PGD",
            "Many small gradient steps, each projected back into the budget.",
            paper="Madry et al. 2018",
            arxiv="1706.06083",
            dash="dash",
            label=lambda attack: _counts("PGD", attack.steps, attack.restarts),
        ),
        AttackSpec(
            "apgd",
            APGD,
            "APGD",
            "Gradient steps with momentum, whose size adapts to the progress of the loss.",
            paper="Croce & Hein 2020",
            arxiv="2003.01690",
            dash="longdash",
            label=lambda attack: _counts(f"APGD-{attack.loss.upper()}", attack.steps, attack.restarts, usual=100),
        ),
        AttackSpec(
            "apgd_t",
            TargetedAPGD,
            "APGD-T",
            "APGD toward the most likely wrong classes, one after another.",
            paper="Croce & Hein 2020",
            arxiv="2003.01690",
            dash="longdashdot",
        ),
        AttackSpec(
            "fab",
            FAB,
            "FAB-T",
            "Steps along the decision boundary to the most likely wrong classes, toward the smallest change.",
            paper="Croce & Hein 2020",
            arxiv="1907.02044",
            dash="8px,3px,2px,3px,2px,3px",
        ),
        AttackSpec(
            "square",
            Square,
            "Square",
            "A random search over squares that uses the model's scores and no gradient.",
            "black box",
            "Andriushchenko et al. 2020",
            "1912.00049",
            "dashdot",
        ),
        AttackSpec(
            "autoattack",
            AutoAttack,
            "AutoAttack",
            "APGD-CE, APGD-T, FAB-T and Square in turn, each on the images that still hold.",
            paper="Croce & Hein 2020",
            arxiv="2003.01690",
            dash="12px,2px",
        ),
        AttackSpec(
            "deepfool",
            DeepFool,
            "DeepFool",
            "Steps across the nearest decision boundary, taken as a plane, until the answer changes.",
            "minimal norm",
            "Moosavi-Dezfooli et al. 2016",
            "1511.04599",
            "6px,2px,2px,2px",
        ),
        AttackSpec(
            "cw",
            CarliniWagner,
            "C&W",
            "The smallest change in L2, found by optimization.",
            "minimal norm",
            "Carlini & Wagner 2017",
            "1608.04644",
            "2px,6px",
        ),
        AttackSpec(
            "jsma",
            JSMA,
            "JSMA",
            "Sets as few values as it can to black or white, two at a time.",
            "minimal norm",
            "Papernot et al. 2016",
            "1511.07528",
            "1px,3px,6px,3px",
        ),
        AttackSpec(
            "noise",
            UniformNoise,
            "random noise",
            "Random noise within the same ε, which uses no gradient.",
            "control",
            dash="dot",
        ),
        AttackSpec(
            "sign_noise",
            SignNoise,
            "random ±ε noise",
            "Random noise of the same size: every value moves by ε, its sign drawn at random, and is cut to [0, 1].",
            "control",
            dash="2px,8px",
        ),
        AttackSpec(
            "fgsm_unclipped",
            UnclippedFGSM,
            "FGSM, not clipped",
            "FGSM whose images leave [0, 1], as a study computed it.",
            "study fault",
        ),
        AttackSpec(
            "fgsm_output_gradient",
            OutputGradientFGSM,
            "FGSM, output gradient",
            "One step along the gradient of the summed probabilities, which is zero but for rounding, as a study computed it.",
            "study fault",
        ),
    )
}


def _counts(title: str, steps: int, restarts: int, usual: int = 0) -> str:
    """The title with steps and restarts; `usual` steps of a single start are left out."""
    if restarts > 1:
        return f"{title}-{steps}-{restarts}"
    return title if steps == usual else f"{title}-{steps}"


def offered() -> dict[str, AttackSpec]:
    """The attacks that people can choose: all but those that only repeat a study's fault."""
    return {name: spec for name, spec in ATTACKS.items() if spec.role != "study fault"}


def attack_named(name: str, **options: object) -> Attack:
    """The attack called `name`, with those of the options that it has; the others are ignored.

    Raises AttackError for an unknown name, for an option out of range, or when an attack that has no target is `targeted`.
    """
    if name not in ATTACKS:
        raise AttackError(f"There is no attack '{name[:40]}'; choose one of {', '.join(offered())}.")
    spec = ATTACKS[name]
    if options.get("targeted") and not spec.targetable:
        able = [other.name for other in offered().values() if other.targetable]
        raise AttackError(f"The attack '{name}' cannot be targeted; choose one of {', '.join(able)}.")
    return spec.kind(**{key: value for key, value in options.items() if key in spec.kind.__dataclass_fields__})  # type: ignore[arg-type]


def spec_of(attack: Attack) -> AttackSpec | None:
    """The entry of an attack's class; None for a class without one."""
    return next((spec for spec in ATTACKS.values() if spec.kind is type(attack)), None)


def title(attack: Attack) -> str:
    """A configured attack's name for people: `FGSM`, `PGD-20`, `PGD-50-10` (steps, restarts), `PGD-20 L2`, `random noise`.

    An attack without an entry is called by its class.
    """
    spec = spec_of(attack)
    if spec is None:
        return type(attack).__name__
    words = spec.label(attack) if spec.label else spec.title
    return words if attack.norm == spec.kind.__dataclass_fields__["norm"].default else f"{words} {NORM_TITLES[attack.norm]}"


def python_call(attack: Attack) -> str:
    """Python that makes the attack, with the options that differ from their defaults: `attack_named('pgd', steps=50)`.

    The attack's class must have an entry in `ATTACKS`.
    """
    spec = spec_of(attack)
    assert spec is not None
    fields = [field for field in dataclasses.fields(attack) if getattr(attack, field.name) != field.default]
    words = [f"{field.name}={getattr(attack, field.name)!r}" for field in fields]
    return f"attack_named({', '.join([repr(spec.name), *words])})"
