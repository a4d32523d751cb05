"""Transfer between models: linear ones whose answers can be worked out by hand."""

from __future__ import annotations

import pytest
import torch

from advcore.attacks import FGSM, PGD, predict
from advcore.data import LabeledImages
from advcore.evaluation.transfer import Transfer, transfer
from tests.makers import linear

# Two pixels, two classes. "left" looks at the first pixel alone, "right" at the second alone, "both" at their mean.
MODELS = {
    "left": linear(torch.tensor([[-10.0, 0.0], [10.0, 0.0]]), [5.0, -5.0]),
    "right": linear(torch.tensor([[0.0, -10.0], [0.0, 10.0]]), [5.0, -5.0]),
    "both": linear(torch.tensor([[-5.0, -5.0], [5.0, 5.0]]), [5.0, -5.0]),
}


def images(*values: tuple[int, int]) -> LabeledImages:
    pixels = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 2)
    return LabeledImages(pixels, (pixels.flatten(1).float().mean(1) > 127).long(), ("dark", "bright"))


def whole(test: LabeledImages, attack: FGSM | PGD, epsilon: float) -> Transfer:
    *_, found = transfer(MODELS, test, attack, epsilon)
    return found


def test_what_carries_over_is_what_the_victim_looks_at() -> None:
    # 153 = 0.6, 102 = 0.4: a step of 0.15 turns the answer of whoever looks at the pixel.
    found = whole(images((153, 153), (102, 102)), FGSM(), 0.15)
    assert found.share == 1
    assert [found.left(None, victim) for victim in range(3)] == [(2, 2)] * 3
    left = [[found.left(source, victim)[0] for victim in range(3)] for source in range(3)]
    # Attacked on "left", the mean moves from 0.6 to 0.525: "both" holds. Attacked on "both", both pixels move.
    assert left == [[0, 2, 2], [2, 0, 2], [0, 0, 0]]
    assert found.carried(2, 0).tolist() == [0, 1]
    assert found.carried(0, 1).tolist() == []
    record = next(row for row in found.rows() if (row["source"], row["victim"]) == ("left", "right"))
    assert (record["correct"], record["images"], record["accuracy"]) == (2, 2, 1.0)
    assert record["low"] < 1 == record["high"]


def test_a_stopped_measurement_goes_on_and_each_image_keeps_its_own_random_numbers() -> None:
    test = images(*[(100 + 3 * place, 170 - 2 * place) for place in range(45)])
    attack = PGD(steps=2)
    steps = list(transfer(MODELS, test, attack, 0.1))
    assert len(steps) == 6, "two parts of the images for each of three sources"
    assert [round(step.share, 2) for step in steps[:2]] == [0.3, 0.59]
    *_, later = transfer(MODELS, test, attack, 0.1, steps[2])
    assert torch.equal(later.answers, steps[-1].answers)
    attacked = attack.perturb(MODELS["left"], test.pixels(), test.labels, 0.1)
    assert torch.equal(later.answers[0, 2], predict(MODELS["both"], attacked))
    assert steps[0].left(1, 0) == (0, 0)
    assert steps[0].rows()[-1]["accuracy"] is None


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_image_that_was_wrong_before_does_not_carry_over(place: int) -> None:
    found = whole(images((153, 51), (153, 153)), FGSM(), 0.15)
    assert 0 not in found.carried(place, 0).tolist() or place == 2
