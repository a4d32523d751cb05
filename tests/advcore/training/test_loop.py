"""Training: what each defense computes, that it defends, and that nothing of a run is lost when it is stopped."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from advcore import data
from advcore.attacks import FGSM, PGD, clip
from advcore.errors import CheckpointError, RecipeError
from advcore.evaluation.curves import accuracy
from advcore.models import architectures, checkpoints
from advcore.recipe import Recipe
from advcore.training import loop
from advcore.training.loop import Evaluation, Step, Trainer, train

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "dataset": "digits",
    "architecture": "digits_cnn",
    "images": 300,
    "held_out": 44,
    "batch_size": 64,
    "epochs": 2,
    "evaluations": 2,
}


@pytest.fixture(scope="module")
def digits_train() -> data.LabeledImages:
    return data.load("digits", "train")


def finished(recipe: Recipe, images: data.LabeledImages, **options: Any) -> nn.Module:
    """The model that the recipe gives."""
    *_, last = train(recipe, images=images, device=CPU, precision="fp32", **options)
    assert last.model is not None
    return last.model


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return model.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


# --- the defenses defend -------------------------------------------------------------------------------------------------

BUDGET = 0.15
LEARNS: dict[str, Any] = {
    "dataset": "digits",
    "architecture": "digits_cnn",
    "batch_size": 64,
    "images": 1000,
    "epochs": 5,
    "learning_rate": 0.003,
    "held_out": 0,
}


def robust_error(model: nn.Module, digits: data.LabeledImages) -> float:
    return 1 - accuracy(model, digits[:200], PGD(steps=10), BUDGET, device=CPU, precision="fp32")


@pytest.fixture(scope="module")
def undefended(digits_train: data.LabeledImages) -> nn.Module:
    return finished(Recipe(**LEARNS), digits_train)


def test_standard_training_learns_and_does_not_defend(undefended: nn.Module, digits: data.LabeledImages) -> None:
    assert accuracy(undefended, digits, FGSM(), 0.0, device=CPU, precision="fp32") > 0.9
    assert robust_error(undefended, digits) > 0.6


@pytest.mark.parametrize("defense", ["fgsm", "fgsm_rs", "pgd", "trades"])
def test_each_defense_lowers_the_robust_error(
    defense: str, undefended: nn.Module, digits_train: data.LabeledImages, digits: data.LabeledImages
) -> None:
    model = finished(Recipe(**LEARNS, defense=defense, epsilon=BUDGET, attack_steps=3), digits_train)
    assert accuracy(model, digits, FGSM(), 0.0, device=CPU, precision="fp32") > 0.7
    assert robust_error(model, digits) < robust_error(undefended, digits) - 0.25


def test_distillation_learns_from_its_teacher_and_defends_with_fgsm(
    undefended: nn.Module, digits_train: data.LabeledImages, digits: data.LabeledImages
) -> None:
    place = checkpoints.own_root() / "digits" / "teacher.safetensors"
    recipe = Recipe(**LEARNS)
    names = digits.class_names
    checkpoints.save(place, undefended, recipe, shape=digits.shape, class_names=names, metrics={}, provenance={})
    distilled = {**LEARNS, "defense": "distill", "teacher": "digits/teacher", "temperature": 5.0}
    plain = finished(Recipe(**distilled), digits_train)
    assert accuracy(plain, digits, FGSM(), 0.0, device=CPU, precision="fp32") > 0.85
    both = finished(Recipe(**distilled, epsilon=BUDGET), digits_train)
    assert robust_error(both, digits) < robust_error(undefended, digits) - 0.15


# --- what they compute ---------------------------------------------------------------------------------------------------


def a_step(recipe: Recipe, network: nn.Module, teacher: nn.Module | None = None) -> Step:
    return Step(network, network, recipe, torch.Generator().manual_seed(0), teacher)


@pytest.fixture
def network() -> nn.Module:
    return architectures.build("digits_cnn", (1, 8, 8), 10)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(12, 1, 8, 8), torch.arange(12) % 10


def gradients(network: nn.Module, losses: Iterator[torch.Tensor]) -> list[torch.Tensor]:
    network.zero_grad()
    for loss in losses:
        loss.backward()
    return [parameter.grad.clone() for parameter in network.parameters()]


def test_fgsm_is_the_mean_over_the_clean_and_the_attacked_batch_concatenated(
    network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, labels = batch
    recipe = Recipe(dataset="digits", architecture="digits_cnn", defense="fgsm", epsilon=0.2)
    found = gradients(network, loop.fgsm(a_step(recipe, network), images, labels))
    attacked = FGSM().perturb(network, images, labels, 0.2)
    whole = F.cross_entropy(network(torch.cat([images, attacked])), torch.cat([labels, labels]))
    for one, other in zip(found, gradients(network, iter([whole])), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_fgsm_attacks_at_full_size(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, labels = batch
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    recipe = Recipe(dataset="digits", architecture="digits_cnn", defense="fgsm", epsilon=0.2)
    gradients(network, loop.fgsm(a_step(recipe, network), images, labels))
    assert len(seen) == 2, "the attack costs no pass of its own"
    direction = FGSM().direction(network, images, labels)
    assert torch.equal(seen[0], images)
    assert torch.equal(seen[1], clip(images, direction, 0.2))


@pytest.mark.parametrize(("defense", "passes"), [("standard", 1), ("fgsm_rs", 2), ("pgd", 4), ("trades", 5)])
def test_the_attacked_images_lie_within_the_budget_and_cost_their_passes(
    defense: str, passes: int, network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, labels = batch
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    epsilon = 0.0 if defense == "standard" else 0.1
    recipe = Recipe(dataset="digits", architecture="digits_cnn", defense=defense, epsilon=epsilon, attack_steps=3)
    gradients(network, loop.LOSSES[defense](a_step(recipe, network), images, labels))
    assert len(seen) == passes
    last = seen[-1][-len(images) :]
    assert (last - images).abs().max() <= epsilon
    assert 0 <= last.min() <= last.max() <= 1
    if epsilon:  # most pixels went somewhere
        assert (last - images).abs().mean() > 0.02


def test_the_trades_loss_by_hand() -> None:
    clean = torch.log(torch.tensor([[0.5, 0.5], [0.8, 0.2]]))
    attacked = torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    labels = torch.tensor([0, 1])
    cross_entropy = -(math.log(0.5) + math.log(0.2)) / 2
    first = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    second = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    found = loop.trades_loss(clean, attacked, labels, beta=6.0)
    assert float(found) == pytest.approx(cross_entropy + 6 * (first + second) / 2, rel=1e-5)


def test_the_trades_attack_climbs_the_distance_it_is_judged_by(
    network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, labels = batch
    recipe = Recipe(dataset="digits", architecture="digits_cnn", defense="trades", epsilon=0.1, attack_steps=5)
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    loss = sum(loop.trades(a_step(recipe, network), images, labels))
    attacked, start = seen[-1][len(images) :], seen[1]

    def distance(other: torch.Tensor) -> float:
        with torch.no_grad():
            answer = network(images).softmax(1)
            return float(F.kl_div(network(other).log_softmax(1), answer, reduction="batchmean"))

    assert distance(attacked) > 5 * distance(start)
    wanted = F.cross_entropy(network(images), labels) + recipe.trades_beta * distance(attacked)
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)


def test_the_distillation_loss_by_hand() -> None:
    taught = torch.tensor([[2.0, 0.0], [0.0, 4.0]])
    logits = torch.tensor([[1.0, 0.0], [3.0, 0.0]])

    def softmax(one: float, other: float) -> tuple[float, float]:
        total = math.exp(one) + math.exp(other)
        return math.exp(one) / total, math.exp(other) / total

    first = -sum(p * math.log(q) for p, q in zip(softmax(1, 0), softmax(0.5, 0), strict=True))
    second = -sum(p * math.log(q) for p, q in zip(softmax(0, 2), softmax(1.5, 0), strict=True))
    assert float(loop.distillation_loss(logits, taught, temperature=2.0)) == pytest.approx((first + second) / 2, rel=1e-5)


def test_a_student_that_answers_like_its_teacher_has_nothing_to_learn(
    network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    recipe = Recipe(dataset="digits", architecture="digits_cnn", defense="distill", teacher="digits/any")
    found = gradients(network, loop.distill(a_step(recipe, network, network), *batch))
    assert max(float(part.abs().max()) for part in found) < 1e-6


def test_label_smoothing_reaches_the_loss(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    recipe = Recipe(dataset="digits", architecture="digits_cnn", label_smoothing=0.2)
    (loss,) = loop.standard(a_step(recipe, network), *batch)
    shares = network(batch[0]).log_softmax(1)
    wanted = -(0.8 * shares[torch.arange(12), batch[1]] + 0.2 * shares.mean(1)).mean()
    torch.testing.assert_close(loss, wanted)


@pytest.mark.parametrize("defense", ["standard", "fgsm", "fgsm_rs", "pgd", "trades"])
def test_half_precision_reaches_every_weight(defense: str, digits_train: data.LabeledImages) -> None:
    epsilon = 0.0 if defense == "standard" else 0.1
    recipe = Recipe(**{**TINY, "held_out": 0}, defense=defense, epsilon=epsilon, attack_steps=2)
    trainer = Trainer(recipe, digits_train, CPU, "bf16", None)
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    assert math.isfinite(float(trainer.advance()))
    for name, value in trainer.network.named_parameters():
        assert value.dtype == torch.float32
        assert not torch.equal(value, before[name]), name


# --- schedules, augmentation, averaging ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("cosine", [1, (1 + math.cos(0.3 * math.pi)) / 2, 0.5, (1 + math.cos(0.65 * math.pi)) / 2, 0]),
        ("cyclic", [0, 1, 5 / 7, 0.5, 0]),
    ],
)
def test_schedules(schedule: str, shares: list[float]) -> None:
    recipe = Recipe(**TINY, learning_rate=0.2, schedule=schedule)
    found = [loop.learning_rate(recipe, step, 1000) for step in (0, 300, 500, 650, 1000)]
    assert found == pytest.approx([0.2 * share for share in shares], abs=1e-12)


def test_flips_mirror_about_half_of_the_images() -> None:
    images = torch.rand(200, 3, 6, 5)
    found = loop.augment(images, ["flip"], torch.Generator().manual_seed(0))
    pairs = list(zip(found, images, strict=True))
    mirrored = torch.tensor([torch.equal(one, other.flip(2)) for one, other in pairs])
    kept = torch.tensor([torch.equal(one, other) for one, other in pairs])
    assert (mirrored ^ kept).all()
    assert 70 < mirrored.sum() < 130


@pytest.mark.parametrize("side", [8, 28, 32])
def test_crops_shift_by_whole_pixels_and_draw_zeros_in(side: int) -> None:
    images = torch.rand(60, 1, side, side) + 0.5
    found = loop.augment(images, ["crop"], torch.Generator().manual_seed(1))
    reach = side // 8
    shifts = set()
    for one, other in zip(found, images, strict=True):
        padded = F.pad(other, (reach,) * 4)
        fitting = [
            (down, right)
            for down in range(2 * reach + 1)
            for right in range(2 * reach + 1)
            if torch.allclose(one, padded[:, down : down + side, right : right + side], atol=1e-4)
        ]
        assert len(fitting) == 1
        shifts.update(fitting)
    assert len(shifts) > 5


def test_rotations_turn_a_little_and_keep_the_range() -> None:
    images = torch.rand(40, 1, 28, 28)
    found = loop.augment(images, ["rotate"], torch.Generator().manual_seed(2))
    assert found.shape == images.shape
    assert 0 <= found.min() <= found.max() <= 1 + 1e-5
    centre = (slice(None), slice(None), slice(12, 16), slice(12, 16))
    corner = (slice(None), slice(None), slice(0, 4), slice(0, 4))
    # Nearer to the axis of the turn things move less: at 15° the centre by half a pixel, a corner by five.
    smooth = F.avg_pool2d(images, 5, 1, 2)
    turned = loop.augment(smooth, ["rotate"], torch.Generator().manual_seed(2))
    assert (turned - smooth)[centre].abs().mean() < 0.7 * (turned - smooth)[corner].abs().mean()


def test_augmentation_is_drawn_from_its_generator_alone() -> None:
    images = torch.rand(10, 1, 8, 8)
    every = ["flip", "rotate", "crop"]
    one, again, other = (loop.augment(images, every, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_running_average_is_what_is_kept(digits_train: data.LabeledImages) -> None:
    trainer = Trainer(Recipe(**TINY, averaging=0.75), digits_train, CPU, "fp32", None)
    start = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.advance()
    first = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.advance()
    for name, value in trainer.network.state_dict().items():
        wanted = 0.75 * (0.75 * start[name] + 0.25 * first[name]) + 0.25 * value
        torch.testing.assert_close(trainer.average[name], wanted)


# --- held-out images, and what is watched on them ----------------------------------------------------------------------------


def test_held_out_images_are_apart_and_always_the_same(digits_train: data.LabeledImages) -> None:
    marked = replace(digits_train, labels=torch.arange(len(digits_train)))
    recipe = Recipe(**{**TINY, "images": 500, "held_out": 100})
    used, held = loop.split_held_out(marked, recipe)
    assert (len(used), len(held)) == (400, 100)
    assert set(used.labels.tolist()) | set(held.labels.tolist()) == set(range(500))
    again = loop.split_held_out(marked, replace(recipe, seed=5))[1]
    assert torch.equal(held.labels, again.labels), "another seed is watched on the same images"


def test_training_never_touches_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    load = data.load

    def watched(name: str, split: str = "test", **options: Any) -> data.LabeledImages:
        asked.append(split)
        return load(name, split, **options)

    monkeypatch.setattr(data, "load", watched)
    *_, last = train(Recipe(**TINY), device=CPU, precision="fp32")
    assert last.model is not None
    assert asked == ["train"]


@pytest.mark.parametrize("held_out", [300, 1437])
def test_too_many_held_out_images_are_refused(held_out: int, digits_train: data.LabeledImages) -> None:
    with pytest.raises(RecipeError, match="held out"):
        next(train(Recipe(**{**TINY, "images": None, "held_out": held_out}), images=digits_train[:300], device=CPU))


def test_progress_tells_all_and_ends_with_the_model(digits_train: data.LabeledImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_YIELD_SECONDS", 0.0)
    *moments, last = train(Recipe(**TINY), images=digits_train, device=CPU, precision="fp32")
    assert [item.step for item in moments] == list(range(1, 9))
    assert all(item.steps == 8 and math.isfinite(item.loss) and item.images_per_second > 0 for item in moments)
    assert [item.epoch for item in moments] == [1] * 4 + [2] * 4
    assert [item.evaluation.step for item in moments if item.evaluation] == [4, 8]
    assert all(item.evaluation.images == 44 for item in moments if item.evaluation)
    assert moments[0].seconds_left > moments[-1].seconds_left == 0
    assert last.model is not None
    assert not last.model.training
    assert not any(parameter.requires_grad for parameter in last.model.parameters())


def history(*figures: tuple[float, float, float]) -> list[Evaluation]:
    return [Evaluation(10 * step, *three, 0.3, 256) for step, three in enumerate(figures, 1)]


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ([], None),
        ([(0.9, 0.2, 0.1)], None),
        ([(0.9, 0.6, 0.55), (0.92, 0.7, 0.6)], None),
        ([(0.9, 0.6, 0.55), (0.92, 0.9, 0.1)], "catastrophic overfitting"),
        ([(0.9, 0.6, 0.55), (0.8, 0.97, 0.1)], "label leaking"),
        ([(0.9, 0.8, 0.4)], "masked"),
        ([(0.9, 0.9, 0.1), (0.9, 0.6, 0.5)], None),
    ],
    ids=["nothing yet", "undefended", "robust", "collapsed", "leaking", "masked", "mended"],
)
def test_overfitting_is_said_in_words(figures: list[tuple[float, float, float]], words: str | None) -> None:
    found = loop.overfitting(history(*figures))
    assert found is None if words is None else words in found
    assert loop.collapsed(history(*figures)) == (words in {"catastrophic overfitting", "label leaking"})


@pytest.mark.parametrize(
    ("accuracies", "good"),
    [
        ([0.5], True),
        ([0.5, 0.44], False),
        ([0.5, 0.46], True),  # one standard error on 100 images: 0.05
        ([0.5, 0.3, 0.6, 0.556], True),  # 0.049 below 0.6
        ([0.5, 0.3, 0.6, 0.55], False),
        ([0.0, 0.0], True),
    ],
)
def test_what_is_as_good_as_the_best(accuracies: list[float], good: bool) -> None:
    history = [loop.Evaluation(step, 0.9, pgd, pgd, 0.1, 100) for step, pgd in enumerate(accuracies)]
    assert loop.as_good_as_its_best(history) is good


def test_the_latest_weights_as_good_as_the_best_are_kept(digits_train: data.LabeledImages) -> None:
    # So fast a rate makes accuracies jump about: the last evaluation is hardly ever among the best.
    values = {**TINY, "epochs": 4, "evaluations": 8, "learning_rate": 0.05, "held_out": 100}
    recipe = Recipe(**values, defense="fgsm_rs", epsilon=0.1, keep_best=True)
    trainer = Trainer(recipe, digits_train, CPU, "fp32", None)
    *_, last = trainer.run()
    best = 0.0
    for item in trainer.history:
        best = max(best, item.pgd)
        if item.pgd >= best - (best * (1 - best) / 100) ** 0.5:
            expected = item.pgd
    held = loop.split_held_out(digits_train, recipe)[1]
    found = accuracy(last.model, held, PGD(steps=loop.EVALUATION_STEPS), 0.1, device=CPU, precision="fp32")
    assert found == pytest.approx(expected)
    assert not same(weights(last.model), weights(trainer.network))


def test_a_collapse_ends_a_run_that_keeps_its_best(digits_train: data.LabeledImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "collapsed", lambda history: len(history) >= 2)
    recipe = Recipe(**{**TINY, "evaluations": 4}, defense="fgsm_rs", epsilon=0.1, keep_best=True)
    *_, last = train(recipe, images=digits_train, device=CPU, precision="fp32")
    assert (last.step, last.steps) == (4, 8)
    assert "collapsed" in last.warning
    *_, kept = train(replace(recipe, keep_best=False), images=digits_train, device=CPU, precision="fp32")
    assert kept.step == 8


# --- stopping and going on ---------------------------------------------------------------------------------------------------

COLOUR: dict[str, Any] = {**TINY, "dataset": "cifar10", "images": None, "held_out": 20, "batch_size": 20, "epochs": 3}
RUNS: dict[str, dict[str, Any]] = {
    "fgsm": {**TINY, "defense": "fgsm", "epsilon": 0.2},
    "trades with everything": {
        **TINY,
        "defense": "trades",
        "epsilon": 0.1,
        "attack_steps": 2,
        "averaging": 0.9,
        "augment": ("flip", "rotate", "crop"),
        "schedule": "cosine",
        "keep_best": True,
        "weight_decay": 0.01,
    },
    "sgd": {**TINY, "optimizer": "sgd", "learning_rate": 0.02, "defense": "fgsm_rs", "epsilon": 0.1, "schedule": "cyclic"},
    "dropout": {**COLOUR, "architecture": "general_cnn", "augment": ("crop",)},
    "batch norm": {
        **COLOUR,
        "architecture": "preact_resnet18",
        "width": 4,
        "defense": "pgd",
        "epsilon": 0.03,
        "attack_steps": 2,
    },
}


def colours() -> data.LabeledImages:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (100, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return data.LabeledImages(pixels, torch.arange(100) % 10, tuple("abcdefghij"), "cifar10")


@pytest.mark.parametrize("run", list(RUNS))
def test_a_resumed_run_gives_the_same_weights_as_one_never_stopped(
    run: str, digits_train: data.LabeledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(**RUNS[run])
    images = digits_train if recipe.dataset == "digits" else colours()
    whole = finished(recipe, images)
    monkeypatch.setattr(loop, "_YIELD_SECONDS", 0.0)
    dice, final, histories = random.Random(run), None, []
    while final is None:
        running = train(recipe, images=images, device=CPU, precision="fp32", folder=tmp_path)
        for _ in range(dice.randint(1, 3)):
            if (moment := next(running)).model is not None:
                final = moment.model
                break
            histories += [moment.evaluation] if moment.evaluation else []
        running.close()
    assert same(weights(final), weights(whole))
    assert [item.step for item in histories] == sorted({item.step for item in histories})
    assert [path.name for path in tmp_path.iterdir()] == [loop.STATE_FILE]


def test_a_resumed_run_keeps_the_precision_it_began_with(
    digits_train: data.LabeledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one is faster is measured, and a busy machine may measure otherwise the second time."""
    recipe, seen = Recipe(**{**TINY, "held_out": 0}), []
    for faster in ("bf16", "fp32"):
        monkeypatch.setattr(loop, "fastest_precision", lambda _, faster=faster: faster)
        running = train(recipe, images=digits_train, device=CPU, folder=tmp_path)
        seen.append(next(running).precision)
        running.close()
    told = next(train(recipe, images=digits_train, device=CPU, precision="fp32", folder=tmp_path)).precision
    assert (*seen, told) == ("bf16", "bf16", "fp32")


def test_the_end_remembers_every_evaluation(digits_train: data.LabeledImages, tmp_path: Path) -> None:
    """Those of before a stop as well."""
    recipe = Recipe(**{**TINY, "held_out": 32, "evaluations": 3})
    running = train(recipe, images=digits_train, device=CPU, precision="fp32", folder=tmp_path)
    seen = [next(found for item in running if (found := item.evaluation))]
    running.close()
    *rest, last = train(recipe, images=digits_train, device=CPU, precision="fp32", folder=tmp_path)
    seen += [item.evaluation for item in rest if item.evaluation]
    assert len(seen) == 3
    assert list(last.history) == seen


def test_a_finished_run_gives_its_model_again(digits_train: data.LabeledImages, tmp_path: Path) -> None:
    recipe = Recipe(**{**TINY, "held_out": 0})
    first = finished(recipe, digits_train, folder=tmp_path)
    moments = list(train(recipe, images=digits_train, device=CPU, precision="fp32", folder=tmp_path))
    assert len(moments) == 1
    assert same(weights(moments[0].model), weights(first))


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(digits_train: data.LabeledImages) -> None:
    recipe = Recipe(**TINY, defense="fgsm_rs", epsilon=0.1)
    one, again = finished(recipe, digits_train), finished(recipe, digits_train)
    assert same(weights(one), weights(again))
    assert not same(weights(one), weights(finished(replace(recipe, seed=1), digits_train)))


@pytest.fixture
def saved(digits_train: data.LabeledImages, tmp_path: Path) -> Path:
    """The folder of a run stopped after its first step."""
    running = train(Recipe(**TINY, averaging=0.5), images=digits_train, device=CPU, precision="fp32", folder=tmp_path)
    next(running)
    running.close()
    return tmp_path


def change_state(folder: Path, tensors: dict[str, Any] | None = None, **facts: Any) -> None:
    """The state with other tensors (None drops one) and other facts in its header."""
    path = folder / loop.STATE_FILE
    held, metadata = checkpoints.read_safetensors(path)
    header = json.loads(metadata["training"]) | facts
    held = {name: value for name, value in (held | (tensors or {})).items() if value is not None}
    checkpoints.write_safetensors(path, held, {"training": json.dumps(header)})


@pytest.mark.parametrize(
    "changes",
    [
        {"step": -1},
        {"step": 10**9},
        {"step": "4"},
        {"step": None},
        {"seconds": "long"},
        {"history": [1]},
        {"history": [{"step": 1}]},
        {"history": {"a": 1}},
        {"tensors": {"model.1.weight": None}},
        {"tensors": {"model.1.weight": torch.zeros(2)}},
        {"tensors": {"model.more": torch.zeros(2)}},
        {"tensors": {"average.1.weight": None}},
        {"tensors": {"best.1.weight": torch.zeros(1)}},
        {"tensors": {"optimizer.0.exp_avg": torch.zeros(7)}},
        {"tensors": {"optimizer.99.exp_avg": torch.zeros(7)}},
        {"tensors": {"optimizer.x": torch.zeros(7)}},
        {"tensors": {f"optimizer.3.{name}": None for name in ("step", "exp_avg", "exp_avg_sq")}},
    ],
    ids=str,
)
def test_a_state_that_is_none_is_refused_with_a_sentence(
    changes: dict[str, Any], saved: Path, digits_train: data.LabeledImages
) -> None:
    change_state(saved, **changes)
    with pytest.raises(CheckpointError, match="delete it to start again"):
        next(train(Recipe(**TINY, averaging=0.5), images=digits_train, device=CPU, precision="fp32", folder=saved))


def test_a_truncated_or_foreign_state_is_refused(saved: Path, digits_train: data.LabeledImages) -> None:
    path = saved / loop.STATE_FILE
    whole = path.read_bytes()
    for broken in (b"", whole[:7], whole[: len(whole) // 2], b"PK" + whole, whole[:8] + b"x" + whole[9:]):
        path.write_bytes(broken)
        with pytest.raises(CheckpointError):
            next(train(Recipe(**TINY, averaging=0.5), images=digits_train, device=CPU, folder=saved))
        with pytest.raises(CheckpointError):
            loop.state_step(saved)


def test_the_state_of_another_recipe_is_left_alone(saved: Path, digits_train: data.LabeledImages) -> None:
    before = (saved / loop.STATE_FILE).read_bytes()
    with pytest.raises(RecipeError, match="another recipe"):
        next(train(Recipe(**TINY, averaging=0.5, seed=9), images=digits_train, device=CPU, folder=saved))
    assert (saved / loop.STATE_FILE).read_bytes() == before


def test_the_step_is_read_without_the_tensors(saved: Path, tmp_path: Path) -> None:
    assert loop.state_step(saved) == 1
    assert loop.state_step(tmp_path / "nowhere") == 0


# --- what cannot be trained --------------------------------------------------------------------------------------------------


def test_a_diverging_run_says_so_and_saves_nothing_broken(digits_train: data.LabeledImages, tmp_path: Path) -> None:
    recipe = Recipe(**{**TINY, "epochs": 40, "evaluations": 40}, optimizer="sgd", learning_rate=10.0)
    with pytest.raises(RecipeError, match=r"diverged.*lower the learning rate"):
        list(train(recipe, images=digits_train, device=CPU, precision="fp32", folder=tmp_path))


def test_a_start_of_another_architecture_is_refused(digits_train: data.LabeledImages) -> None:
    recipe = Recipe(**{**TINY, "architecture": "general_cnn"}, warm_start="digits/digits_cnn-standard")
    with pytest.raises(RecipeError, match="another architecture"):
        next(train(recipe, images=digits_train, device=CPU))


def test_a_warm_start_begins_with_the_checkpoints_weights(digits_train: data.LabeledImages) -> None:
    recipe = Recipe(**TINY, warm_start="digits/digits_cnn-standard")
    start = checkpoints.find("digits/digits_cnn-standard").model()
    assert same(weights(loop.initial_model(recipe, digits_train)), weights(start))


def test_a_teacher_of_other_images_is_refused(digits_train: data.LabeledImages) -> None:
    recipe = Recipe(**TINY, defense="distill", teacher="mnist/lee_cnn-standard")
    with pytest.raises(CheckpointError, match="takes images of 28×28 grey"):
        next(train(recipe, images=digits_train, device=CPU))


def test_unknown_checkpoints_are_named(digits_train: data.LabeledImages) -> None:
    for values in ({"warm_start": "digits/nobody"}, {"defense": "distill", "teacher": "../../etc/passwd"}):
        with pytest.raises(CheckpointError, match="There is no checkpoint"):
            next(train(Recipe(**TINY, **values), images=digits_train, device=CPU))


def test_a_batch_larger_than_the_images_is_the_whole_of_them(digits_train: data.LabeledImages) -> None:
    *_, last = train(Recipe(**{**TINY, "batch_size": 5000}), images=digits_train, device=CPU, precision="fp32")
    assert last.step == 2
