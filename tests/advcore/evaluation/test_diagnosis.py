"""Whether a robustness can be believed: the definition of masked, the ten checks and their verdict."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advcore import data
from advcore.attacks import Norm
from advcore.data import LabeledImages
from advcore.errors import AdvcoreError
from advcore.evaluation.diagnosis import CHECKS, Check, Diagnosis, Effort, diagnose, diagnosis_at, masking
from advcore.evaluation.figures import strongest
from advcore.evaluation.interval import wilson_interval
from advcore.evaluation.masking import masked
from advcore.models import checkpoints
from advcore.models.checkpoints import Checkpoint

LITTLE = Effort(steps=8, more_steps=20, restarts=3, draws=30, queries=60)


def with_figures(fgsm: float, pgd: float, epsilon: float = 0.2, name: str = "digits/digits_cnn-fgsm-0.2") -> Checkpoint:
    """A shipped checkpoint with these accuracies in its header, at one ε."""
    rows = (("FGSM", fgsm), ("PGD-20", pgd))
    found = [{"attack": title, "epsilon": epsilon, "images": 10, "accuracy": share} for title, share in rows]
    return replace(checkpoints.find(name), metrics={"attacks": found})


def test_masked_is_a_large_gap_between_a_single_step_and_stronger_attacks() -> None:
    assert masked(0.9, 0.6)
    assert not masked(0.9, 0.61)
    assert not masked(0.1, 0.9)


def test_masking_is_said_of_a_defended_model_at_the_epsilon_it_claims() -> None:
    assert "masked" in str(masking(with_figures(0.97, 0.0)))
    assert masking(with_figures(0.6, 0.5)) is None
    assert masking(with_figures(0.97, 0.0, epsilon=0.3)) is None, "this model claims ε = 0.2"
    assert masking(with_figures(0.97, 0.0, name="digits/digits_cnn-standard")) is None, "it claims nothing"
    assert masking(replace(with_figures(0.97, 0.0), metrics={})) is None


def test_autoattack_counts_among_the_stronger_attacks() -> None:
    held = with_figures(0.8, 0.7)
    found = {"norm": "linf", "epsilon": 0.2, "images": 20, "accuracy": 0.3, "survivors": {"clean": 18, "APGD-CE": 6}}
    assert "AutoAttack" in str(masking(replace(held, metrics=held.metrics | {"autoattack": found})))


@pytest.mark.parametrize(("norm", "epsilon", "found"), [("linf", 0.2, True), ("l2", 0.2, False), ("linf", 0.4, False)])
def test_a_diagnosis_in_the_header_counts_at_its_epsilon_and_in_its_norm(norm: Norm, epsilon: float, found: bool) -> None:
    seen = Diagnosis(epsilon, norm, 10, 10, True, 1, {"gradients": {"dead": 0}})
    known = with_figures(0.6, 0.5)
    known = replace(known, metrics=known.metrics | {"diagnosis": seen.to_dict()})
    assert (diagnosis_at(known, 0.2) is not None) == found
    assert (strongest(known.metrics, 0.2) or {})["accuracy"] == (0.1 if found else 0.5)


def test_a_diagnosis_that_fails_a_check_is_masking() -> None:
    known = with_figures(0.6, 0.5)
    for dead, said in ((0, False), (10, True)):
        seen = Diagnosis(0.2, "linf", 10, 10, True, 5, {"gradients": {"dead": dead}})
        there = replace(known, metrics=known.metrics | {"diagnosis": seen.to_dict()})
        assert (masking(there) is not None) == said == bool(seen.failed)


# --- a model that passes, and one for each check that fails it -----------------------------------------------------------


def lights(model: nn.Module, images: LabeledImages, epsilon: float, **options: Any) -> dict[str, str]:
    *_, last = diagnose(model, images, epsilon, **({"effort": LITTLE} | options))
    return {check.key: check.light for check in last.diagnosis.checks}


def test_a_robust_model_passes_every_check(digits: LabeledImages) -> None:
    model, other = (checkpoints.find(f"digits/digits_cnn-{name}").model() for name in ("fgsm-0.2", "standard"))
    *_, last = diagnose(model, digits[:60], 0.05, other=other, effort=LITTLE)
    assert {check.light for check in last.diagnosis.checks} <= {"holds", "doubtful"}
    assert not last.diagnosis.failed
    assert (last.share, last.check) == (1.0, None)
    right = round(checkpoints.find("digits/digits_cnn-fgsm-0.2").metrics["clean"] * 60)
    assert 30 < last.diagnosis.robust < right + 2


class OneValue(nn.Module):
    """Images of one value x; label 0 is right while `lead(x)` is above 0."""

    def lead(self, value: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        lead = self.lead(images.flatten(1).mean(1))
        return torch.stack([lead, torch.zeros_like(lead)], 1)


def one_value(low: float = 0.4, high: float = 0.45, count: int = 40) -> LabeledImages:
    """Images 1×1×1 of values between `low` and `high`, all of label 0."""
    values = torch.linspace(255 * low, 255 * high, count).round().to(torch.uint8)
    return LabeledImages(values.view(-1, 1, 1, 1), torch.zeros(count, dtype=torch.int64), ("inside", "outside"))


class Wave(OneValue):
    """A full step of 0.1 in either direction ends where the lead is as large as before; between, it is lost."""

    def lead(self, value: Tensor) -> Tensor:
        return 0.3 + torch.sin(2 * math.pi * (value - 0.39) / 0.1)


class Rugged(OneValue):
    """Many small valleys of which a few are deep: where an attack starts decides what it finds."""

    def lead(self, value: Tensor) -> Tensor:
        return 1.3 + torch.cos(2 * math.pi * value / 0.013) + 0.5 * torch.cos(2 * math.pi * value / 0.07 + 1)


class Overconfident(OneValue):
    """Logits so far apart that the gradient of the cross-entropy is zero in float32."""

    def lead(self, value: Tensor) -> Tensor:
        return 1e5 * (0.5 - value)


class Steps(OneValue):
    """The image is rounded before it is classified, so that no gradient gets through."""

    def lead(self, value: Tensor) -> Tensor:
        return 0.5 - (value > 0.5).float() + 0 * value


class Smooth(OneValue):
    """The same decision as `Steps`, with a gradient."""

    def lead(self, value: Tensor) -> Tensor:
        return 0.5 - value


class Random(OneValue):
    """A new answer each time."""

    def lead(self, value: Tensor) -> Tensor:
        return 0.5 - value + 0.3 * torch.randn_like(value)


@pytest.mark.parametrize(
    ("key", "model", "epsilon", "effort"),
    [
        ("single_step", Wave(), 0.1, replace(LITTLE, steps=20)),
        ("more_steps", Wave(), 0.1, replace(LITTLE, steps=1, more_steps=40)),
        ("restarts", Rugged(), 0.1, replace(LITTLE, steps=20, more_steps=20, restarts=30)),
        ("margin_loss", Overconfident(), 0.15, LITTLE),
        ("rising_epsilon", Steps(), 0.05, LITTLE),
        ("noise", Steps(), 0.15, replace(LITTLE, restarts=1, draws=60)),
        ("black_box", Steps(), 0.15, replace(LITTLE, restarts=1)),
        ("transfer", Steps(), 0.15, replace(LITTLE, restarts=1)),
        ("gradients", Steps(), 0.1, LITTLE),
        ("deterministic", Random(), 0.05, LITTLE),
    ],
)
def test_each_check_fails_on_a_model_built_to_fail_it(key: str, model: nn.Module, epsilon: float, effort: Effort) -> None:
    torch.manual_seed(0)
    *_, last = diagnose(model, one_value(), epsilon, other=Smooth(), effort=effort)
    check = next(check for check in last.diagnosis.checks if check.key == key)
    assert check.light == "fails", check.sentence
    number = list(CHECKS).index(key) + 1
    assert number in last.diagnosis.failed
    assert last.diagnosis.verdict.startswith("Masked")


def test_a_smooth_model_passes_the_same_checks() -> None:
    found = lights(Smooth(), one_value(), 0.05, other=Smooth())
    assert set(found.values()) == {"holds"}


def test_an_undefended_model_is_not_masked(digits: LabeledImages) -> None:
    found = {name: lights(Wave(), one_value(), 0.1, defended=name)["single_step"] for name in (True, False)}
    assert found == {True: "fails", False: "holds"}


def test_a_single_step_that_beats_many_fails() -> None:
    check = Check("single_step", 100, 10, True, {"single_step": 40, "iterative": 60})
    assert check.light == "fails"


def test_noise_that_fools_as_many_images_as_the_attack_does_not_hold() -> None:
    judged = [Check("noise", 1000, 10, True, {"noise": noise, "attack": attack}).light for noise, attack in ((15, 3), (15, 30))]
    assert judged == ["doubtful", "holds"]


def test_a_few_images_beyond_the_gradient_attacks_are_doubtful_until_they_cannot_be_chance() -> None:
    judged = [
        Check("black_box", images, 10, True, {"beyond": beyond}).light for images, beyond in ((200, 0), (200, 3), (2000, 30))
    ]
    assert judged == ["holds", "doubtful", "fails"]


def test_where_no_image_is_left_a_check_says_nothing() -> None:
    counts = {
        "single_step": {"single_step": 0, "iterative": 0},
        "more_steps": {"before": 0, "after": 0},
        "margin_loss": {"before": 0, "after": 0},
        "rising_epsilon": dict.fromkeys(("half", "same", "double", "largest"), 0),
        "black_box": {"beyond": 0},
        "transfer": {"beyond": 0},
        "deterministic": {"changed": 0},
    }
    lost = found(robust=0, counts=counts)
    lights = {check.key: check.light for check in lost.checks if check.counts}
    assert lights == dict.fromkeys(counts, "says nothing") | {"deterministic": "holds"}
    assert not lost.failed, "it fails none"
    for key in ("more_steps", "margin_loss"):
        left = found(counts=counts | {key: {"before": 5, "after": 5}})
        assert {check.key: check.light for check in left.checks}[key] == "holds"
    assert {check.key: check.light for check in left.checks}["black_box"] == "holds", "five images were left to it"


class Hump(OneValue):
    """The label is lost on a narrow strip at half of ε; at the whole ε, where every step ends, it is safe again."""

    def lead(self, value: Tensor) -> Tensor:
        return (value - 0.55).abs() - 0.01


def test_an_image_fooled_within_half_of_epsilon_counts_as_fooled() -> None:
    images = one_value(0.45, 0.45, 4)
    *_, last = diagnose(Hump(), images, 0.2, effort=replace(LITTLE, steps=1, more_steps=1, restarts=1, draws=1, queries=1))
    left = last.diagnosis.counts["rising_epsilon"]
    assert last.diagnosis.robust <= min(left["half"], left["same"])


def test_the_largest_epsilon_is_never_below_the_one_that_is_judged() -> None:
    images = one_value(0.0, 0.0, 8)
    assert lights(Far(), images, 0.9)["rising_epsilon"] != "fails"


class Far(OneValue):
    """Lost only above 0.7, so that ε = 0.5 is too small for a black image and ε = 0.9 is not."""

    def lead(self, value: Tensor) -> Tensor:
        return 0.7 - value


# --- the result ----------------------------------------------------------------------------------------------------------


def found(**changes: Any) -> Diagnosis:
    counts = {"single_step": {"single_step": 60, "iterative": 50}, "gradients": {"dead": 0}}
    values = {"epsilon": 0.1, "norm": "linf", "images": 100, "classes": 10, "defended": True, "robust": 48, "counts": counts}
    return Diagnosis(**(values | changes))


def test_the_verdict_names_the_bound_its_interval_and_what_failed() -> None:
    assert found().interval == wilson_interval(48, 100)
    assert not found().failed
    assert found().conclusion == "Believable"
    assert "48.0 %" in found().verdict
    unsure = found(counts={"gradients": {"dead": 2}})
    assert (unsure.conclusion, unsure.numbers("doubtful")) == ("Doubtful", (9,))
    assert "check 9 is doubtful" in unsure.verdict
    assert found(defended=False).conclusion == "Not defended"
    bad = found(counts={"single_step": {"single_step": 90, "iterative": 50}, "gradients": {"dead": 50}})
    assert bad.failed == (1, 9)
    assert "checks 1 and 9 fail" in bad.verdict


def test_what_was_not_run_says_so() -> None:
    lights = {check.key: check.light for check in found().checks}
    assert lights["transfer"] == lights["noise"] == "not run"
    assert len(lights) == 10


def test_a_diagnosis_survives_json_and_adds_up() -> None:
    again = Diagnosis.from_dict(json.loads(json.dumps(found().to_dict())))
    assert again == found()
    both = found() + found()
    assert (both.images, both.robust, both.counts["single_step"]) == (200, 96, {"single_step": 120, "iterative": 100})
    with pytest.raises(AdvcoreError, match="add only"):
        found() + found(epsilon=0.2)


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": "x"},
        {"epsilon": 7},
        {"norm": "l7"},
        {"images": -1},
        {"images": 10},
        {"images": math.inf},
        {"robust": 101},
        {"robust": 0.5},
        {"counts": 3},
        {"counts": {"gradients": {"dead": "many"}}},
        {"counts": {"gradients": {}}},
    ],
)
def test_a_header_that_is_no_diagnosis_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AdvcoreError):
        Diagnosis.from_dict(found().to_dict() | changes)


def test_an_interrupted_diagnosis_goes_on_and_ends_the_same(digits: LabeledImages) -> None:
    model, few = checkpoints.find("digits/digits_cnn-fgsm-0.2").model(), digits[:24]
    *_, whole = diagnose(model, few, 0.2, effort=LITTLE)
    for seen in diagnose(model, few, 0.2, effort=LITTLE):
        if seen.check == "noise":
            break
    state = json.loads(json.dumps(seen.state))
    first, *_, last = diagnose(model, few, 0.2, effort=LITTLE, state=state)
    assert first.check == "noise"
    assert first.share == pytest.approx(seen.share)
    assert last.diagnosis == whole.diagnosis
    with pytest.raises(AdvcoreError, match="begun"):
        next(diagnose(model, few, 0.1, effort=LITTLE, state=state))
    for damage in ({"diagnosis": "none"}, {"fooled": [24]}, {"white_box": "all"}):
        begun, fresh = (next(diagnose(model, few, 0.2, effort=LITTLE, state=of)) for of in (state | damage, None))
        assert (begun.share, begun.diagnosis) == (fresh.share, fresh.diagnosis)


def test_progress_only_grows_and_a_batch_changes_nothing(digits: LabeledImages) -> None:
    model, few = checkpoints.find("digits/digits_cnn-fgsm-0.2").model(), digits[:20]
    runs = [list(diagnose(model, few, 0.2, effort=LITTLE, batch_size=size)) for size in (20, 7)]
    for run in runs:
        shares = [step.share for step in run]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
    assert runs[0][-1].diagnosis == runs[1][-1].diagnosis


def test_no_images_cannot_be_diagnosed(digits: LabeledImages) -> None:
    with pytest.raises(AdvcoreError, match="at least one image"):
        next(diagnose(Smooth(), data.load("digits")[:0], 0.1))
