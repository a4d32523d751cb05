"""The studies as data: the figures as they were published, each with a model that can be measured."""

from __future__ import annotations

import pytest

from advcore import data
from advcore.attacks import check_epsilon
from advcore.papers import replication, studies
from advcore.papers.studies import Figure, Study


def published(study: str, row: str, measures: str, *, defended: bool, epsilon: float) -> float | None:
    """The one figure of a study's table that is meant."""
    (found,) = [
        figure.percent
        for figure in studies.STUDIES[study].figures
        if (figure.row, figure.measures, figure.defended, figure.epsilon) == (row, measures, defended, epsilon)
    ]
    return found


@pytest.mark.parametrize(
    ("study", "row", "measures", "defended", "epsilon", "percent"),
    [
        ("P1", "CIFAR-10", "clean", False, 0, 78.19),
        ("P1", "ImageNet (here Tiny)", "drop", False, 0.03, 27.56),
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
def test_the_figures_stand_as_published(
    study: str, row: str, measures: str, defended: bool, epsilon: float, percent: float
) -> None:
    assert published(study, row, measures, defended=defended, epsilon=epsilon) == percent


def test_every_table_is_whole() -> None:
    """MNIST and three more with three figures each and five of another account; 9 + 8; 2 + 2 + 2 + 2; 6 + 2."""
    counts = {key: sum(figure.percent is not None for figure in study.figures) for key, study in studies.STUDIES.items()}
    assert counts == {"P1": 4 * 3 + 4, "P2": 17, "P3": 8, "P4": 8}
    assert studies.STUDIES["P1"].datasets == ("mnist", "fashion-mnist", "cifar10", "tiny-imagenet")


@pytest.mark.parametrize("key", studies.ENTRIES)
def test_a_recipe_makes_every_model(key: str) -> None:
    for model in studies.ENTRIES[key].models:
        if model != studies.LEAKED:
            assert replication.recipe(model).checkpoint_id == model


@pytest.mark.parametrize("key", studies.ENTRIES)
def test_whatever_is_measured_is_a_budget(key: str) -> None:
    items = replication.wanted(studies.ENTRIES[key])
    assert len(items) == len(set(items)) > 0
    for item in items:
        assert item.attack == replication.CARLINI_WAGNER or check_epsilon(item.epsilon) == item.epsilon


@pytest.mark.parametrize("study", studies.STUDIES.values(), ids=lambda study: study.key)
def test_readings_are_told_apart(study: Study) -> None:
    """No two readings of a figure are the same measurement, and the literal one comes first."""
    for figure in study.figures:
        readings = study.readings_of(figure)
        assert readings[0] == study.readings[0]
        single = figure.measures in {"FGSM", "drop"}
        seen = [
            (reading.model(figure.model), replication.pixel_epsilon(figure, reading), reading.fgsm if single else "")
            for reading in readings
        ]
        assert len(set(seen)) == len(seen)


def test_a_reading_for_one_dataset_names_it_and_the_convention_does_not() -> None:
    own = [reading for reading in studies.STUDIES["P1"].readings if reading.dataset is not None]
    assert len({reading.called for reading in own}) == 1
    for reading in own:
        assert data.dataset(reading.dataset).title.split(" (")[0] in reading.words


def test_the_smaller_set_stands_for_the_larger() -> None:
    (told,) = [words for words in studies.STUDIES["P1"].remarks if "stands here for" in words]
    assert told.startswith("Tiny ImageNet")


def test_a_clean_figure_depends_on_the_model_alone() -> None:
    lee = studies.STUDIES["P2"]
    before, after = (figure for figure in lee.figures if figure.measures == "clean")
    assert len(lee.readings_of(before)) == 1
    assert [reading.model(after.model) for reading in lee.readings_of(after)] == [
        "mnist/lee_cnn-fgsm-0.3",
        "mnist/lee_cnn-fgsm-0.0924",
    ]


def test_every_single_step_has_many_steps_beside_it() -> None:
    for study in studies.STUDIES.values():
        measured = set(replication.wanted(study))
        for figure in study.figures:
            for reading in study.readings_of(figure):
                if figure.measures in {"FGSM", "drop"}:
                    model, epsilon = reading.model(figure.model), replication.pixel_epsilon(figure, reading)
                    assert replication.Wanted(model, "PGD", epsilon) in measured


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
def test_the_distance_to_what_was_published(figure: Figure, measured: float, away: float | None) -> None:
    assert figure.away(measured) == away
