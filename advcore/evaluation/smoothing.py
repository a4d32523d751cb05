"""Randomized smoothing (Cohen et al. 2019, arXiv 1902.02918): an L2 radius within which no change alters the answer.

The smoothed model answers with the class that the model gives most often to the image plus Gaussian noise N(0, σ²), which is
not clipped. Distances are in pixel space.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist

import torch
from torch import Tensor, nn

from advcore.attacks import PGD, draws, predict
from advcore.errors import AdvcoreError

ALPHA = 0.001
"""The certificate is wrong with at most this probability over the draws of noise."""
FIRST = 100
"""Samples that choose the class, before others count its votes."""
_AT_ONCE = 100
_ATTACK_SAMPLES, _ATTACK_STEPS, _CHECK = 16, 10, 500


def lower_bound(votes: int, samples: int, alpha: float = ALPHA) -> float:
    """The one-sided lower confidence bound of Clopper and Pearson (1934) for a share, at level 1 − alpha."""
    from scipy import stats

    return float(stats.beta.ppf(alpha, votes, samples - votes + 1)) if votes else 0.0


@dataclass(frozen=True)
class Votes:
    """How often each class was answered under noise of `sigma`: among the first samples, and among all others.

    `wanted` is how many others the certificate needs: before they are complete, it proves nothing.
    """

    sigma: float
    wanted: int
    first: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def samples(self) -> int:
        """How many votes were counted after the first ones."""
        return sum(self.counts)

    @property
    def complete(self) -> bool:
        """Whether all votes are counted."""
        return self.samples >= self.wanted

    @property
    def answer(self) -> int:
        """The class that the first samples chose."""
        return max(range(len(self.first)), key=lambda place: self.first[place])

    @property
    def radius(self) -> float | None:
        """The certified L2 radius σ·Φ⁻¹(lower bound of the answer's share); None: the smoothed model abstains."""
        bound = lower_bound(self.counts[self.answer], self.samples)
        return self.sigma * NormalDist().inv_cdf(bound) if bound > 0.5 else None


def count_votes(
    model: nn.Module, image: Tensor, sigma: float, samples: int, classes: int, *, seed: int = 0, index: int = 0
) -> Iterator[Votes]:
    """The votes for one image, 1×C×H×W in [0, 1], some more at each step; the algorithm CERTIFY of the paper.

    The noise comes from (seed, index, number of the sample). Raises AdvcoreError unless σ and `samples` are above 0.
    """
    if not 0 < sigma < math.inf or samples < 1:
        raise AdvcoreError(f"σ and the number of samples must be above 0, not {sigma} and {samples}; 0.25 and 1000 are usual.")
    first, counts = torch.zeros(classes, dtype=torch.long), torch.zeros(classes, dtype=torch.long)
    for start in range(-FIRST, samples, _AT_ONCE):
        count = min(_AT_ONCE, samples - start)
        noise = draws.normal(torch.tensor([index]), (count, *image.shape[1:]), seed=seed, stream=start)[0]
        answers = predict(model, image + sigma * noise.to(image)).cpu().bincount(minlength=classes)
        first, counts = (first + answers, counts) if start < 0 else (first, counts + answers)
        if start >= 0:
            yield Votes(sigma, samples, tuple(first.tolist()), tuple(counts.tolist()))


class _Averaged(nn.Module):
    """The logarithm of a model's mean probabilities over fixed draws of noise (M×C×H×W): what an attack can differentiate."""

    def __init__(self, model: nn.Module, noise: Tensor) -> None:
        super().__init__()
        self.model, self.noise = model, noise

    def forward(self, images: Tensor) -> Tensor:
        noisy = (images[:, None] + self.noise).flatten(0, 1)
        return self.model(noisy).float().softmax(1).view(len(images), len(self.noise), -1).mean(1).clamp(min=1e-12).log()


@dataclass(frozen=True)
class Bracket:
    """Bounds on the smallest L2 change that alters the smoothed model's answer: proved from below, found from above.

    `tried` is the largest L2 size that was attacked so far, `fooled_at` the first size at which fresh votes prove, at the same
    confidence, that the smoothed model gives another answer; None: none did.
    """

    votes: Votes
    tried: float = 0.0
    fooled_at: float | None = None
    complete: bool = False


def attack_sizes(sigma: float) -> tuple[float, ...]:
    """The L2 sizes at which the smoothed model is attacked: σ/2, σ, … 6σ."""
    return tuple(sigma * half / 2 for half in range(1, 13))


def bracket(
    model: nn.Module,
    image: Tensor,
    sigma: float,
    samples: int,
    classes: int,
    *,
    seed: int = 0,
    index: int = 0,
) -> Iterator[Bracket]:
    """Certify one image, then attack the smoothed model at growing L2 sizes until its answer changes.

    The attack is PGD in L2 on the mean probability over 16 draws (Salman et al. 2019, arXiv 1906.04584).
    """
    found = None
    for votes in count_votes(model, image, sigma, samples, classes, seed=seed, index=index):
        found = Bracket(votes)
        yield found
    assert found is not None
    place = torch.tensor([index])
    shape = image.shape[1:]
    averaged = _Averaged(model, sigma * draws.normal(place, (_ATTACK_SAMPLES, *shape), seed=seed, stream=-1000)[0].to(image))
    label = torch.tensor([found.votes.answer], device=image.device)
    attack = PGD(norm="l2", steps=_ATTACK_STEPS, random_start=False)
    for size in attack_sizes(sigma):
        attacked = attack.perturb(averaged, image, label, size, indices=place)
        *_, check = count_votes(model, attacked, sigma, _CHECK, classes, seed=seed + 1, index=index)
        fooled = check.radius is not None and check.answer != found.votes.answer
        found = replace(found, tried=size, fooled_at=size if fooled else None)
        if fooled:
            break
        yield found
    yield replace(found, complete=True)
