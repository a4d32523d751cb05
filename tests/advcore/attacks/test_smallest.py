"""DeepFool, C&W and JSMA: by hand, beside foolbox, and through sweeps."""

from __future__ import annotations

import foolbox
import pytest
import torch
from torch import Tensor, nn

from advcore import attacks
from advcore.attacks import JSMA, CarliniWagner, DeepFool, SmallestAttack, predict
from advcore.data import LabeledImages
from advcore.models import checkpoints
from tests.advcore.attacks.test_attacks import foolbox_model, smooth
from tests.makers import linear

FEW = 12
QUICK_CW = CarliniWagner(searches=4, steps=50)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return checkpoints.find("digits/digits_cnn-standard").model().requires_grad_(False)


def their_distances(attack: foolbox.attacks.base.Attack, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    _, found, fooled = attack(foolbox_model(model), images, labels, epsilons=None)
    change = (found - images).flatten(1)
    distance = change.abs().amax(1) if "Linf" in type(attack).__name__ else change.norm(dim=1)
    return torch.where(predict(model, images) == labels, distance.where(fooled, torch.inf), 0.0)


def test_deepfool_finds_the_plane_of_a_linear_model() -> None:
    """Logits a and b + 0.1 at (0.6, 0.3): the boundary a = b + 0.1 is 0.2/√2 away in L2, 0.1 in L∞."""
    model = linear(torch.eye(2), [0.0, 0.1])
    image, label = torch.tensor([[0.6, 0.3]]).view(1, 1, 1, 2), torch.tensor([0])
    for norm, distance in (("l2", 0.2 / 2**0.5), ("linf", 0.1)):
        found, size = DeepFool(norm=norm).closest(model, image, label)
        assert size.item() == pytest.approx(1.02 * distance, abs=1e-3)
        assert predict(model, found).item() == 1
    assert CarliniWagner(searches=6, steps=100).closest(model, image, label)[1].item() == pytest.approx(0.2 / 2**0.5, rel=0.02)


@pytest.mark.parametrize(
    ("ours", "theirs", "tolerance"),
    [
        (DeepFool(), foolbox.attacks.L2DeepFoolAttack(), 0.01),
        (DeepFool(norm="linf"), foolbox.attacks.LinfDeepFoolAttack(), 0.01),
        (QUICK_CW, foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=4, steps=50, stepsize=0.05), 0.03),
    ],
    ids=["DeepFool L2", "DeepFool Linf", "C&W"],
)
def test_distances_are_foolboxs(
    ours: SmallestAttack, theirs: foolbox.attacks.base.Attack, tolerance: float, model: nn.Module, digits: LabeledImages
) -> None:
    """The mean distance differs by at most 1 % (DeepFool) or is at most 3 % longer (C&W)."""
    images, labels = digits[:FEW].pixels(), digits[:FEW].labels
    found, distance = ours.closest(model, images, labels)
    peer = their_distances(theirs, model, images, labels)
    assert (predict(model, found) != labels).all()
    assert distance.mean().item() <= (1 + tolerance) * peer.mean().item()
    if isinstance(ours, DeepFool):
        assert distance.mean().item() == pytest.approx(peer.mean().item(), rel=tolerance)


@pytest.mark.parametrize("attack", [DeepFool(), DeepFool(norm="linf"), QUICK_CW, JSMA(share=0.3)], ids=attacks.title)
def test_a_sweep_fools_from_the_distance_on(attack: SmallestAttack, model: nn.Module, digits: LabeledImages) -> None:
    images, labels = digits[:5].pixels(), digits[:5].labels
    found, distance = attack.closest(model, images, labels)
    assert found.min() >= 0
    assert found.max() <= 1
    grid = [0.0, 0.05, 0.1, 0.3, 1.0]
    for epsilon, attacked in zip(grid, attack.sweep(model, images, labels, grid), strict=True):
        change = (attacked.double() - images.double()).flatten(1)
        size = {"l2": change.norm(dim=1), "linf": change.abs().amax(1), "l0": (change != 0).double().mean(1)}[attack.norm]
        assert size.max().item() <= epsilon
        reached = distance <= epsilon
        assert torch.equal(attacked[reached], found[reached])
        assert (predict(model, attacked)[reached] != labels[reached]).all()


def test_a_search_for_one_budget_ends_when_it_is_met_and_fools_the_same_images(model: nn.Module, digits: LabeledImages) -> None:
    images, labels = digits[:12].pixels(), digits[:12].labels
    asked = []
    hook = model.register_forward_hook(lambda _, given, __: asked.append(len(given[0])))
    _, distance = QUICK_CW.closest(model, images, labels)
    whole, epsilon = sum(asked), distance.median().item()
    asked.clear()
    attacked = QUICK_CW.perturb(model, images, labels, epsilon)
    ended = sum(asked)
    hook.remove()
    assert torch.equal(predict(model, attacked) != labels, distance <= epsilon)
    assert 0 < (distance <= epsilon).sum() < 12
    assert ended < whole


def test_images_that_are_wrong_already_are_at_distance_zero(model: nn.Module, digits: LabeledImages) -> None:
    images = digits[:4].pixels()
    wrong = (predict(model, images) + 1) % 10
    for attack in (DeepFool(), QUICK_CW, JSMA()):
        found, distance = attack.closest(model, images, wrong)
        assert distance.tolist() == [0] * 4
        assert torch.equal(found, images)


def test_what_cannot_be_fooled_is_infinitely_far() -> None:
    model = linear(torch.zeros(2, 4), [1.0, 0.0])  # says class 0 to everything
    images, labels = torch.rand(3, 1, 2, 2), torch.zeros(3, dtype=torch.int64)
    for attack in (DeepFool(), CarliniWagner(searches=2, steps=5), JSMA()):
        found, distance = attack.closest(model, images, labels)
        assert distance.isinf().all()
        assert torch.equal(found, images)


def test_jsma_sets_the_values_that_matter_most() -> None:
    """Values 2 and 3 speak for class 1 and against class 0: raising those two is all it takes."""
    model = linear(torch.tensor([[1.0, 1, -1, -1, 0, 0], [0, 0, 3, 3, 0, 0]]))
    image = torch.tensor([0.9, 0.9, 0.1, 0.2, 0.5, 0.5]).view(1, 1, 2, 3)
    found, distance = JSMA(share=0.5).closest(model, image, torch.tensor([0]))
    assert found.flatten().tolist() == pytest.approx([0.9, 0.9, 1, 1, 0.5, 0.5])
    assert distance.item() == pytest.approx(2 / 6)


@pytest.mark.parametrize("attack", [JSMA(targeted=True, share=0.6), CarliniWagner(targeted=True, searches=5, steps=80)])
def test_targets_are_reached(attack: SmallestAttack) -> None:
    model, images = smooth(), torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    targets = (predict(model, images) + 3) % 10
    found, distance = attack.closest(model, images, targets)
    reached = distance.isfinite()
    assert reached.float().mean() > 0.7
    assert torch.equal(predict(model, found)[reached], targets[reached])
