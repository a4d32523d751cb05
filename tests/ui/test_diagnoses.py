"""Which diagnosis the page shows for a model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advcore.attacks import Norm
from advcore.evaluation.diagnosis import Diagnosis
from advcore.models import checkpoints
from ui import diagnoses


@pytest.mark.parametrize(("norm", "epsilon", "shown"), [("linf", 0.5, True), ("l2", 0.5, False), ("linf", 0.4, False)])
def test_a_headers_diagnosis_is_shown_at_its_epsilon_and_in_its_norm(norm: Norm, epsilon: float, shown: bool) -> None:
    found = Diagnosis(epsilon, norm, 10, 10, True, 5, {"gradients": {"dead": 0}})
    known = replace(checkpoints.find("digits/digits_cnn-fgsm-0.2"), metrics={"diagnosis": found.to_dict()})
    assert (diagnoses.shipped(known, 0.5) is not None) == shown
