"""The Recipe: everything that decides a training run, frozen, JSON in and out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from advcore.defenses import DEFENSES, Setting
from advcore.defenses.base import ATTACK_STEPS, STEP_SIZE
from advcore.defenses.noise import SIGMA
from advcore.defenses.temperature import TEMPERATURE
from advcore.defenses.trades import BETA
from advcore.errors import RecipeError

# What a recipe can choose from, each with its title.
OPTIMIZERS = {"adam": "Adam", "sgd": "SGD with momentum 0.9", "muon": "Muon (Jordan 2024)"}
SCHEDULES = {
    "constant": "constant",
    "cosine": "cosine, down to zero",
    "linear": "linear, down to zero",
    "cyclic": "cyclic: up for 30 % of the run, then down to zero",
}
AUGMENTATIONS = {
    "flip": "mirror left-right at random",
    "alternate_flip": "mirror left-right in every other epoch",
    "rotate": "turn up to 15°",
    "crop": "shift up to an eighth, zeros drawn in",
    "shift": "shift up to 2 pixels, mirrored at the border",
    "cutout": "paint a square of three eighths of the side grey (DeVries & Taylor 2017)",
}


def _number(name: str, title: str, default: float | None, low: float, high: float, **look: Any) -> Any:
    return _of(Setting(name, title, default, low, high, **look))


def _of(setting: Setting) -> Any:
    return field(default=setting.default, metadata={"setting": setting})


def _other(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run. ε and `step_size` are L∞ in pixel space.

    Raises RecipeError when a value, or two together, cannot be trained. Equal recipes give equal weights on one machine.
    """

    dataset: str
    architecture: str
    defense: str = "standard"
    epsilon: float = _number(
        "epsilon", "ε of the training attack", 0.0, 0, 1, epsilon=True, help="L∞ in pixel space: 0.1 or 8/255"
    )
    epochs: int = _number("epochs", "Epochs", 10, 1, 10_000)
    standard_epochs: int = _number(
        "standard_epochs",
        "Standard epochs",
        0,
        0,
        9_999,
        help="How many of the epochs, the first ones, are standard training (Gupta et al. 2020: delayed adversarial training)",
    )
    restart: int = _number(
        "restart",
        "Schedule restart",
        0,
        0,
        9_999,
        help="After how many epochs the learning rate's schedule begins again (Loshchilov & Hutter 2017), here from the "
        "averaged weights; 0: never",
    )
    batch_size: int = _number("batch_size", "Batch size", 128, 1, 65_536)
    seed: int = _number("seed", "Seed", 0, 0, 2**31 - 1)
    images: int | None = _number(
        "images", "Images to use", None, 1, 10**9, step=1000, help="The first ones of the training split", empty="all"
    )
    width: int | None = _number(
        "width", "Width", None, 4, 256, help="Channels of the first stage", empty="the architecture's own"
    )
    optimizer: str = "adam"
    learning_rate: float = _number("learning_rate", "Learning rate", 0.001, 1e-7, 10, step=1e-4, digits=5)
    schedule: str = "constant"
    weight_decay: float = _number("weight_decay", "Weight decay", 0.0, 0, 1, step=1e-4, digits=5)
    label_smoothing: float = _number("label_smoothing", "Label smoothing", 0.0, 0, 0.9, step=0.05, digits=2)
    augment: tuple[str, ...] = ()
    warm_start: str | None = _other(None, "checkpoint whose weights training starts from")
    attack_steps: int = _of(ATTACK_STEPS)
    step_size: float | None = _of(STEP_SIZE)
    trades_beta: float = _of(BETA)
    teacher: str | None = _other(None, "checkpoint that the defense learns from")
    temperature: float = _of(TEMPERATURE)
    sigma: float = _of(SIGMA)
    averaging: float = _number(
        "averaging",
        "Weight averaging",
        0.0,
        0,
        0.99999,
        step=0.01,
        digits=5,
        help="Decay of the running average of the weights that is kept; after t steps at most (1 + t) / (10 + t). "
        "0 keeps the last weights",
    )
    keep_best: bool = _other(
        False, "keep the latest weights whose held-out PGD accuracy is within one standard error of the best"
    )
    held_out: int = _number(
        "held_out",
        "Held-out images",
        256,
        0,
        10_000,
        step=64,
        help="Training images kept apart to measure accuracy during the run",
    )
    evaluations: int = _number("evaluations", "Evaluations during the run", 10, 0, 1000)

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", tuple(self.augment))
        for name, allowed in (("defense", DEFENSES), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            _one_of(name, getattr(self, name), allowed)
        for step in self.augment:
            _one_of("augmentation", step, AUGMENTATIONS)
        for name, setting in SETTINGS.items():
            value = getattr(self, name)
            if value is not None and not setting.low <= value <= setting.high:
                low, high = setting.low, setting.high
                raise RecipeError(f"The recipe's {name} must lie between {low:g} and {high:g}, not {str(value)[:40]}.")
        defense = DEFENSES[self.defense]
        if defense.epsilon == "required" and self.epsilon == 0:
            raise RecipeError(f"The defense '{self.defense}' needs an ε above 0: it trains on images attacked with it.")
        if defense.epsilon == "none" and self.epsilon > 0:
            raise RecipeError(
                f"The defense '{self.defense}' trains on no attacked images and has no ε; leave it out or choose another."
            )
        if defense.needs_teacher and not self.teacher:
            raise RecipeError(f"The defense '{self.defense}' needs a teacher; name the checkpoint to learn from.")
        if self.teacher and not defense.needs_teacher:
            raise RecipeError(f"The defense '{self.defense}' has no teacher; leave it out or choose 'distill'.")
        if self.standard_epochs >= self.epochs:
            raise RecipeError(
                f"Of {self.length}, {self.standard_epochs} are standard training and none is left for the defense; add epochs."
            )
        if self.restart >= self.epochs:
            raise RecipeError(f"Of {self.length}, none is left after a restart at {self.restart}; add epochs.")
        if self.keep_best and not (self.held_out and self.evaluations):
            raise RecipeError("Keeping the best weights needs held-out images and evaluations; set both above 0.")
        if self.images is not None and self.images <= self.held_out:
            raise RecipeError(f"Of {self.images} images {self.held_out} are held out and none is left to train on; use more.")

    @property
    def length(self) -> str:
        """`1 epoch` or `30 epochs`."""
        return f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"

    @property
    def parts(self) -> tuple[Recipe, ...]:
        """The run as one training after another, each with one defense in all its epochs."""
        defended = replace(self, epochs=self.epochs - self.standard_epochs, standard_epochs=0, restart=0)
        if not self.standard_epochs:
            return (defended,)
        first = {"defense": "standard", "epsilon": 0.0, "teacher": None, "epochs": self.standard_epochs}
        return replace(defended, **first), defended

    @property
    def strength(self) -> tuple[str, float]:
        """What the defense trains against, as a sign and a value: ε (0 for none), σ or T."""
        sign, name = DEFENSES[self.defense].strength
        return sign, getattr(self, name)

    @property
    def checkpoint_id(self) -> str:
        """`dataset/architecture-defense[-strength]`, for example `mnist/lee_cnn-fgsm-0.3`."""
        strength = f"-{self.strength[1]:.4g}" if self.strength[1] else ""
        return f"{self.dataset}/{self.architecture}-{self.defense}{strength}"

    @property
    def command(self) -> str:
        """The command line that trains with this recipe."""
        words = ["python", "-m", "advcore", "train"]
        for name, value in self.to_dict().items():
            values = [] if value is True else value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *(str(item) for item in values)]
        return shlex.join(words)

    def every_field(self) -> dict[str, Any]:
        """All fields as JSON has them."""
        return asdict(self) | {"augment": list(self.augment)}

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, and dataset, architecture and defense always."""
        always = {"dataset", "architecture", "defense", "epsilon", "epochs", "seed"}
        values = self.every_field()
        defaults = {item.name: item.default for item in fields(self)} | {"augment": []}
        return {name: value for name, value in values.items() if name in always or value != defaults[name]}

    def to_json(self) -> str:
        """`to_dict` as a JSON text with sorted keys."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, values: Any) -> Recipe:
        """The recipe described by `values`; raises RecipeError for an unknown field, a wrong type or a missing value."""
        if not isinstance(values, Mapping):
            raise RecipeError("A recipe is a JSON object of fields and values; write it as {…}.")
        kinds = {item.name: item.type for item in fields(cls)}
        if unknown := [repr(name)[:40] for name in values if name not in kinds]:
            raise RecipeError(f"A recipe has no field {unknown[0]}; its fields are {', '.join(kinds)}.")
        for name in ("dataset", "architecture"):
            if name not in values:
                raise RecipeError(f"The recipe does not say its {name}; add it.")
        return cls(**{name: _typed(name, str(kinds[name]), value) for name, value in values.items()})

    @classmethod
    def from_json(cls, text: str | bytes) -> Recipe:
        """The recipe in a JSON text, or in the bytes of a file; raises RecipeError when it does not hold one."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"The recipe is not valid JSON ({str(error)[:80]}); correct it.") from error
        return cls.from_dict(values)


SETTINGS: dict[str, Setting] = {item.name: item.metadata["setting"] for item in fields(Recipe) if "setting" in item.metadata}
"""The numbers of a recipe by the name of their field."""


def explained(name: str) -> str:
    """What the field `name` holds, for `--help`: its meaning, its range or its choices."""
    if name == "defense":
        return "; ".join(f"{name}: {item.described}" for name, item in DEFENSES.items())
    choices = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "augment": AUGMENTATIONS}.get(name)
    if choices:
        return "; ".join(f"{choice}: {title}" for choice, title in choices.items())
    if name in SETTINGS:
        setting = SETTINGS[name]
        default = setting.empty if setting.default is None else f"{setting.default:g}"
        return f"{setting.help or setting.title}; {setting.low:g} to {setting.high:g}, default: {default}"
    return Recipe.__dataclass_fields__[name].metadata.get("help", "")


def _one_of(name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise RecipeError(f"There is no {name} '{str(value)[:40]}'; choose one of {', '.join(allowed)}.")


def _typed(name: str, kind: str, value: Any) -> Any:
    """`value` if JSON gave it the type the field has (a whole number will do for a float)."""
    if value is None and "None" in kind:
        return None
    if kind.startswith("tuple"):
        right = isinstance(value, list | tuple) and all(_is_name(item) for item in value)
    elif kind.startswith("bool"):
        right = isinstance(value, bool)
    elif kind.startswith("int"):
        right = isinstance(value, int) and not isinstance(value, bool)
    elif kind.startswith("float"):
        right = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    else:
        right = _is_name(value)
    if not right:
        raise RecipeError(f"The recipe's {name} cannot be {json.dumps(value)[:60]}; it is of type {kind}.")
    return float(value) if kind.startswith("float") else value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200 and value.isprintable()
