"""The Accuracy page without a browser."""

from __future__ import annotations

import functools
import operator

import pytest

from advcore import attacks, data
from advcore.evaluation.curves import predictions
from advcore.models import checkpoints
from tests.pages.conftest import open_page
from ui import measured

STANDARD = "digits/digits_cnn-standard"


def test_it_opens_and_begins_to_measure() -> None:
    page = open_page("accuracy", dataset="digits", images="100", steps="10")
    assert not page.exception
    assert not page.error


def test_nothing_chosen_is_said() -> None:
    page = open_page("accuracy", dataset="digits")
    page.sidebar.multiselect[0].set_value([]).run()
    assert "at least one model" in page.info[0].value


def test_published_points_are_offered_where_a_study_has_them() -> None:
    assert [toggle.label for toggle in open_page("accuracy", dataset="mnist").sidebar.toggle] == ["Published points"]
    assert not open_page("accuracy", dataset="digits").sidebar.toggle


def test_a_curve_that_was_stopped_before_it_began_lends_its_name_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "grow", lambda *_: False)
    noise, grid = attacks.UniformNoise(), [round(step * 0.05, 10) for step in range(11)]
    images = data.load("digits")[:100]
    seen = functools.reduce(operator.add, predictions(checkpoints.find(STANDARD).model(), images, noise, grid))
    measured._store().put(measured.wanted(STANDARD, noise, grid), seen)
    page = open_page("accuracy", dataset="digits", models=STANDARD, attacks="fgsm~noise", images="100", steps="10")
    next(button for button in page.button if button.label == "Stop").click().run()
    assert not page.exception
    (table,) = page.dataframe
    assert set(table.value["attack"]) == {"random noise"}
    assert list(table.value["correct"]) == list(seen.curve.correct)
