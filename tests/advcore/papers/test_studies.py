"""The studies' tables: the figures as they were published, each with a model that can be measured."""

from __future__ import annotations

import pytest

from advcore.attacks import check_epsilon
from advcore.papers import replication
from advcore.papers.p4 import LEAKED
from advcore.papers.studies import STUDIES, find
from advcore.papers.study import Figure, Study


def published(study: str, row: str, measures: str, *, defended: bool, epsilon: float) -> float | None:
    """The one figure of a study's table that is meant."""
    (found,) = [
        figure.percent
        for figure in STUDIES[study].figures
        if (figure.row, figure.measures, figure.defended, figure.epsilon) == (row, measures, defended, epsilon)
    ]
    return found


@pytest.mark.parametrize(
    ("study", "row", "measures", "defended", "epsilon", "percent"),
    [
        ("P1", "CIFAR-10 (JPEG copy)", "clean", False, 0, 78.19),
        ("P1", "ImageNet (here Tiny ImageNet)", "drop", False, 0.03, 27.56),
        ("P1", "Fashion-MNIST", "FGSM", True, 0.1, 81.82),
        ("P1", "MNIST, other account", "FGSM", True, 0.3, 95),
        ("P2", "before", "FGSM", False, 0.3, 67.9),
        ("P2", "after", "FGSM", True, 0.8, 60.31),
        ("P3", "experiment 3", "FGSM", True, 1.0, 94.47),
        ("P3", "experiment 4 (deeper)", "FGSM", True, 0.5, 97.13),
        ("P4", "CNN", "PGD", False, 0.1, 7.8),
        ("P4", "in its prose, CNN", "FGSM", False, 0.1, 10),
    ],
)
def test_figures_are_those_published(
    study: str, row: str, measures: str, defended: bool, epsilon: float, percent: float
) -> None:
    assert published(study, row, measures, defended=defended, epsilon=epsilon) == percent


def test_every_table_is_complete() -> None:
    """P1: four datasets with three figures each and four of the other account; P2: 9 + 8; P3: 8; P4: 6 + 2."""
    counts = {key: sum(figure.percent is not None for figure in study.figures) for key, study in STUDIES.items()}
    assert counts.items() >= {"P1": 16, "P2": 17, "P3": 8, "P4": 8}.items()
    assert all(counts[key] == 0 for key in ("Q1", "Q2", "Q3"))
    assert STUDIES["P1"].datasets == ("mnist", "fashion-mnist", "cifar10", "tiny-imagenet")


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.key)
def test_every_model_has_a_recipe_and_every_epsilon_is_valid(study: Study) -> None:
    for model in study.models:
        assert model == LEAKED or replication.recipe(model).checkpoint_id == model
    parts = study.accuracies()
    assert len(parts) == len(set(parts)) > 0
    assert all(part.attack == "C&W" or check_epsilon(part.epsilon) == part.epsilon for part in parts)
    assert {part.model for part in parts} <= set(study.models)


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.key)
def test_readings_measure_different_things_and_each_single_step_has_pgd_beside_it(study: Study) -> None:
    measured = set(study.accuracies())
    for figure in study.figures:
        readings = study.readings_of(figure)
        assert readings[0] == study.readings[0]
        sums = [reading.quantity(figure) for reading in readings]
        assert all(one != other for place, one in enumerate(sums) for other in sums[:place])
        if figure.single_step:
            assert all(set(reading.quantity(figure, "PGD")) <= measured for reading in readings)


def test_a_clean_figure_depends_on_the_model_alone() -> None:
    before, after = (figure for figure in STUDIES["P2"].figures if figure.measures == "clean")
    assert len(STUDIES["P2"].readings_of(before)) == 1
    readings = STUDIES["P2"].readings_of(after)
    assert [reading.model(after) for reading in readings] == ["mnist/lee_cnn-fgsm-0.3", "mnist/lee_cnn-fgsm-0.0924"]


def test_figures_on_cifar10_are_said_to_be_of_a_jpeg_copy() -> None:
    noted = {key for key, study in STUDIES.items() if any("JPEG" in note for note in study.notes)}
    assert noted == {"P1", "P3", "Q2", "Q3"}


def test_a_study_is_found_in_any_case() -> None:
    assert find("p2") is STUDIES["P2"]


@pytest.mark.parametrize(
    ("figure", "measured", "away"),
    [
        (Figure("", "a/b-standard", "FGSM", 0.1, 50), 53.5, 3.5),
        (Figure("", "a/b-standard", "FGSM", 0.1, 50), 46.5, -3.5),
        (Figure("", "a/b-standard", "FGSM", 0.3, 10, up_to=15), 12, 0),
        (Figure("", "a/b-standard", "FGSM", 0.3, 10, up_to=15), 18, 3),
        (Figure("", "a/b-standard", "FGSM", 0.3, 10, up_to=15), 9, -1),
        (Figure("", "a/b-standard", "FGSM", 0.3), 9, None),
    ],
)
def test_distance_to_the_published_figure(figure: Figure, measured: float, away: float | None) -> None:
    assert figure.away(measured) == away
