"""The shipped models are what their headers and the table beside them say, measured again on the real test images."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
import torchattacks

from advcore import attacks, data
from advcore.attacks import FGSM
from advcore.evaluation.curves import predictions
from advcore.evaluation.diagnosis import diagnosis_of
from advcore.models import checkpoints
from advcore.training.shipped import SHIPPED
from tests.conftest import REAL_DATA
from tests.makers import REPOSITORY

FILES = sorted((REPOSITORY / "checkpoints").glob(f"*/*{checkpoints.SUFFIX}"))
IDS = [f"{path.parent.name}/{path.name.removesuffix(checkpoints.SUFFIX)}" for path in FILES]
RECIPES = {item.recipe.checkpoint_id: item for item in SHIPPED}
MOST_MIB = 58  # of the 60 that the whole repository may take
SLICE, FEW = 100, 40


@pytest.fixture
def test_images(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], data.LabeledImages]:
    """The first test images of a dataset by name; skips where the real ones are absent."""

    def load(name: str, limit: int) -> data.LabeledImages:
        if name != "digits":
            if REAL_DATA is None or not (REAL_DATA / name / "test.parquet").is_file():
                pytest.skip(f"needs the real {name}: set ADVCORE_DATA to a folder with {name}/test.parquet")
            monkeypatch.setenv("ADVCORE_DATA", str(REAL_DATA))
        return data.load(name, limit=limit)

    return load


def alike(share: float, of: int, right: int, images: int) -> bool:
    """Whether `right` of `images`, some of the `of` on which `share` was measured, may well come of that share.

    Four standard deviations of drawing without replacement, and one image that half precision on disk may turn.
    """
    spread = math.sqrt(images * share * (1 - share) * max(0.0, 1 - images / of)) if of > images else 0.0
    return abs(right - share * images) <= 4 * spread + 1


@pytest.mark.parametrize("checkpoint_id", IDS)
def test_the_header_holds_on_real_images(checkpoint_id: str, test_images: Callable[[str, int], data.LabeledImages]) -> None:
    checkpoint = checkpoints.find(checkpoint_id)
    images = test_images(checkpoint.recipe.dataset, SLICE)
    checkpoint.require(images)
    rows = {row["epsilon"]: row for row in checkpoint.metrics["attacks"] if row["attack"] == "FGSM"}
    assert rows, "every header says what FGSM does"
    first, *rest = predictions(checkpoint.model(), images, FGSM(), [0.0, *rows], precision="fp32")
    clean, *attacked = sum(rest, first).curve.correct
    assert alike(checkpoint.metrics["clean"], checkpoint.metrics["images"], clean, len(images))
    for row, right in zip(rows.values(), attacked, strict=True):
        assert alike(row["accuracy"], row["images"], right, len(images)), row


@pytest.mark.parametrize("checkpoint_id", [name for name in IDS if re.search("-(pgd|fgsm_rs|trades)", name)])
def test_what_is_called_robust_withstands_a_peers_pgd(
    checkpoint_id: str, test_images: Callable[[str, int], data.LabeledImages]
) -> None:
    """torchattacks' PGD with a few steps: a masked model would fall to it, one with other weights would not fit the header."""
    checkpoint = checkpoints.find(checkpoint_id)
    epsilon = checkpoint.recipe.epsilon
    row = next(row for row in checkpoint.metrics["attacks"] if row.get("restarts") == 10 and row["epsilon"] == epsilon)
    few, model = test_images(checkpoint.recipe.dataset, FEW), checkpoint.model()
    theirs = torchattacks.PGD(model, eps=epsilon, alpha=epsilon / 4, steps=10)(few.pixels(), few.labels)
    right = int((attacks.predict(model, theirs) == few.labels).sum())
    assert alike(row["accuracy"], row["images"], right, FEW)


@pytest.mark.parametrize("checkpoint_id", IDS)
def test_a_file_is_its_recipes(checkpoint_id: str) -> None:
    checkpoint = checkpoints.find(checkpoint_id)
    assert checkpoint.recipe == RECIPES[checkpoint_id].recipe, "retraining would give another model than this file"
    assert "python -m advcore train" in checkpoint.provenance["command"]
    assert all(torch.isfinite(value).all() for value in checkpoint.model().state_dict().values())


def test_all_of_them_are_small_enough_to_clone() -> None:
    assert sum(path.stat().st_size for path in FILES) < MOST_MIB << 20


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def table() -> dict[str, list[str]]:
    """The rows of the table in checkpoints/README.md by checkpoint id."""
    lines = (REPOSITORY / "checkpoints" / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {name.strip("`"): rest for name, *rest in cells}


def test_the_table_names_every_file() -> None:
    assert set(IDS) <= set(table())


@pytest.mark.parametrize("checkpoint_id", IDS)
def test_the_table_says_what_the_header_says(checkpoint_id: str) -> None:
    """Clean, FGSM, PGD and AutoAttack at the model's own ε (its dataset's for one without), and the ten checks' conclusion."""
    checkpoint = checkpoints.find(checkpoint_id)
    epsilon = checkpoint.recipe.epsilon or data.dataset(checkpoint.recipe.dataset).epsilon
    clean, told, fgsm, pgd, autoattack, checks, *_ = table()[checkpoint_id]
    found = {row["attack"].split("-")[0]: row["accuracy"] for row in checkpoint.metrics["attacks"] if row["epsilon"] == epsilon}
    assert [clean, fgsm, pgd.split(" ")[0]] == [
        percent(checkpoint.metrics["clean"]),
        *(percent(found[n]) for n in ("FGSM", "PGD")),
    ]
    assert float(told) == pytest.approx(epsilon, abs=5e-4)
    strong = checkpoint.metrics.get("autoattack")
    assert autoattack == (percent(strong["accuracy"]) if strong else "–")
    assert strong is None or (strong["norm"], strong["epsilon"]) == ("linf", epsilon)
    found = diagnosis_of(checkpoint)
    assert checks.split(" ")[0] == (found.conclusion.lower() if found else "–")
    numbers = (found.failed or found.numbers("doubtful")) if found else ()
    assert [int(number) for number in re.findall(r"\d+", checks)] == list(numbers)
