"""AutoAttack and the diagnosis in a header: kept where they can be, refused where they cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advcore.errors import CheckpointError
from advcore.models import checkpoints
from tests.makers import DIGIT_NAMES, RECIPE, fresh

ROBUST = {"epsilon": 0.2, "norm": "linf", "images": 10, "accuracy": 0.5, "survivors": {"clean": 9, "APGD-CE": 5}}
DIAGNOSIS = {
    "epsilon": 0.5,
    "norm": "l2",
    "images": 10,
    "classes": 10,
    "defended": True,
    "robust": 4,
    "counts": {"gradients": {"dead": 0}},
}


def saved(folder: Path, metrics: dict[str, Any]) -> Path:
    path = folder / "digits" / "a.safetensors"
    model = fresh(RECIPE.architecture, (1, 8, 8))
    checkpoints.save(path, model, RECIPE, shape=(1, 8, 8), class_names=DIGIT_NAMES, metrics=metrics, provenance={})
    return path


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    metrics = {"autoattack": ROBUST, "diagnosis": DIAGNOSIS}
    assert checkpoints.read(saved(tmp_path, metrics)).metrics == metrics


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("autoattack", {"accuracy": 2}),
        ("autoattack", {"epsilon": "8/255"}),
        ("autoattack", {"epsilon": 3}),
        ("autoattack", {"norm": "l7"}),
        ("autoattack", {"norm": ["linf"]}),
        ("autoattack", {"images": 0}),
        ("autoattack", {"survivors": {}}),
        ("autoattack", {"survivors": {"clean": 11}}),
        ("autoattack", {"survivors": {"clean\n": 1}}),
        ("autoattack", {"survivors": {str(number): 1 for number in range(30)}}),
        ("diagnosis", {"robust": 11}),
        ("diagnosis", {"defended": "yes"}),
        ("diagnosis", {"classes": -1}),
        ("diagnosis", {"counts": [1]}),
        ("diagnosis", {"counts": {"gradients": {"dead": 11}}}),
        ("diagnosis", {"counts": {str(number): {} for number in range(60)}}),
    ],
)
def test_what_cannot_be_is_refused(key: str, changes: dict[str, Any], tmp_path: Path) -> None:
    good = {"autoattack": ROBUST, "diagnosis": DIAGNOSIS}[key]
    with pytest.raises(CheckpointError):
        checkpoints.read(saved(tmp_path, {key: good | changes}))
