"""The studies' published figures, and how their ε reads in pixel space."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """One way to understand a study's ε: its published values times `factor` are L∞ in pixel space."""

    words: str
    factor: float


@dataclass(frozen=True)
class PublishedCurve:
    """Accuracies (shares in [0, 1]) that a study reports for one model, over ε as the study writes it."""

    study: str
    dataset: str
    architecture: str
    defended: bool
    epsilons: tuple[float, ...]
    accuracy: tuple[float, ...]
    readings: tuple[Reading, ...]

    def pixel_epsilons(self, reading: Reading) -> tuple[float, ...]:
        """The published ε in pixel space under a reading."""
        return tuple(epsilon * reading.factor for epsilon in self.epsilons)


# Lee gives no space for ε. Added to inputs standardized with MNIST's std of 0.3081 it is 0.3081 times as large in pixels.
_LEE_READINGS = (Reading("ε as written, in pixels", 1.0), Reading("ε read in standardized inputs (× 0.3081)", 0.3081))
_LEE_EPSILONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)

PUBLISHED_CURVES: tuple[PublishedCurve, ...] = (
    PublishedCurve(
        "Lee (P2)",
        "mnist",
        "lee_cnn",
        False,
        _LEE_EPSILONS,
        (0.9888, 0.9168, 0.822, 0.679, 0.501, 0.3809, 0.2946, 0.2482, 0.2262),
        _LEE_READINGS,
    ),
    PublishedCurve(
        "Lee (P2)",
        "mnist",
        "lee_cnn",
        True,
        _LEE_EPSILONS[1:],
        (0.979, 0.9633, 0.9375, 0.9052, 0.8553, 0.7834, 0.6927, 0.6031),
        _LEE_READINGS,
    ),
)


def published_curves(dataset: str) -> list[PublishedCurve]:
    """The curves that studies published for a dataset; empty where there are none."""
    return [curve for curve in PUBLISHED_CURVES if curve.dataset == dataset]
