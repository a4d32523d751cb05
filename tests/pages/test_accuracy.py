"""The Accuracy page without a browser."""

from __future__ import annotations

import functools
import operator

import pytest

from advcore import attacks, data
from advcore.data import even_epsilons
from advcore.evaluation.curves import Predictions, predictions
from advcore.models import checkpoints
from tests.pages.conftest import open_page
from ui import measured
from ui.worker import worker

STANDARD = "digits/digits_cnn-standard"


def measure(curve: measured.Curve, count: int) -> Predictions:
    """What the background worker gives for the first images."""
    measured.ask({curve: count})
    with worker().changed:
        assert worker().changed.wait_for(lambda: measured.complete({curve: count}), timeout=60)
    found = measured.so_far(curve, count)
    assert found is not None
    return found


def test_it_opens_and_measures_in_the_background() -> None:
    page = open_page("accuracy", dataset="digits", images="100", steps="10")
    assert not page.exception
    assert not page.error
    curve = measured.curve(STANDARD, attacks.FGSM(), even_epsilons(0.5, 10))
    with worker().changed:
        assert worker().changed.wait_for(lambda: measured.complete({curve: 100}), timeout=60)


def test_nothing_chosen_is_said() -> None:
    page = open_page("accuracy", dataset="digits")
    page.sidebar.multiselect[0].set_value([]).run()
    assert "at least one model" in page.info[0].value


def test_published_points_are_offered_where_a_study_has_them() -> None:
    assert [toggle.label for toggle in open_page("accuracy", dataset="mnist").sidebar.toggle] == ["Published points"]
    assert not open_page("accuracy", dataset="digits").sidebar.toggle


@pytest.mark.parametrize("attack", [attacks.FGSM(), attacks.PGD(steps=3), attacks.UniformNoise()], ids=attacks.title)
def test_the_worker_measures_what_the_engine_measures(attack: attacks.Attack) -> None:
    curve = measured.curve(STANDARD, attack, (0.0, 0.1, 0.2), precision="fp32")
    seen = measure(curve, 150)
    images, model = data.load("digits")[:150], checkpoints.find(STANDARD).model()
    expected = functools.reduce(operator.add, predictions(model, images, attack, (0.0, 0.1, 0.2), precision="fp32"))
    assert seen.curve == expected.curve
    assert len(measured.so_far(curve, 20) or ()) == 20
    worst = measure(measured.curve(STANDARD, attack, (0.0, 0.1, 0.2), reading="worst", precision="fp32"), 150)
    assert worst.reading == "worst"
    assert all(worst.curve.accuracy[i] >= worst.curve.accuracy[i + 1] for i in range(2))
    assert all(low <= high for low, high in zip(worst.curve.correct, seen.worst_case().curve.correct, strict=True))


def test_a_curve_that_was_stopped_before_it_began_is_in_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    noise, grid = attacks.UniformNoise(), even_epsilons(0.5, 10)
    seen = measure(measured.curve(STANDARD, noise, grid), 100)
    measured.stop()
    monkeypatch.setattr(measured, "ask", lambda wanted: None)
    page = open_page("accuracy", dataset="digits", models=STANDARD, attacks="pgd~noise", images="100", steps="10")
    next(button for button in page.button if button.label == "Stop").click().run()
    assert not page.exception
    (table,) = page.dataframe
    assert set(table.value["attack"]) == {"random noise"}
    assert list(table.value["correct"]) == list(seen.curve.correct)
    next(button for button in page.button if button.label == "Go on")
