"""The ten checks of a diagnosis: what each one measures, and how its counts are judged.

They follow Carlini et al. 2019 ("On Evaluating Adversarial Robustness", arXiv 1902.06705), Athalye et al. 2018 (arXiv
1802.00420) and Croce & Hein 2020 (arXiv 2003.01690). All of them count test images; a check is added by one entry of `CHECKS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from advcore.attacks import (
    FGSM,
    PGD,
    Attack,
    Norm,
    Square,
    UniformNoise,
    evaluating,
    input_gradient,
)
from advcore.data import LabeledImages
from advcore.device import Precision
from advcore.evaluation.curves import Padded, copies, default_batch_size, prepared
from advcore.evaluation.interval import wilson_interval
from advcore.evaluation.masking import MASKED_GAP, masked

Light = Literal["holds", "doubtful", "fails", "says nothing", "not run"]
Counts = Mapping[str, int]
Judgement = tuple[Light, str]
NOTHING_LEFT: Judgement = ("says nothing", "No image is left to compare: every one is already fooled.")


# --- the outcome of a check ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """The outcome of one check: `counts` of test images by name, out of `images`; empty where it was not run.

    `left` is how many images the attacks that use the gradient leave, at most; None if unknown.
    """

    key: str
    images: int
    classes: int
    defended: bool
    counts: Counts
    left: int | None = None

    @property
    def title(self) -> str:
        """What the check asks, in a few words."""
        return CHECKS[self.key].title

    @property
    def light(self) -> Light:
        """holds, doubtful, fails, says nothing (no image was left) or not run."""
        return self._judgement[0]

    @property
    def sentence(self) -> str:
        """What was found, in plain words with its numbers."""
        return self._judgement[1]

    @property
    def _judgement(self) -> Judgement:
        if not self.counts or not self.images:
            return "not run", "This check was not run."
        return CHECKS[self.key].judge(self)

    def share(self, name: str) -> float:
        """One of the counts as a share of the images, in [0, 1]."""
        return self.counts[name] / self.images

    def percent(self, name: str) -> str:
        """One of the counts in percent of the images."""
        return f"{100 * self.share(name):.1f} %"


# --- what the checks work on --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effort:
    """How much each check does."""

    steps: int = 20
    more_steps: int = 100
    restarts: int = 5
    draws: int = 1000
    queries: int = 2000
    seed: int = 0


USUAL = Effort()
Measuring = Generator[float, None, dict[str, int]]
"""A running check: yields the share of it that is done, and returns its counts."""


class Run:
    """The images, the models, and which images have been fooled so far."""

    def __init__(
        self,
        model: nn.Module,
        data: LabeledImages,
        epsilon: float,
        norm: Norm,
        defended: bool,
        other: nn.Module | None,
        effort: Effort,
        device: torch.device | None,
        batch_size: int | None,
        precision: Precision | None,
    ) -> None:
        # Noise and Square use answers alone: they may search in bf16, as what they find is confirmed in fp32.
        self.device, self.model, self.quick = copies(model, device, precision)
        self.raw = model
        self.other = None if other is None else Padded(prepared(other, self.device, "fp32"))
        self.data, self.epsilon, self.norm, self.defended, self.effort = data, epsilon, norm, defended, effort
        self.batch_size = batch_size or default_batch_size(data.shape, self.device)
        self.counts: dict[str, Counts] = {}
        self.right = torch.cat([self.answers(self.images(part)) == self.labels(part) for part in self.parts()])
        """Whether the model is right about each clean image, bool N on the CPU."""
        self.fooled = ~self.right
        """Whether each image was fooled by anything so far, bool N."""
        self.white_box = self.fooled.clone()
        """The same, by attacks that use the gradient."""

    def parts(self, which: Tensor | None = None) -> list[Tensor]:
        """The places of the images of `which` (bool N, None: all) in batches."""
        places = torch.arange(len(self.data)) if which is None else which.nonzero()[:, 0]
        return list(places.split(self.batch_size)) if len(places) else []

    def images(self, places: Tensor) -> Tensor:
        """The images at these places, float32 N×C×H×W in [0, 1], on the device."""
        return self.data[places].pixels(self.device).contiguous(memory_format=torch.channels_last)

    def labels(self, places: Tensor) -> Tensor:
        """Their labels, int64 N on the CPU."""
        return self.data.labels[places]

    def answers(self, images: Tensor, model: nn.Module | None = None) -> Tensor:
        """The model's answers (or those of another one) on the CPU, int64 N."""
        with torch.no_grad():
            return (model or self.model)(images).argmax(1).cpu()

    def attack(
        self,
        attack: Attack,
        which: Tensor | None = None,
        *,
        epsilon: float | None = None,
        made_on: nn.Module | None = None,
        white_box: bool = True,
        share: tuple[float, float] = (0, 1),
    ) -> Generator[float, None, Tensor]:
        """Whether the model is wrong about each image after the attack, bool N; False outside `which` (bool N).

        The attack is made on `made_on`, or on the model itself. Up to the diagnosis's own ε (`epsilon` None) the images count
        as fooled, with `white_box` by an attack that uses the model's gradient. Progress goes from `share[0]` to `share[1]`.
        """
        found = torch.zeros(len(self.data), dtype=torch.bool)
        parts, at = self.parts(which), self.epsilon if epsilon is None else epsilon
        for number, places in enumerate(parts):
            yield share[0] + (share[1] - share[0]) * number / len(parts)
            labels, indices = self.labels(places).to(self.device), self.data.indices[places]
            attacked = attack.perturb(made_on or self.model, self.images(places), labels, at, indices=indices)
            found[places] = self.answers(attacked) != self.labels(places)
        if at <= self.epsilon:
            self.fooled |= found
            if white_box:
                self.white_box |= found
        return found

    def pgd(self, **options: Any) -> PGD:
        """The iterative attack of the checks, with some options changed."""
        base = {"norm": self.norm, "steps": self.effort.steps, "seed": self.effort.seed, "stop_early": True}
        return PGD(**(base | options))  # type: ignore[arg-type]


# --- the checks ---------------------------------------------------------------------------------------------------------


def _single_step(run: Run) -> Measuring:
    single = yield from run.attack(FGSM(norm=run.norm), share=(0, 0.1))
    iterative = yield from run.attack(run.pgd(), share=(0.1, 1))
    return {"single_step": int((~single).sum()), "iterative": int((~iterative).sum())}


def _judge_single_step(check: Check) -> Judgement:
    one, many = check.share("single_step"), check.share("iterative")
    told = f"One step (FGSM) leaves {check.percent('single_step')} right, many steps (PGD) {check.percent('iterative')}"
    if many > one + 0.02:
        return "fails", f"{told}: the iterative attack is weaker than a single step, so its gradients mislead it."
    if check.defended and masked(one, many):
        return "fails", f"{told}: the model resists the single step alone. Its robustness is masked."
    if check.defended and one - many > MASKED_GAP / 2:
        return "doubtful", f"{told}: a large gap for a robust model."
    return ("holds", f"{told}.") if one or many else NOTHING_LEFT


def _further(attack: Callable[[Run], Attack]) -> Callable[[Run], Measuring]:
    """A check that runs another attack on the images that white-box attacks have not fooled, and counts those it fools."""

    def measure(run: Run) -> Measuring:
        before = run.white_box.clone()
        yield from run.attack(attack(run), ~before)
        return {"before": int((~before).sum()), "after": int((~run.white_box).sum())}

    return measure


def _judge_further(more: str, advice: str) -> Callable[[Check], Judgement]:
    def judge(check: Check) -> Judgement:
        images, lost = check.counts["before"] - check.counts["after"], check.share("before") - check.share("after")
        if not check.counts["before"]:
            return NOTHING_LEFT
        if not images:
            return "holds", f"{more} change nothing: {check.percent('after')} stay right."
        told = f"{more} lower the accuracy from {check.percent('before')} to {check.percent('after')}"
        if lost > 0.05 and images > 2:
            return "fails", f"{told}: {advice}"
        if lost > 0.02:
            return "doubtful", f"{told}, more than expected."
        return "holds", f"{told}."

    return judge


def _large(run: Run) -> float:
    """An ε at which every image can be made uniformly grey, and not below the diagnosis's own."""
    return max(run.epsilon, 0.5 if run.norm == "linf" else 0.5 * math.sqrt(math.prod(run.data.shape)))


def _rising(run: Run) -> Measuring:
    grid = {"half": run.epsilon / 2, "same": run.epsilon, "double": min(2 * run.epsilon, _large(run)), "largest": _large(run)}
    counts = {}
    for number, (name, epsilon) in enumerate(grid.items()):
        fooled = yield from run.attack(run.pgd(), epsilon=epsilon, share=(number / 4, (number + 1) / 4))
        counts[name] = int((~fooled).sum())
    return counts


def _judge_rising(check: Check) -> Judgement:
    names = ("half", "same", "double", "largest")
    shares = [check.share(name) for name in names]
    told = f"At ½ε, ε, 2ε and the largest ε, PGD leaves {', '.join(check.percent(name) for name in names)}"
    if not any(shares):
        return NOTHING_LEFT
    rise = max(later - min(shares[:place]) for place, later in enumerate(shares) if place)
    chance = 1 / check.classes
    if rise > 0.02:
        return "fails", f"{told}: the accuracy rises with ε, so the attack does not find what is there."
    if shares[-1] > chance + 0.05:
        return "fails", f"{told}: at an ε that can erase any image it stays above chance ({100 * chance:.1f} %)."
    if rise > 0.005 or shares[-1] > chance:
        return "doubtful", f"{told}: it should never rise and end at chance ({100 * chance:.1f} %) or below."
    return "holds", f"{told}: it does not rise by more than half a point, and ends at chance ({100 * chance:.1f} %) or below."


def _noise(run: Run) -> Measuring:
    by_attack = int((run.right & run.white_box).sum())
    fooled = torch.zeros(len(run.data), dtype=torch.bool)
    for draw in range(run.effort.draws):
        if draw % 20 == 0:
            yield draw / run.effort.draws
        noise = UniformNoise(norm=run.norm, seed=run.effort.seed * run.effort.draws + draw)
        for places in run.parts(run.right & ~fooled):
            attacked = noise.perturb(run.quick, run.images(places), None, run.epsilon, indices=run.data.indices[places])
            seems = run.answers(attacked, run.quick) != run.labels(places)
            if seems.any():
                fooled[places[seems]] = run.answers(attacked[seems]) != run.labels(places[seems])
    run.fooled |= fooled
    return {"noise": int(fooled.sum()), "attack": by_attack}


def _judge_noise(check: Check) -> Judgement:
    noise, attack = check.counts["noise"], check.counts["attack"]
    if check.left == 0:
        return NOTHING_LEFT
    among = f"{check.images:,} images" if check.left is None else f"the {attack + check.left:,} images that it gets right"
    told = f"At least one of {USUAL.draws:,} random draws fools {noise:,} of {among}, the gradient attacks {attack:,}"
    if noise > max(attack, 0.02 * check.images):
        return "fails", f"{told}: noise is the better attack, so the gradients are of no use."
    if noise > attack / 2:
        return "doubtful", f"{told}: too close for attacks that follow the gradient."
    return "holds", f"{told}."


def _black_box(run: Run) -> Measuring:
    square = Square(norm=run.norm, queries=run.effort.queries, seed=run.effort.seed)
    found = yield from run.attack(square, ~run.white_box, made_on=run.quick, white_box=False)
    return {"beyond": int(found.sum())}


def _transfer(run: Run) -> Measuring:
    # All steps: the point that only just fools the other model is the least likely to fool this one.
    found = yield from run.attack(run.pgd(stop_early=False), ~run.white_box, made_on=run.other, white_box=False)
    return {"beyond": int(found.sum())}


def _judge_beyond(who: str) -> Callable[[Check], Judgement]:
    def judge(check: Check) -> Judgement:
        beyond = check.counts["beyond"]
        if check.left == 0 and not beyond:
            return NOTHING_LEFT
        low, _ = wilson_interval(beyond, check.images)  # two or three images of 200 may be chance
        told = f"{who} {beyond:,} of {check.images:,} images that no gradient attack fooled"
        if low > 0.01:
            return "fails", f"{told}: the gradients hide weaknesses that are there."
        return ("doubtful" if beyond else "holds"), f"{told}."

    return judge


def _gradients(run: Run) -> Measuring:
    dead = 0
    parts = run.parts()
    for number, places in enumerate(parts):
        yield number / len(parts)
        with evaluating(run.model):
            gradient = input_gradient(run.model, run.images(places), run.labels(places).to(run.device)).flatten(1)
        largest = gradient.abs().amax(1)
        dead += int((~(largest > 1e-12) | ~torch.isfinite(gradient).all(1)).sum())
    return {"dead": dead}


def _judge_gradients(check: Check) -> Judgement:
    told = f"The gradient is zero or not a finite number for {check.percent('dead')} of the images"
    if check.share("dead") > 0.1:
        return "fails", f"{told}: attacks that follow it cannot move."
    return ("doubtful" if check.share("dead") > 0.01 else "holds"), f"{told}."


def _deterministic(run: Run) -> Measuring:
    changed = 0
    parts = run.parts()
    run.raw.to(run.device)
    for number, places in enumerate(parts):
        yield number / len(parts)
        images = run.images(places)
        with evaluating(run.raw), torch.no_grad():
            first, again = run.raw(images).float(), run.raw(images).float()
        changed += int(((first - again).abs().amax(1) > 1e-4 * first.abs().amax(1)).sum())
    return {"changed": changed}


def _judge_deterministic(check: Check) -> Judgement:
    told = f"Asked twice, the model's answer differs for {check.percent('changed')} of the images"
    if check.counts["changed"]:
        return "fails", f"{told}: attacks on a random model need many samples of each answer."
    return "holds", f"{told}."


@dataclass(frozen=True)
class CheckSpec:
    """A check: its title, the names of its counts, how it is run, how its counts are judged, and its cost.

    The cost is per image in forward passes; a gradient counts three.
    """

    title: str
    counts: tuple[str, ...]
    measure: Callable[[Run], Measuring]
    judge: Callable[[Check], Judgement]
    work: Callable[[Effort], float]


CHECKS: dict[str, CheckSpec] = {
    "single_step": CheckSpec(
        "An iterative attack beats a single step",
        ("single_step", "iterative"),
        _single_step,
        _judge_single_step,
        lambda effort: 3 + 3 * effort.steps,
    ),
    "more_steps": CheckSpec(
        "More steps change little",
        ("before", "after"),
        _further(lambda run: run.pgd(steps=run.effort.more_steps)),
        _judge_further("More steps", "the attack had not converged, so fewer steps say nothing."),
        lambda effort: 3 * effort.more_steps,
    ),
    "restarts": CheckSpec(
        "More restarts change little",
        ("before", "after"),
        _further(lambda run: run.pgd(restarts=run.effort.restarts, seed=run.effort.seed + 1)),
        _judge_further("More random starts", "where the attack starts decides, so the loss is rugged."),
        lambda effort: 3 * effort.steps * effort.restarts,
    ),
    "margin_loss": CheckSpec(
        "Another loss (margin) changes little",
        ("before", "after"),
        _further(lambda run: run.pgd(loss="margin")),
        _judge_further("Attacks on the margin", "the gradient of the cross-entropy leads nowhere."),
        lambda effort: 3 * effort.steps,
    ),
    "rising_epsilon": CheckSpec(
        "Accuracy never rises with ε and falls to chance",
        ("half", "same", "double", "largest"),
        _rising,
        _judge_rising,
        lambda effort: 12 * effort.steps,
    ),
    "noise": CheckSpec(
        "Random noise fools far fewer images than the attack",
        ("noise", "attack"),
        _noise,
        _judge_noise,
        lambda effort: effort.draws,
    ),
    "black_box": CheckSpec(
        "A black-box attack fools no further image",
        ("beyond",),
        _black_box,
        _judge_beyond("Square, which sees scores only, fools"),
        lambda effort: effort.queries,
    ),
    "transfer": CheckSpec(
        "Attacks carried over from another model fool no further image",
        ("beyond",),
        _transfer,
        _judge_beyond("Attacks made on another model fool"),
        lambda effort: 3 * effort.steps,
    ),
    "gradients": CheckSpec(
        "Gradients are neither zero nor numerically dead", ("dead",), _gradients, _judge_gradients, lambda _: 3
    ),
    "deterministic": CheckSpec(
        "The model answers the same twice", ("changed",), _deterministic, _judge_deterministic, lambda _: 2
    ),
}
"""The checks in the order in which they run and are numbered."""
