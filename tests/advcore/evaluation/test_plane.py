"""Decision maps: tiny networks whose boundary is known, the ε-box of a plane, and directions of the same size."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from advcore.attacks import FGSM, PGD, predict
from advcore.errors import AttackError
from advcore.evaluation.plane import SIDES, Plane, attack_direction, decision_map, random_direction
from advcore.evaluation.scrub import scrub

IMAGE = torch.full((1, 2, 2), 0.5)


class Linear(nn.Module):
    """Class 1 where w·x > offset."""

    def __init__(self, weights: torch.Tensor, offset: float) -> None:
        super().__init__()
        self.weights, self.offset = weights, offset

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = (images * self.weights).flatten(1).sum(1) - self.offset
        return torch.stack([torch.zeros_like(score), score], 1)


def test_the_map_of_a_linear_model_is_cut_by_a_straight_line() -> None:
    weights = torch.tensor([[[1.0, 2.0], [-1.0, 0.5]]])
    u, v = torch.tensor([[[1.0, 1.0], [-1.0, 1.0]]]), torch.tensor([[[1.0, -1.0], [1.0, 1.0]]])
    plane = Plane(IMAGE, u, v, (0.4, 0.2))
    *_, found = decision_map(Linear(weights, 1.5), plane)
    # The score is 1.25 + 4.5·a − 1.5·b − 1.5, and nothing is clipped: |a| + |b| ≤ 0.5 does not hold in the corners only.
    a, b = torch.meshgrid(torch.linspace(-0.4, 0.4, 101), torch.linspace(-0.2, 0.2, 101), indexing="xy")
    score = 4.5 * a - 1.5 * b - 0.25
    inside = (a.abs() + b.abs() <= 0.5) & (score.abs() > 1e-5)
    assert torch.equal((score > 0)[inside], (found.classes == 1)[inside])
    # Along v alone the score is −0.25 − 1.5·b, above 0 from b = −1/6 on: the next point of the grid.
    assert found.first_change(plane) == pytest.approx(0.168)
    assert next(decision_map(Linear(weights, 3.0), plane)).first_change(plane) == math.inf
    sure = torch.sigmoid(score.abs())
    assert torch.allclose(sure[inside], found.confidence[inside], atol=1e-6)


def test_each_grid_holds_the_points_of_the_coarser_one_and_the_worker_can_go_on() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    plane = Plane(IMAGE, torch.ones(1, 2, 2), random_direction(torch.rand(1, 2, 2), 1), (0.5, 0.5))
    seen = [found for found in decision_map(model, plane) if found is not None]
    assert [found.side for found in seen] == list(SIDES)
    assert torch.equal(seen[1].classes, seen[2].classes[::2, ::2])
    assert torch.equal(seen[0].confidence, seen[2].confidence[::10, ::10])
    *_, later = decision_map(model, plane, known=seen[0])
    assert torch.equal(later.classes, seen[2].classes)
    assert seen[2].share == 1
    record = seen[0].rows(plane, ("x", "y", "z"))[1]
    assert (record["a"], record["b"]) == (-0.4, -0.5)
    assert record["class"] == "xyz"[int(seen[0].classes[0, 1])]


@pytest.mark.parametrize("second", [[[1.0, -1.0], [1.0, 1.0]], [[0.3, -0.7], [0.2, 0.9]]])
def test_the_box_is_where_no_pixel_changes_by_more_than_epsilon(second: list[list[float]]) -> None:
    torch.manual_seed(3)
    u, v = torch.tensor([[[1.0, 1.0], [-1.0, 0.4]]]), torch.tensor([second])
    plane = Plane(IMAGE, u, v, (1.0, 1.0))
    corners = torch.from_numpy(plane.box).float()
    size = (corners[:, :1, None, None] * u + corners[:, 1:, None, None] * v).abs().amax((1, 2, 3))
    assert torch.allclose(size, torch.ones(len(corners)), atol=1e-5), "each corner lies on the border"
    # Inside of all edges if and only if no pixel changes by more than 1.
    points = torch.rand(500, 2) * 4 - 2
    largest = (points[:, :1, None, None] * u + points[:, 1:, None, None] * v).abs().amax((1, 2, 3))
    following = corners.roll(-1, 0)
    edge = following - corners
    turned = edge[:, 0] * (points[:, None, 1] - corners[:, 1]) - edge[:, 1] * (points[:, None, 0] - corners[:, 0])
    assert torch.equal((turned > 0).all(1), largest < 1)


def test_directions_that_point_the_same_way_span_no_plane() -> None:
    with pytest.raises(AttackError, match="same way"):
        Plane(IMAGE, torch.ones(1, 2, 2), -torch.ones(1, 2, 2), (1.0, 1.0))


def test_a_random_direction_has_the_same_size_in_every_norm_and_comes_from_its_seed() -> None:
    like = torch.randn(3, 8, 8)
    found = random_direction(like, 5)
    assert torch.equal(found.abs().flatten().sort().values, like.abs().flatten().sort().values)
    assert torch.equal(found, random_direction(like, 5))
    assert not torch.equal(found, random_direction(like, 6))
    assert abs(float((found * like).sum() / like.norm() ** 2)) < 0.3


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=5)])
def test_the_attacked_image_lies_on_the_plane(attack: FGSM | PGD) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5)).eval()
    image = torch.rand(1, 1, 8, 8)
    seen = scrub(model, image, attack, [0.0, 0.05, 0.1, 0.2])
    u = attack_direction(seen, 0.1)
    plane = Plane(image[0], u, random_direction(u, 0), (0.2, 0.2))
    place = seen.epsilons.index(0.1)
    assert torch.allclose(plane.at(torch.tensor([[0.1, 0.0]])), seen.attacked(place), atol=0.5 / 255)
    assert torch.allclose(plane.places(plane.image + 0.03 * u[None]), torch.tensor([[0.03, 0.0]]), atol=1e-5)
    assert torch.allclose(plane.path(seen)[place], torch.tensor([0.1, 0.0]), atol=2e-3)
    assert int(predict(model, plane.at(torch.zeros(1, 2)))) == int(seen.answers[0])


def test_an_attack_that_changes_nothing_has_no_direction() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    nn.init.zeros_(flat[1].weight)
    with pytest.raises(AttackError, match="changes nothing"):
        attack_direction(scrub(flat, IMAGE[None], FGSM(), [0.0, 0.1]), 0.1)
