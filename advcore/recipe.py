"""The Recipe: everything that decides a training run, frozen, JSON in and out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from advcore.errors import RecipeError

Defense = Literal["standard", "fgsm", "fgsm_rs", "pgd", "trades", "distill"]
DEFENSES: dict[str, str] = {
    "standard": "none: the clean images alone",
    "fgsm": "clean + FGSM batch at full ε, as the studies do it",
    "fgsm_rs": "FGSM from a random start (Wong et al. 2020)",
    "pgd": "PGD images alone (Madry et al. 2018)",
    "trades": "clean loss + β · distance to the attacked answer (Zhang et al. 2019)",
    "distill": "defensive distillation (Papernot et al. 2016), with FGSM images if ε > 0",
}
OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("constant", "cosine", "cyclic")
AUGMENTATIONS = ("flip", "rotate", "crop")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run. ε and `step_size` are L∞ in pixel space.

    Raises RecipeError when a value, or two together, cannot be trained. Equal recipes give equal weights on one machine.
    """

    dataset: str
    architecture: str
    defense: Defense = "standard"
    epsilon: float = 0.0
    epochs: int = 10
    batch_size: int = 128
    seed: int = 0
    images: int | None = None
    """How many training images to use, from the first on; None uses all."""
    width: int | None = None
    """Channels of a residual network's first stage; None takes the architecture's own."""
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 0.001
    schedule: Literal["constant", "cosine", "cyclic"] = "constant"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    augment: tuple[str, ...] = ()
    """Any of flip (left-right), rotate (up to 15°) and crop (shifts of up to an eighth)."""
    warm_start: str | None = None
    """Checkpoint whose weights training starts from."""
    attack_steps: int = 7
    """Steps of the training attack of `pgd` and `trades`."""
    step_size: float | None = None
    """Step of the training attack; None takes 1.25 ε for fgsm_rs and 2.5 ε / steps for the others."""
    trades_beta: float = 6.0
    teacher: str | None = None
    """Checkpoint that `distill` learns from."""
    temperature: float = 20.0
    averaging: float = 0.0
    """Decay of the running average of the weights that is kept instead of the last ones; 0 keeps the last."""
    keep_best: bool = False
    """Keep, instead of the last weights, the latest whose held-out PGD accuracy is within one standard error of the best."""
    held_out: int = 256
    """Training images kept apart to watch the accuracies; 0 trains on every image and watches none."""
    evaluations: int = 10
    """How many times the accuracies are measured during the run."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", tuple(self.augment))
        for name, allowed in (("defense", DEFENSES), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            _one_of(name, getattr(self, name), allowed)
        for step in self.augment:
            _one_of("augmentation", step, AUGMENTATIONS)
        for name, low, high in _RANGES:
            _within(name, getattr(self, name), low, high)
        if self.defense in {"fgsm", "fgsm_rs", "pgd", "trades"} and self.epsilon == 0:
            raise RecipeError(f"The defense '{self.defense}' needs an ε above 0: it trains on images attacked with it.")
        if self.defense == "standard" and self.epsilon > 0:
            raise RecipeError("The defense 'standard' trains on clean images and has no ε; leave it out or choose another.")
        if self.defense == "distill" and not self.teacher:
            raise RecipeError("The defense 'distill' needs a teacher; name the checkpoint to learn from.")
        if self.teacher and self.defense != "distill":
            raise RecipeError(f"The defense '{self.defense}' has no teacher; leave it out or choose 'distill'.")
        if self.keep_best and not (self.held_out and self.evaluations):
            raise RecipeError("Keeping the best weights needs held-out images and evaluations to tell which they are.")
        if self.images is not None and self.images <= self.held_out:
            raise RecipeError(f"Of {self.images} images {self.held_out} are held out and none is left to train on; use more.")

    @property
    def checkpoint_id(self) -> str:
        """`dataset/architecture-defense[-epsilon]`, for example `mnist/lee_cnn-fgsm-0.3`."""
        budget = f"-{self.epsilon:.4g}" if self.epsilon else ""
        return f"{self.dataset}/{self.architecture}-{self.defense}{budget}"

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, and dataset, architecture and defense always."""
        always = {"dataset", "architecture", "defense", "epsilon", "epochs", "seed"}
        values = asdict(self) | {"augment": list(self.augment)}
        defaults = {item.name: item.default for item in fields(self)} | {"augment": []}
        return {name: value for name, value in values.items() if name in always or value != defaults[name]}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, values: Any) -> Recipe:
        """The recipe those values describe; raises RecipeError for an unknown field, a wrong type or a missing value."""
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
        """The recipe in a JSON text, or in the bytes of a file; raises RecipeError when it is none."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"The recipe is not valid JSON ({str(error)[:80]}); correct it.") from error
        return cls.from_dict(values)


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("epsilon", 0, 1),
    ("epochs", 1, 10_000),
    ("batch_size", 1, 65_536),
    ("seed", 0, 2**31 - 1),
    ("images", 1, 10**9),
    ("width", 4, 256),
    ("learning_rate", 1e-7, 10),
    ("weight_decay", 0, 1),
    ("label_smoothing", 0, 0.9),
    ("attack_steps", 1, 1000),
    ("step_size", 1e-6, 1),
    ("trades_beta", 0, 1000),
    ("temperature", 0.01, 1000),
    ("averaging", 0, 0.99999),
    ("held_out", 0, 10_000),
    ("evaluations", 0, 1000),
)


def _one_of(name: str, value: object, allowed: object) -> None:
    if value not in allowed:  # type: ignore[operator]
        raise RecipeError(f"There is no {name} '{str(value)[:40]}'; choose one of {', '.join(allowed)}.")  # type: ignore[arg-type]


def _within(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise RecipeError(f"The recipe's {name} must lie between {low:g} and {high:g}, not {str(value)[:40]}.")


def _typed(name: str, kind: str, value: Any) -> Any:
    """`value` if JSON gave it the type the field has (a whole number will do for a float)."""
    if value is None and "None" in kind:
        return None
    if kind.startswith("tuple"):
        right = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    elif kind.startswith("bool"):
        right = isinstance(value, bool)
    elif kind.startswith("int"):
        right = isinstance(value, int) and not isinstance(value, bool)
    elif kind.startswith("float"):
        right = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    else:
        right = isinstance(value, str) and len(value) <= 200 and value.isprintable()
    if not right:
        raise RecipeError(f"The recipe's {name} cannot be {json.dumps(value)[:60]}; it is of type {kind}.")
    return float(value) if kind.startswith("float") else value
