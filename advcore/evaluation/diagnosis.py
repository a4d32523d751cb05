"""Whether a measured robustness can be believed: the checks of one model at one ε, their verdict, and what a header says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from advcore.attacks import Norm, check_epsilon
from advcore.data import LabeledImages
from advcore.device import Precision
from advcore.errors import AdvcoreError
from advcore.evaluation.checks import CHECKS, USUAL, Check, Counts, Effort, Light, Run
from advcore.evaluation.figures import claimed_epsilon
from advcore.evaluation.interval import wilson_interval
from advcore.evaluation.masking import masking_of
from advcore.models.checkpoints import Checkpoint
from advcore.models.headers import rows_in

Conclusion = Literal["Believable", "Doubtful", "Not defended", "Masked"]
UPPER_BOUND = (
    "Attacks give upper bounds only: an image that they do not fool may be fooled by another attack. "
    "A certified radius gives a lower bound."
)


# --- the figures in a header -----------------------------------------------------------------------------------------


def masking(checkpoint: Checkpoint) -> str | None:
    """A sentence where the figures in a defended checkpoint's header show that its robustness is masked, else None."""
    claimed = claimed_epsilon(checkpoint)
    if not checkpoint.defended or claimed is None:
        return None
    if sentence := masking_of(rows_in(checkpoint.metrics), claimed):
        return sentence
    found = diagnosis_at(checkpoint, claimed)
    if found is None or not found.failed:
        return None
    return (
        f"fails {len(found.failed)} of the checks at ε = {claimed:.3g}, so its measured robustness cannot be believed: at most "
        f"{100 * found.accuracy:.1f} % of {found.images:,} test images hold"
    )


def diagnosis_at(checkpoint: Checkpoint, epsilon: float) -> Diagnosis | None:
    """The diagnosis in a checkpoint's header at one ε in L∞, or None where it has none or one that cannot be read."""
    try:
        found = diagnosis_of(checkpoint)
    except AdvcoreError:
        return None
    return found if found and found.norm == "linf" and math.isclose(found.epsilon, epsilon, abs_tol=1e-6) else None


def diagnosis_of(checkpoint: Checkpoint) -> Diagnosis | None:
    """The diagnosis in a checkpoint's header, or None."""
    found = checkpoint.metrics.get("diagnosis")
    return Diagnosis.from_dict(found) if found else None


def other_model(checkpoint: Checkpoint, known: Iterable[Checkpoint]) -> Checkpoint | None:
    """The model on which carried-over attacks are made, or None: another one of the same images and classes.

    Undefended ones of the same architecture are preferred.
    """
    alike = [
        item
        for item in known
        if item.id != checkpoint.id and (item.shape, item.class_names) == (checkpoint.shape, checkpoint.class_names)
    ]
    return min(alike, key=lambda item: (item.defended, item.architecture != checkpoint.architecture), default=None)


# --- the result ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Diagnosis:
    """The checks of one model at one ε (pixel space, in `norm`) on the first `images` test images.

    `robust` counts the images that the model classifies correctly under everything that was run. Diagnoses of disjoint images
    add up.
    """

    epsilon: float
    norm: Norm
    images: int
    classes: int
    defended: bool
    robust: int
    counts: Mapping[str, Counts]

    @property
    def checks(self) -> tuple[Check, ...]:
        """All checks in order; those without counts were not run."""
        left = self.counts.get("margin_loss", {}).get("after")  # the last of the attacks that use the gradient
        return tuple(Check(key, self.images, self.classes, self.defended, self.counts.get(key, {}), left) for key in CHECKS)

    @property
    def accuracy(self) -> float:
        """The share of images, in [0, 1], left after everything that was run: an upper bound on the robust accuracy."""
        return self.robust / self.images if self.images else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson_interval(self.robust, self.images)

    def numbers(self, light: Light) -> tuple[int, ...]:
        """The numbers (from 1) of the checks with this light."""
        return tuple(number for number, check in enumerate(self.checks, 1) if check.light == light)

    @property
    def failed(self) -> tuple[int, ...]:
        """The numbers (from 1) of the checks that fail."""
        return self.numbers("fails")

    @property
    def conclusion(self) -> Conclusion:
        """The conclusion in a word or two."""
        if self.failed:
            return "Masked"
        if not self.defended:
            return "Not defended"
        return "Doubtful" if self.numbers("doubtful") else "Believable"

    @property
    def verdict(self) -> str:
        """The conclusion in one sentence, with the image count and the interval."""
        low, high = (100 * end for end in self.interval)
        most = f"at most {100 * self.accuracy:.1f} % of {self.images:,} test images hold"
        most += f" (95 % interval {low:.1f} to {high:.1f} %)"
        if self.failed:
            return f"Masked: {most}, because {_named(self.failed, 'fails', 'fail')}."
        doubtful, unrun = self.numbers("doubtful"), self.numbers("not run")
        why = f"; {_named(doubtful, 'is doubtful', 'are doubtful')}" if doubtful else ", and nothing tried here brings it lower"
        without = f"; not run: {', '.join(map(str, unrun))}" if unrun else ""
        return f"{self.conclusion}: {most}{why}{without}."

    def __add__(self, other: Diagnosis) -> Diagnosis:
        if replace(self, images=0, robust=0, counts={}) != replace(other, images=0, robust=0, counts={}):
            raise AdvcoreError("Two diagnoses add only at one ε, in one norm and of one model.")
        shared = {
            key: {name: count + other.counts[key][name] for name, count in counts.items()}
            for key, counts in self.counts.items()
            if key in other.counts
        }
        return replace(self, images=self.images + other.images, robust=self.robust + other.robust, counts=shared)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and for a checkpoint's header."""
        return {**vars(self), "counts": {key: dict(counts) for key, counts in self.counts.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Diagnosis:
        """The diagnosis that `to_dict` gave; raises AdvcoreError for invalid values. Unknown checks are left out."""
        try:
            epsilon, norm = check_epsilon(float(values["epsilon"]), values["norm"]), values["norm"]
            images, classes = int(values["images"]), int(values["classes"])
            counts = {
                key: {name: _count(values["counts"][key][name], images) for name in spec.counts}
                for key, spec in CHECKS.items()
                if key in values["counts"]
            }
            if not 0 < images < 10**9 or not 2 <= classes <= 10**6 or norm not in ("linf", "l2"):
                raise ValueError("numbers out of range")
            return cls(epsilon, norm, images, classes, bool(values["defended"]), _count(values["robust"], images), counts)
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise AdvcoreError(f"A recorded diagnosis cannot be read ({str(error)[:80]}); run it again.") from error


def _named(numbers: Sequence[int], one: str, several: str) -> str:
    """The checks of these numbers as the subject of a sentence, with its verb."""
    *first, last = map(str, numbers)
    return f"checks {', '.join(first)} and {last} {several}" if first else f"check {last} {one}"


def _count(value: object, images: int) -> int:
    if type(value) is not int or not 0 <= value <= images:
        raise ValueError("a count is out of range")
    return value


# --- running it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far a diagnosis is.

    `share` of the work is done; the check under way (None at the end), the diagnosis so far, and a `state` in plain JSON values
    from which `diagnose` continues.
    """

    share: float
    check: str | None
    diagnosis: Diagnosis
    state: dict[str, Any]


def diagnose(
    model: nn.Module,
    data: LabeledImages,
    epsilon: float,
    *,
    norm: Norm = "linf",
    defended: bool = True,
    other: nn.Module | None = None,
    effort: Effort = USUAL,
    device: torch.device | None = None,
    state: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    fooled: Tensor | None = None,
    precision: Precision | None = None,
) -> Iterator[Progress]:
    """Carry out the checks one after another at one ε (pixel space, in `norm`), yielding progress; the last one is complete.

    `other` is a second model of the same images, whose attacked images are tried on this one. `defended` says whether the
    model claims to be robust. `state`, of an earlier Progress with the same arguments, continues after its last whole check.
    `fooled` (bool N) are images that another attack is known to fool at this ε: they lower the bound, not the checks. Noise
    and Square search in `precision` (left out: the fastest); what fools the model is decided in fp32. Raises AttackError for
    an ε out of range, AdvcoreError for a state of other images. A damaged state is ignored.
    """
    if not len(data):
        raise AdvcoreError("A diagnosis needs at least one image.")
    check_epsilon(epsilon, norm)
    run = Run(model, data, epsilon, norm, defended, other, effort, device, batch_size, precision)
    _restore(run, state or {})
    if fooled is not None:
        run.fooled |= fooled
    todo = [key for key in CHECKS if key not in run.counts and (key != "transfer" or other is not None)]
    work = sum(CHECKS[key].work(effort) for key in CHECKS) or 1
    done = work - sum(CHECKS[key].work(effort) for key in todo)
    yield Progress(done / work, todo[0] if todo else None, *_stage(run))
    for place, key in enumerate(todo):
        cost = CHECKS[key].work(effort)
        for share in _carry_out(run, key):
            yield Progress((done + cost * share) / work, key, *_stage(run))
        done += cost
        following = todo[place + 1] if place + 1 < len(todo) else None
        yield Progress(done / work if following else 1.0, following, *_stage(run))


def _carry_out(run: Run, key: str) -> Iterator[float]:
    """One check: yields the share of it that is done, and keeps its counts."""
    run.counts[key] = yield from CHECKS[key].measure(run)


def _stage(run: Run) -> tuple[Diagnosis, dict[str, Any]]:
    """The diagnosis of the whole checks, and the state that `_restore` needs: it, and the places of the fooled images."""
    count, classes = len(run.data), len(run.data.class_names)
    robust = count - int(run.fooled.sum())
    found = Diagnosis(run.epsilon, run.norm, count, classes, run.defended, robust, dict(run.counts))
    fooled = {"fooled": run.fooled, "white_box": run.white_box}
    return found, {"diagnosis": found.to_dict()} | {name: of.nonzero()[:, 0].tolist() for name, of in fooled.items()}


def _restore(run: Run, state: Mapping[str, Any]) -> None:
    """Continue from a `state`; a damaged one changes nothing, so that every check is run."""
    try:
        earlier = Diagnosis.from_dict(state["diagnosis"])
        places = {name: [_count(place, len(run.data) - 1) for place in state[name]] for name in ("fooled", "white_box")}
    except (AdvcoreError, KeyError, TypeError, ValueError):
        return
    if replace(earlier, robust=0, counts={}) != replace(_stage(run)[0], robust=0, counts={}):
        raise AdvcoreError("This diagnosis was begun at another ε or on other images; start it again.")
    run.counts = dict(earlier.counts)
    for name, mask in (("fooled", run.fooled), ("white_box", run.white_box)):
        mask[torch.tensor(places[name], dtype=torch.int64)] = True
