"""Pictures out: 8 bits and PNG without loss, and one picture attacked with an honest account of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from advcore.attacks import FGSM
from advcore.evaluation import single
from advcore.images import encode
from tests.makers import linear


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


# --- out -----------------------------------------------------------------------------------------------------------------


def test_eight_bits_are_the_nearest_level() -> None:
    assert encode.to_bytes(torch.tensor([0.0, 1.0, 0.5 / 255 + 1e-4, 0.4 / 255, 200.6 / 255])).tolist() == [0, 255, 1, 0, 201]
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(encode.to_bytes(levels.float().div(255)), levels)
    assert encode.to_bytes(torch.tensor([-0.1, 1.1])).tolist() == [0, 255]


@pytest.mark.parametrize("shape", [(1, 28, 20), (3, 32, 32), (1, 1, 1), (3, 5, 9)], ids=str)
@pytest.mark.parametrize("kind", ["uint8", "float", "strided"])
def test_a_png_holds_every_pixel_at_its_own_size(shape: tuple[int, int, int], kind: str) -> None:
    levels = torch.randint(0, 256, shape, dtype=torch.uint8)
    pixels = levels if kind == "uint8" else levels.float() / 255
    if kind == "strided":
        pixels = pixels[None].contiguous(memory_format=torch.channels_last)[0]
    array = opened(encode.png(pixels))
    expected = levels[0] if shape[0] == 1 else levels.permute(1, 2, 0)
    assert np.array_equal(array, expected.numpy())


def test_thumbnails_shrink_what_is_too_large_and_keep_the_rest() -> None:
    small = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(encode.thumbnails(small), small)
    halves = torch.zeros(1, 3, 128, 256, dtype=torch.uint8)
    halves[..., 128:] = 200
    shrunk = encode.thumbnails(halves)
    assert tuple(shrunk.shape) == (1, 3, 32, 64)
    assert shrunk.dtype == torch.uint8
    assert (shrunk[..., :32] == 0).all()
    assert (shrunk[..., 32:] == 200).all()


@pytest.mark.parametrize(
    ("largest", "factor"),
    [(0.5, 1), (0.3, 1), (0.17, 2), (0.1, 3), (0.03, 10), (8 / 255, 10), (0.004, 50), (0.0, 100), (1.0, 1)],
)
def test_a_perturbation_is_amplified_as_far_as_it_fits(largest: float, factor: int) -> None:
    assert encode.amplification(largest) == factor


# --- one picture attacked ---------------------------------------------------------------------------------------------------

# Class 1 wins where the second pixel is the brighter one.
TWO = torch.tensor([[4.0, 0.0], [0.0, 4.0]])


def pair(first: float, second: float) -> Tensor:
    return torch.tensor([first, second]).view(1, 1, 1, 2)


def test_an_attacked_picture_by_hand() -> None:
    outcome = single.attack_picture(linear(TWO), pair(0.6, 0.4), FGSM(), 0.15, label=0)
    assert outcome.attacked.flatten().tolist() == pytest.approx([0.45, 0.55])
    assert outcome.before.tolist() == pytest.approx(torch.tensor([2.4, 1.6]).softmax(0).tolist())
    assert outcome.after.tolist() == pytest.approx(torch.tensor([1.8, 2.2]).softmax(0).tolist(), rel=1e-5)
    record = outcome.record(("left", "right"))
    assert (record["before"]["class"], record["after"]["class"]) == ("left", "right")
    assert record["fooled"]
    assert record["fooled_8bit"]
    assert record["largest_change"] == pytest.approx(0.15)
    assert record["amplification"] == 2
    pictures = outcome.pictures()
    assert list(pictures) == ["clean", "perturbation", "attacked"]
    assert pictures["perturbation"].flatten().tolist() == pytest.approx([0.5 - 0.3, 0.5 + 0.3], abs=1e-6)
    assert torch.equal(pictures["clean"], pair(0.6, 0.4)[0])
    assert torch.equal(pictures["attacked"], outcome.attacked[0])


def test_a_picture_that_is_saved_may_fool_no_more_and_that_is_said() -> None:
    """Fooled by a twentieth of a grey level; rounded, both pixels are 127 and the model answers with the first class again."""
    outcome = single.attack_picture(linear(TWO), pair(127.20 / 255, 127.15 / 255), FGSM(), 0.05 / 255, label=0)
    record = outcome.record(("left", "right"))
    assert record["fooled"]
    assert not record["fooled_8bit"]
    assert record["after_8bit"] == {"class": "left", "confidence": 0.5}


def test_a_target_is_reached_or_not() -> None:
    model = linear(torch.tensor([[4.0, 0.0], [0.0, 4.0], [3.9, 3.9]]), [0.0, 0.0, -2.0])
    reached = single.attack_picture(model, pair(0.6, 0.4), FGSM(targeted=True), 0.15, label=0, target=1)
    assert reached.fooled(reached.after)
    assert reached.attacked.flatten().tolist() == pytest.approx([0.45, 0.55])
    missed = single.attack_picture(model, pair(0.6, 0.4), FGSM(targeted=True), 0.05, label=0, target=1)
    assert not missed.fooled(missed.after)
    assert reached.reached(reached.after)
    assert not missed.reached(missed.after)
    # Another wrong class fools the model, but not into the target.
    lost = single.Outcome(
        pair(0, 0),
        pair(0, 0),
        *(torch.tensor(share) for share in ([1.0, 0, 0], [0, 0, 1.0], [0, 0, 1.0])),
        0,
        1,
        pair(0, 0).to(torch.uint8),
    )
    assert lost.fooled(lost.after)
    assert not lost.reached(lost.after)


def test_what_was_wrong_before_is_not_fooled() -> None:
    record = single.attack_picture(linear(TWO), pair(0.4, 0.6), FGSM(), 0.15, label=0).record(("left", "right"))
    assert (record["before"]["class"], record["after"]["class"]) == ("right", "right")
    assert record["wrong_without_attack"]
    assert not record["fooled"]
    assert not record["fooled_8bit"]
    assert record["reached"] is None


def test_without_a_label_the_models_own_answer_is_to_be_lost() -> None:
    outcome = single.attack_picture(linear(TWO), pair(0.3, 0.7), FGSM(), 0.1)
    assert outcome.label == 1
    assert outcome.attacked.flatten().tolist() == pytest.approx([0.4, 0.6])


def test_no_change_at_all_is_drawn_as_mid_grey() -> None:
    outcome = single.attack_picture(linear(TWO), pair(0.6, 0.4), FGSM(), 0.0, label=0)
    assert outcome.pictures()["perturbation"].flatten().tolist() == [0.5, 0.5]
    assert not outcome.record(("left", "right"))["fooled"]
