"""The defenses: what each computes, that it defends, and that one entry is all that a new one needs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from advcore import data
from advcore.attacks import FGSM, PGD, clip
from advcore.defenses import DEFENSES, Defense, Step
from advcore.defenses.batches import Batches
from advcore.defenses.distill import distillation_loss
from advcore.defenses.trades import trades_loss
from advcore.errors import RecipeError
from advcore.evaluation.curves import accuracy
from advcore.models import checkpoints
from advcore.recipe import SETTINGS, Recipe, explained
from advcore.training.loop import Trainer, train
from tests.makers import fresh

CPU = torch.device("cpu")
ATTACKED = [name for name, defense in DEFENSES.items() if defense.epsilon == "required"]
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


# --- that they defend --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits_train() -> data.LabeledImages:
    return data.load("digits", "train")


def finished(recipe: Recipe, images: data.LabeledImages) -> nn.Module:
    """The model that the recipe gives."""
    *_, last = train(recipe, images=images, device=CPU, precision="fp32")
    return last.model


def robust_error(model: nn.Module, digits: data.LabeledImages) -> float:
    return 1 - accuracy(model, digits[:200], PGD(steps=10), BUDGET, device=CPU, precision="fp32")


def clean_accuracy(model: nn.Module, digits: data.LabeledImages) -> float:
    return accuracy(model, digits, FGSM(), 0.0, device=CPU, precision="fp32")


@pytest.fixture(scope="module")
def undefended(digits_train: data.LabeledImages) -> nn.Module:
    return finished(Recipe(**LEARNS), digits_train)


@pytest.fixture(scope="module")
def without(undefended: nn.Module, digits: data.LabeledImages) -> float:
    """The robust error of the undefended network."""
    return robust_error(undefended, digits)


def test_standard_training_learns_and_does_not_defend(
    undefended: nn.Module, without: float, digits: data.LabeledImages
) -> None:
    assert clean_accuracy(undefended, digits) > 0.9
    assert without > 0.6


@pytest.mark.parametrize("defense", ATTACKED)
def test_each_defense_lowers_the_robust_error(
    defense: str, without: float, digits_train: data.LabeledImages, digits: data.LabeledImages
) -> None:
    model = finished(Recipe(**LEARNS, defense=defense, epsilon=BUDGET, attack_steps=3), digits_train)
    assert clean_accuracy(model, digits) > 0.7
    assert robust_error(model, digits) < without - 0.25


def test_distillation_learns_from_its_teacher_and_defends_with_fgsm(
    undefended: nn.Module, without: float, digits_train: data.LabeledImages, digits: data.LabeledImages
) -> None:
    place = checkpoints.own_root() / "digits" / "teacher.safetensors"
    recipe, names = Recipe(**LEARNS), digits.class_names
    checkpoints.save(place, undefended, recipe, shape=digits.shape, class_names=names, metrics={}, provenance={})
    distilled = {**LEARNS, "defense": "distill", "teacher": "digits/teacher", "temperature": 5.0}
    assert clean_accuracy(finished(Recipe(**distilled), digits_train), digits) > 0.85
    both = finished(Recipe(**distilled, epsilon=BUDGET), digits_train)
    assert robust_error(both, digits) < without - 0.15


# --- what they compute -------------------------------------------------------------------------------------------------

EPSILON = 0.1


def a_recipe(defense: str, **values: Any) -> Recipe:
    entry = DEFENSES[defense]
    values |= {"teacher": "digits/any"} if entry.needs_teacher else {}
    epsilon = EPSILON if entry.epsilon == "required" else 0.0
    return Recipe(
        **{"dataset": "digits", "architecture": "digits_cnn", "epsilon": epsilon, "attack_steps": 3} | values, defense=defense
    )


def a_step(recipe: Recipe, network: nn.Module, teacher: nn.Module | None = None) -> Step:
    return Step(Batches(network), network, recipe, torch.Generator().manual_seed(0), teacher)


def losses(recipe: Recipe, network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], **more: Any) -> Iterator[torch.Tensor]:
    return DEFENSES[recipe.defense].losses(a_step(recipe, network, **more), *batch)


def gradients(network: nn.Module, parts: Iterator[torch.Tensor]) -> list[torch.Tensor]:
    network.zero_grad()
    for loss in parts:
        loss.backward()
    return [parameter.grad.clone() for parameter in network.parameters()]


@pytest.fixture
def network() -> nn.Module:
    return fresh("digits_cnn", (1, 8, 8)).train()


@pytest.fixture
def normalized() -> nn.Module:
    """A network with batch normalization."""
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)]
    return nn.Sequential(*layers).train()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(12, 1, 8, 8), torch.arange(12) % 10


def passes(network: nn.Module) -> list[torch.Tensor]:
    """Every batch that goes through the network from now on."""
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    return seen


@pytest.mark.parametrize("kind", ["network", "normalized"])
def test_fgsm_is_the_mean_over_the_clean_and_the_attacked_batch_concatenated(
    kind: str, request: pytest.FixtureRequest, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Also with batch normalization: both halves share their batch statistics, as in the studies."""
    network, (images, labels) = request.getfixturevalue(kind), batch
    found = gradients(network, losses(a_recipe("fgsm"), network, batch))
    leaf = images.clone().requires_grad_()
    (direction,) = torch.autograd.grad(F.cross_entropy(network(leaf), labels), leaf)
    both = torch.cat([images, clip(images, direction.sign(), EPSILON)])
    whole = F.cross_entropy(network(both), torch.cat([labels, labels]))
    for one, other in zip(found, gradients(network, iter([whole])), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_fgsm_attacks_at_full_size_and_costs_no_pass_of_its_own(
    network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, labels = batch
    direction = FGSM().direction(network, images, labels)
    seen = passes(network)
    gradients(network, losses(a_recipe("fgsm"), network, batch))
    assert len(seen) == 2
    assert torch.equal(seen[0], images)
    assert torch.equal(seen[1], clip(images, direction, EPSILON))


@pytest.mark.parametrize(
    ("defense", "count", "reach"), [("standard", 1, 0), ("fgsm_rs", 2, 1), ("n_fgsm", 2, 3), ("pgd", 4, 1), ("trades", 6, 1)]
)
def test_the_attacked_images_lie_within_the_budget_and_cost_their_passes(
    defense: str, count: int, reach: int, network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    seen = passes(network)
    gradients(network, losses(a_recipe(defense), network, batch))
    assert len(seen) == count
    moved = (seen[-1] - batch[0]).abs()
    assert moved.max() <= reach * EPSILON + 1e-6
    assert 0 <= seen[-1].min() <= seen[-1].max() <= 1
    if reach:  # most pixels changed
        assert moved.mean() > 0.02


def test_n_fgsm_takes_one_step_of_epsilon_from_noise_of_twice_that(
    network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, labels = batch
    images = images * 0.2 + 0.4  # far from 0 and 1, where nothing is clipped
    seen = passes(network)
    gradients(network, losses(a_recipe("n_fgsm"), network, (images, labels)))
    noise, step = seen[0] - images, seen[1] - seen[0]
    assert 1.9 * EPSILON < noise.abs().max() <= 2 * EPSILON
    torch.testing.assert_close(step.abs(), torch.full_like(step, EPSILON), atol=1e-5, rtol=0)
    assert (seen[1] - images).abs().max() > 2 * EPSILON, "not projected back"


def test_the_trades_loss_by_hand() -> None:
    clean = torch.log(torch.tensor([[0.5, 0.5], [0.8, 0.2]]))
    attacked = torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    cross_entropy = -(math.log(0.5) + math.log(0.2)) / 2
    first = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    second = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    found = trades_loss(clean, attacked, torch.tensor([0, 1]), beta=6.0)
    assert float(found) == pytest.approx(cross_entropy + 6 * (first + second) / 2, rel=1e-5)


def test_the_trades_attack_climbs_the_divergence_that_the_loss_contains(
    network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, labels = batch
    recipe, seen = a_recipe("trades", attack_steps=5), passes(network)
    loss = sum(losses(recipe, network, batch))
    attacked, start = seen[-1], seen[1]

    def divergence(other: torch.Tensor) -> float:
        with torch.no_grad():
            return float(F.kl_div(network(other).log_softmax(1), network(images).softmax(1), reduction="batchmean"))

    assert divergence(attacked) > 5 * divergence(start)
    wanted = F.cross_entropy(network(images), labels) + recipe.trades_beta * divergence(attacked)
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)


def test_the_trades_attack_starts_from_gaussian_noise_of_a_thousandth(network: nn.Module) -> None:
    images = torch.full((64, 1, 8, 8), 0.5)
    seen = passes(network)
    gradients(network, losses(a_recipe("trades"), network, (images, torch.zeros(64, dtype=torch.int64))))
    noise = seen[1] - images
    assert float(noise.std()) == pytest.approx(0.001, rel=0.1)
    assert noise.abs().max() > 0.0025, "uniform noise would end at 0.001"


def test_trades_normalizes_the_clean_and_the_attacked_batch_each_by_itself(
    normalized: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """And attacks in eval mode: only the two passes of the loss change the running statistics."""
    seen = passes(normalized)
    (loss,) = losses(a_recipe("trades"), normalized, batch)
    assert int(normalized[1].num_batches_tracked) == 2
    clean, attacked = seen[-2:]
    assert torch.equal(clean, batch[0])
    logits, pushed = normalized(clean), normalized(attacked)
    assert float(loss.detach()) == pytest.approx(float(trades_loss(logits, pushed, batch[1], 6.0).detach()), rel=1e-5)


def test_the_distillation_loss_by_hand() -> None:
    taught = torch.tensor([[2.0, 0.0], [0.0, 4.0]])
    logits = torch.tensor([[1.0, 0.0], [3.0, 0.0]])

    def softmax(one: float, other: float) -> tuple[float, float]:
        total = math.exp(one) + math.exp(other)
        return math.exp(one) / total, math.exp(other) / total

    first = -sum(p * math.log(q) for p, q in zip(softmax(1, 0), softmax(0.5, 0), strict=True))
    second = -sum(p * math.log(q) for p, q in zip(softmax(0, 2), softmax(1.5, 0), strict=True))
    assert float(distillation_loss(logits, taught, temperature=2.0)) == pytest.approx((first + second) / 2, rel=1e-5)


def test_a_temperature_divides_the_logits(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    (loss,) = losses(a_recipe("temperature", temperature=5.0), network, batch)
    wanted = -(network(batch[0]) / 5).log_softmax(1)[torch.arange(12), batch[1]].mean()
    torch.testing.assert_close(loss, wanted)


def test_a_student_that_predicts_like_its_teacher_has_nothing_to_learn(
    network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    found = gradients(network, losses(a_recipe("distill"), network, batch, teacher=network))
    assert max(float(part.abs().max()) for part in found) < 1e-6


def test_label_smoothing_reaches_the_loss(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    (loss,) = losses(a_recipe("standard", label_smoothing=0.2), network, batch)
    shares = network(batch[0]).log_softmax(1)
    wanted = -(0.8 * shares[torch.arange(12), batch[1]] + 0.2 * shares.mean(1)).mean()
    torch.testing.assert_close(loss, wanted)


@pytest.mark.parametrize("defense", [name for name, entry in DEFENSES.items() if not entry.needs_teacher])
def test_half_precision_reaches_every_weight(defense: str, digits_train: data.LabeledImages) -> None:
    recipe = a_recipe(defense, images=300, held_out=0, batch_size=64)
    trainer = Trainer(recipe, digits_train, CPU, "bf16", None)
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    assert math.isfinite(float(trainer.advance()))
    for name, value in trainer.network.named_parameters():
        assert value.dtype == torch.float32
        assert not torch.equal(value, before[name]), name


# --- the registry ------------------------------------------------------------------------------------------------------


def test_the_settings_of_the_defenses_are_fields_of_the_recipe() -> None:
    for defense in DEFENSES.values():
        for setting in defense.settings:
            assert SETTINGS[setting.name] == setting


def test_one_entry_is_all_that_the_engine_needs_for_a_new_defense(
    monkeypatch: pytest.MonkeyPatch, digits_train: data.LabeledImages
) -> None:
    """Recipe, command line and training loop; tests/pages/test_retrain.py asks the same of the form and the captions."""
    called = []

    def mine(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
        called.append(len(images))
        yield step.loss(images, labels)

    with pytest.raises(RecipeError, match="no defense 'mine'"):
        Recipe(**LEARNS, defense="mine", epsilon=0.1)
    entry = Defense(
        name="mine", title="My own", trained="trained my way", about="does something new", paper="Me 2026", losses=mine
    )
    monkeypatch.setitem(DEFENSES, "mine", entry)
    with pytest.raises(RecipeError, match="'mine' needs an ε above 0"):
        Recipe(**LEARNS, defense="mine")
    assert "mine: does something new (Me 2026)" in explained("defense")
    Trainer(Recipe(**LEARNS, defense="mine", epsilon=0.1), digits_train, CPU, "fp32", None).advance()
    assert called == [64]


def test_noise_training_is_cross_entropy_on_gaussian_noise_that_is_not_clipped() -> None:
    network, recipe = fresh("digits_cnn", (1, 8, 8)).train(), a_recipe("noise", sigma=0.5)
    images, labels = torch.rand(200, 1, 8, 8), torch.arange(200) % 10
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    (loss,) = losses(recipe, network, (images, labels))
    noise = seen[0] - images
    assert float(noise.std()) == pytest.approx(0.5, rel=0.03)
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(seen[0].min()) < -0.5
    assert torch.allclose(loss, F.cross_entropy(network(seen[0]), labels))
    assert recipe.checkpoint_id == "digits/digits_cnn-noise-0.5"
