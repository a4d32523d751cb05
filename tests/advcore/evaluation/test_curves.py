"""Curves: their intervals, their sums, and counts that a plain loop would find as well."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from advcore import data
from advcore.attacks import FGSM, PGD, Attack, UniformNoise, predict
from advcore.data import LabeledImages
from advcore.errors import AdvcoreError, AttackError
from advcore.evaluation import curves
from advcore.evaluation.curves import Predictions, RobustnessCurve, robustness_curve
from advcore.evaluation.interval import wilson_interval
from advcore.models import checkpoints
from tests.makers import SHIPPED_DIGITS, fresh, linear

GRID = (0.0, 0.05, 0.1, 0.2, 0.3)
CPU = torch.device("cpu")


# --- Wilson's interval ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # z² = 3.841459: with all of 10 right the interval is [n / (n + z²), 1], with none its mirror image.
        (10, 10, 10 / 13.841459, 1.0),
        (0, 10, 0.0, 3.841459 / 13.841459),
        # Half of 100: 0.5 ± z/2 · √(n + z²) / (n + z²).
        (50, 100, 0.5 - 0.979982 / math.sqrt(103.841459), 0.5 + 0.979982 / math.sqrt(103.841459)),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_by_hand(correct: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize("total", [1, 2, 7, 100, 2000, 10_000])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.5, 0.99, 1])
def test_wilson_is_scipys(total: int, share: float) -> None:
    correct = round(share * total)
    expected = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    low, high = wilson_interval(correct, total)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= correct / total <= high <= 1


# --- curves that add up -------------------------------------------------------------------------------------------------------


def test_curves_add_and_know_their_accuracy() -> None:
    whole = RobustnessCurve((0.0, 0.1), (9, 3), 10) + RobustnessCurve((0.0, 0.1), (20, 0), 20)
    assert whole == RobustnessCurve((0.0, 0.1), (29, 3), 30)
    assert whole.accuracy == pytest.approx((29 / 30, 0.1))
    assert whole.interval == (wilson_interval(29, 30), wilson_interval(3, 30))
    low, high = wilson_interval(3, 30)
    assert whole.points()[1] == {
        "epsilon": 0.1,
        "norm": "linf",
        "reading": "exact",
        "correct": 3,
        "accuracy": 0.1,
        "low": low,
        "high": high,
    }


def test_adding_is_associative_and_zero_is_neutral() -> None:
    parts = [RobustnessCurve((0.0, 0.1), (index, 2 * index), 5 * index) for index in range(1, 4)]
    assert (parts[0] + parts[1]) + parts[2] == parts[0] + (parts[1] + parts[2])
    assert parts[0] + parts[1] == parts[1] + parts[0]
    assert RobustnessCurve((0.0, 0.1), (0, 0), 0) + parts[0] == parts[0]


def test_an_empty_curve_knows_nothing() -> None:
    empty = RobustnessCurve((0.1,), (0,), 0)
    assert empty.accuracy == (0.0,)
    assert empty.interval == ((0.0, 1.0),)


def test_different_grids_do_not_add() -> None:
    with pytest.raises(AdvcoreError, match="same ε grid"):
        RobustnessCurve((0.0, 0.1), (1, 1), 1) + RobustnessCurve((0.0, 0.2), (1, 1), 1)
    with pytest.raises(AdvcoreError, match="same ε grid"):
        answered() + Predictions((0.0,), torch.tensor([0]), torch.tensor([[0]]))


# --- what is counted from predictions, by hand --------------------------------------------------------------------------


def answered() -> Predictions:
    """Four images of the classes 0, 0, 1, 2 at three ε."""
    return Predictions(
        (0.0, 0.1, 0.2),
        torch.tensor([0, 0, 1, 2]),
        torch.tensor([[0, 0, 1, 1], [0, 2, 1, 2], [1, 0, 1, 2]]),
    )


def test_predictions_give_the_curve() -> None:
    assert answered().curve == RobustnessCurve((0.0, 0.1, 0.2), (3, 3, 3), 4)


def test_the_smallest_epsilon_is_the_first_wrong_answer() -> None:
    smallest = answered().smallest_epsilon()
    # The second is wrong at 0.1 only, and that counts; the fourth already when untouched; the third never.
    assert smallest.tolist() == [0.2, 0.1, math.inf, 0.0]
    assert smallest.dtype == torch.float64


def test_confusion_and_accuracy_per_class() -> None:
    assert answered().confusion(1, 3).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert answered().per_class(1, 3) == [(1, 2), (1, 1), (1, 1)]
    assert answered().per_class(0, 4) == [(2, 2), (1, 1), (0, 1), (0, 0)]  # a class without images


def test_the_worst_case_keeps_an_image_fooled_and_its_first_wrong_answer() -> None:
    worst = answered().worst_case()
    assert worst.predicted.tolist() == [[0, 0, 1, 1], [0, 2, 1, 1], [1, 2, 1, 1]]
    assert (worst.curve.correct, worst.curve.reading) == ((3, 2, 1), "worst")
    assert torch.equal(worst.smallest_epsilon(), answered().smallest_epsilon())
    with pytest.raises(AdvcoreError, match="ascending"):
        Predictions((0.1, 0.0), torch.tensor([0]), torch.tensor([[0], [0]])).worst_case()


def test_measurements_of_different_kinds_do_not_add() -> None:
    for other in (answered().worst_case(), replace(answered(), norm="l2")):
        with pytest.raises(AdvcoreError, match="add only"):
            answered() + other
        with pytest.raises(AdvcoreError, match="add only"):
            answered().curve + other.curve


def test_predictions_add_image_by_image() -> None:
    both = answered() + answered()
    assert len(both) == 8
    assert both.curve == answered().curve + answered().curve
    assert both.smallest_epsilon().tolist() == [0.2, 0.1, math.inf, 0.0] * 2


def test_first_epsilon_of_a_table() -> None:
    fooled = torch.tensor([[False, True, False], [True, False, False]])
    assert curves.first_epsilon([0.1, 0.2], fooled).tolist() == [0.2, 0.1, math.inf]


# --- measured --------------------------------------------------------------------------------------------------------------


def naive_counts(model: nn.Module, data: LabeledImages, epsilons: tuple[float, ...]) -> list[int]:
    """FGSM in ten plain lines, one image at a time."""
    counts = [0] * len(epsilons)
    for image, label in zip(data.images.float() / 255, data.labels, strict=True):
        leaf = image[None].clone().requires_grad_()
        nn.functional.cross_entropy(model(leaf), label[None]).backward()
        for index, epsilon in enumerate(epsilons):
            with torch.no_grad():
                attacked = (leaf + epsilon * leaf.grad.sign()).clamp(0, 1)
                counts[index] += int(model(attacked).argmax() == label)
    return counts


@pytest.fixture(params=SHIPPED_DIGITS)
def shipped(request: pytest.FixtureRequest) -> nn.Module:
    return checkpoints.find(request.param).model()


def test_the_last_curve_is_a_plain_loops(shipped: nn.Module, digits: LabeledImages) -> None:
    few = digits[:120]
    *_, curve = robustness_curve(shipped, few, FGSM(), GRID, precision="fp32")
    assert list(curve.correct) == naive_counts(shipped, few, GRID)
    assert curve.epsilons == GRID
    assert curve.total == 120
    assert curve.accuracy[0] > 0.9 > curve.accuracy[-1]


def test_a_curve_on_the_real_mnist_is_a_plain_loops(mnist: LabeledImages) -> None:
    model = fresh("srivathsav_cnn", (1, 28, 28))
    *_, curve = robustness_curve(model, mnist, FGSM(), (0.0, 0.1), precision="fp32")
    assert list(curve.correct) == naive_counts(model, mnist, (0.0, 0.1))


@pytest.mark.parametrize("attack", [PGD(steps=3), UniformNoise()])
def test_other_attacks_are_counted_batch_by_batch(
    attack: PGD | UniformNoise, shipped: nn.Module, digits: LabeledImages
) -> None:
    few = digits[:50]
    *_, curve = robustness_curve(shipped, few, attack, (0.1, 0.3), precision="fp32", batch_size=20)
    for index, epsilon in enumerate((0.1, 0.3)):
        parts = [few[start : start + 20] for start in (0, 20, 40)]
        right = [
            predict(shipped, attack.perturb(shipped, part.pixels(), part.labels, epsilon, indices=part.indices)) == part.labels
            for part in parts
        ]
        assert curve.correct[index] == torch.cat(right).sum()


def test_curves_grow_batch_by_batch(shipped: nn.Module, digits: LabeledImages) -> None:
    curves = list(robustness_curve(shipped, digits[:70], FGSM(), GRID, batch_size=30))
    assert [curve.total for curve in curves] == [30, 60, 70]
    for before, after in itertools.pairwise(curves):
        assert all(low <= high for low, high in zip(before.correct, after.correct, strict=True))
    first = next(robustness_curve(shipped, digits, FGSM(), GRID))
    assert 0 < first.total <= 100  # what is on the screen first


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=2), UniformNoise()], ids=["FGSM", "PGD", "noise"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_neither_the_batch_size_nor_the_order_changes_an_answer(attack: Attack, precision: str, digits: LabeledImages) -> None:
    model, few = checkpoints.find(SHIPPED_DIGITS[1]).model(), digits[100:124]

    def answers(images: LabeledImages, batch_size: int) -> Tensor:
        parts = curves.predictions(model, images, attack, GRID, precision=precision, batch_size=batch_size)
        return torch.cat([part.predicted for part in parts], 1)

    usual, order = answers(few, 24), torch.randperm(24)
    for batch_size in (1, 7):
        assert torch.equal(answers(few, batch_size), usual)
    assert torch.equal(answers(few[order], 13), usual[:, order])


def test_accuracy_is_one_point_of_the_curve(shipped: nn.Module, digits: LabeledImages) -> None:
    *_, curve = robustness_curve(shipped, digits, FGSM(), (0.1,), precision="fp32")
    assert curves.accuracy(shipped, digits, FGSM(), 0.1, precision="fp32") == curve.accuracy[0]


@pytest.mark.parametrize("epsilon", [-0.1, 2.0, float("nan")])
def test_an_epsilon_outside_pixel_space_is_refused(epsilon: float, digits: LabeledImages) -> None:
    with pytest.raises(AttackError):
        list(robustness_curve(fresh("digits_cnn", (1, 8, 8)), digits, FGSM(), (0.0, epsilon)))


# --- precision, memory, and the model that is measured ------------------------------------------------------------------


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=3)], ids=["FGSM", "PGD"])
def test_bf16_answers_as_fp32_does(attack: FGSM | PGD, shipped: nn.Module, digits: LabeledImages) -> None:
    few, answers = digits[:180], []
    for precision in ("fp32", "bf16"):
        parts = curves.predictions(shipped, few, attack, GRID, precision=precision)
        answers.append(torch.cat([part.predicted for part in parts], 1))
    assert answers[0].shape == (len(GRID), 180)
    assert (answers[0] != answers[1]).sum() <= 1


def one_of_each_kind() -> list[str]:
    """A shipped checkpoint for every architecture, of the datasets that are here."""
    here = [item for item in checkpoints.catalog().values() if item.recipe.dataset in data.available()]
    return sorted({item.architecture: item.id for item in here}.values())


def test_shipped_models_answer_in_bf16_nearly_always_as_in_fp32() -> None:
    differing = total = 0
    for checkpoint_id in one_of_each_kind():
        checkpoint = checkpoints.find(checkpoint_id)
        images, epsilon = data.load(checkpoint.recipe.dataset)[:10], data.dataset(checkpoint.recipe.dataset).epsilon
        model, answers = checkpoint.model(), []
        for precision in ("fp32", "bf16"):
            parts = curves.predictions(model, images, FGSM(), (0.0, epsilon), precision=precision)
            answers.append(torch.cat([part.predicted for part in parts], 1))
        differing += int((answers[0] != answers[1]).sum())
        total += answers[0].numel()
    assert total >= 80
    assert differing <= 1


def test_batch_norms_stay_in_fp32() -> None:
    model = fresh("preact_resnet18", (3, 32, 32), width=4)
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.uniform_(1, 2)
    held = [layer for layer in curves.prepared(model, CPU, "bf16").modules() if isinstance(layer, nn.BatchNorm2d)]
    for before, after in zip(norms, held, strict=True):
        assert all(torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items())
    images = torch.rand(8, 3, 32, 32)
    exact, fast = (curves.prepared(model, CPU, precision)(images).float() for precision in ("fp32", "bf16"))
    assert (exact - fast).abs().max() < 0.05 * exact.abs().max()


def dtypes_seen(model: nn.Module, images: Tensor) -> list[torch.dtype]:
    """The type of what each layer gives."""
    seen = []
    for layer in model:
        images = layer(images)
        seen.append(images.dtype)
    return seen


def test_bf16_starts_after_the_normalization() -> None:
    model = curves.prepared(fresh("digits_cnn", (1, 8, 8)), CPU, "bf16")
    seen = dtypes_seen(model, torch.rand(2, 1, 8, 8))
    assert seen[0] == torch.float32
    assert set(seen[1:]) == {torch.bfloat16}
    bare = curves.prepared(linear(torch.randn(10, 64)), CPU, "bf16")
    assert set(dtypes_seen(bare, torch.rand(2, 1, 8, 8))) == {torch.float32}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_model_that_is_measured_is_never_touched(precision: str, digits: LabeledImages) -> None:
    model = fresh("preact_resnet18", (1, 8, 8), width=4).train()
    model[2].eval()
    model[1].weight.grad = torch.ones_like(model[1].weight)
    model[-1].bias.requires_grad_(False)

    def state() -> list[object]:
        modes = [module.training for module in model.modules()]
        values = [(name, value.dtype, value.stride(), value.data_ptr()) for name, value in model.state_dict().items()]
        flags = [(value.requires_grad, None if value.grad is None else value.grad.sum().item()) for value in model.parameters()]
        return [modes, values, flags, [type(layer) for layer in model]]

    before, weights = state(), {name: value.clone() for name, value in model.state_dict().items()}
    curves = robustness_curve(model, digits[:40], FGSM(), (0.0, 0.1), precision=precision, batch_size=20)
    next(curves)
    assert state() == before  # while it runs
    list(curves)
    assert state() == before
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_a_prepared_model_is_frozen_and_in_use() -> None:
    model = curves.prepared(fresh("digits_cnn", (1, 8, 8)).train(), CPU, "fp32")
    assert not any(module.training for module in model.modules())
    assert not any(value.requires_grad for value in model.parameters())


class Small(nn.Module):
    """A device that holds `most` images at a time."""

    def __init__(self, model: nn.Module, most: int) -> None:
        super().__init__()
        self.model, self.most = model, most

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.model(images)


def test_a_batch_that_does_not_fit_is_split_and_not_lost(shipped: nn.Module, digits: LabeledImages) -> None:
    few = digits[:60]
    *_, whole = robustness_curve(shipped, few, FGSM(), GRID, precision="fp32", batch_size=60)
    *_, split = robustness_curve(Small(shipped, 9), few, FGSM(), GRID, precision="fp32", batch_size=60)
    assert split == whole


def test_several_epsilons_may_share_a_launch() -> None:
    tensors = [torch.full((2,), index) for index in range(5)]
    assert [part.tolist() for part in curves._grouped(iter(tensors), 2)] == [[0, 0, 1, 1], [2, 2, 3, 3], [4, 4]]
    assert [part.tolist() for part in curves._grouped(iter(tensors), 1)] == [[index] * 2 for index in range(5)]


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 224, 224), (3, 1024, 1024)])
def test_batches_fit_the_device(shape: tuple[int, int, int]) -> None:
    on_cpu, on_gpu = (curves.default_batch_size(shape, torch.device(kind)) for kind in ("cpu", "cuda"))
    assert 4 <= on_cpu <= 100
    assert 4 <= on_gpu <= 1000
    assert on_cpu <= on_gpu
