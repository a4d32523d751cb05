"""The Accuracy page without a browser."""

from __future__ import annotations

import functools
import operator
from typing import Any

import pytest

from advcore import attacks, data
from advcore.data import even_epsilons
from advcore.evaluation.curves import Predictions, predictions
from advcore.models import checkpoints
from pages import accuracy
from tests.pages.conftest import labels, open_page, press
from ui import measured
from ui.worker import worker

STANDARD = "digits/digits_cnn-standard"


def wait_for(wanted: dict[measured.Curve, int]) -> None:
    """Until the background worker has measured that."""
    with worker().changed:
        assert worker().changed.wait_for(lambda: measured.complete(wanted), timeout=60)


def measure(curve: measured.Curve, count: int) -> Predictions:
    """What the background worker gives for the first images."""
    measured.ask({curve: count})
    wait_for({curve: count})
    found = measured.so_far(curve, count)
    assert found is not None
    return found


def test_it_opens_and_measures_in_the_background() -> None:
    page = open_page("accuracy", dataset="digits", images="100", steps="10").run()  # measured once the browser has the page
    assert not page.error
    wait_for({measured.curve(STANDARD, attacks.FGSM(), even_epsilons(0.5, 10)): 100})


def test_the_grid_is_free() -> None:
    open_page("accuracy", dataset="digits", models=STANDARD, attacks="fgsm", images="100", end="0.3", steps="6").run()
    wait_for({measured.curve(STANDARD, attacks.FGSM(), (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)): 100})


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


def test_progress_counts_work_and_not_images() -> None:
    grid = (0.0, 0.1, 0.2)
    cheap, dear = (measured.curve(STANDARD, attack, grid) for attack in (attacks.FGSM(), attacks.PGD(steps=200)))
    measure(cheap, 200)
    found = measured.progress({cheap: 200, dear: 200})
    assert found.finished == 1
    assert found.share < 0.02
    assert found.left > 0
    assert measured.progress({cheap: 200}) == measured.Progress(1.0, 1, 0.0)


def test_cheap_curves_are_finished_before_costly_ones_begin() -> None:
    fgsm = measured.curve(STANDARD, attacks.FGSM(), (0.0, 0.1))
    pgd = measured.curve(STANDARD, attacks.PGD(steps=5), (0.0, 0.1))
    with worker().interactive():
        measured.ask({pgd: 96, fgsm: 300})
    with worker().changed:
        assert worker().changed.wait_for(lambda: measured.images_measured(pgd, 96) > 0, timeout=60)
    assert measured.images_measured(fgsm, 300) == 300


def test_a_curve_that_was_stopped_before_it_began_is_in_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    noise, grid = attacks.UniformNoise(), even_epsilons(0.5, 10)
    curve = measured.curve(STANDARD, noise, grid)
    measure(curve, 60)
    measured.stop()
    seen = measured.so_far(curve, 100)
    monkeypatch.setattr(measured, "ask", lambda wanted: None)
    page = open_page("accuracy", dataset="digits", models=STANDARD, attacks="pgd~noise", images="100", steps="10", end="0.5")
    press(page, "Stop")
    page.session_state["details"] = "Table, files, command line"
    (table,) = page.run().dataframe
    assert set(table.value["attack"]) == {"random noise"}
    assert set(table.value["images"]) == {len(seen)}
    assert list(table.value["correct"]) == list(seen.curve.correct)
    assert f"n = {len(seen)}" in page.get("plotly_chart")[0].proto.spec
    assert "Go on" in labels(page)


def test_every_image_is_a_row_with_its_smallest_epsilon() -> None:
    curve = measured.curve(STANDARD, attacks.FGSM(), (0.0, 0.1, 0.2))
    seen, images = measure(curve, 50), data.load("digits")
    rows = accuracy.image_rows(images, [(curve, seen)])
    assert [row["image"] for row in rows] == images.indices[: len(seen)].tolist()
    for row, smallest in zip(rows, seen.smallest_epsilon().tolist(), strict=True):
        assert row["smallest_epsilon"] == ("" if smallest == float("inf") else smallest)
        assert (row["answer at 0.1"] == row["class"]) or row["smallest_epsilon"] in (0.0, 0.1)


def test_the_default_comes_back_from_an_address_as_the_number_it_was() -> None:
    """The address has six digits of 32/255: with those, everything measured would be another curve."""
    info = data.dataset("cifar10")
    page = open_page("accuracy", dataset="cifar10", end=f"{info.epsilon_max:.6g}")
    assert page.session_state["end:cifar10:linf"] == info.epsilon_max


@pytest.mark.parametrize("phone", [True, False])
def test_lines_are_named_below_the_chart_on_a_phone(phone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.frame.phone", lambda: phone)
    drawn: list[Any] = []
    monkeypatch.setattr("ui.charts.show", lambda figure, **_: drawn.append(figure))
    measure(measured.curve(STANDARD, attacks.FGSM(), (0.0, 0.25, 0.5)), 100)
    assert not open_page("accuracy", dataset="digits", models=STANDARD, attacks="fgsm", images="100", steps="2").exception
    named = [line.name for line in drawn[0].data if line.showlegend]
    assert bool(named) == phone
    assert all("n = 100: " in text for text in named or [note.text for note in drawn[0].layout.annotations])
