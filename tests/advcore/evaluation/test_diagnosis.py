"""Whether a robustness can be believed: the definition of masked."""

from __future__ import annotations

from dataclasses import replace

from advcore.evaluation.diagnosis import masked, masking
from advcore.models import checkpoints
from advcore.models.checkpoints import Checkpoint


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
