"""The page Can it be believed? without a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from advcore.evaluation import diagnosis
from advcore.evaluation.diagnosis import CHECKS, Diagnosis
from advcore.models import checkpoints
from advcore.papers import robustbench
from tests.pages.conftest import labels, open_page, press
from ui import diagnoses
from ui.worker import worker

MODEL = "digits/digits_cnn-fgsm-0.2"


@pytest.fixture(autouse=True)
def _little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check does little, so that all of them are done in seconds."""
    effort = diagnosis.Effort(steps=3, more_steps=5, restarts=2, draws=3, queries=10)
    real = diagnosis.diagnose
    monkeypatch.setattr(diagnoses, "diagnose", lambda *args, **options: real(*args, **options, effort=effort))


def field(page: AppTest) -> Any:
    return page.text_input(key=f"believe epsilon:{MODEL} as text")


def test_epsilon_can_be_typed_as_grey_levels_and_comes_back_from_the_address() -> None:
    page = open_page("believe", dataset="digits", model=MODEL)
    field(page).set_value("6/255").run()
    assert page.session_state[f"believe epsilon:{MODEL}"] == 6 / 255
    again = open_page("believe", dataset="digits", model=MODEL, epsilon=page.query_params["epsilon"])
    assert field(again).value == "6/255"
    assert again.session_state[f"believe epsilon:{MODEL}"] == 6 / 255


@pytest.mark.parametrize(("text", "reason"), [("much", "is not an ε"), ("0.7", "0.001 to 0.5 here"), ("", "is not an ε")])
def test_an_impossible_epsilon_is_refused_and_the_last_one_stays(text: str, reason: str) -> None:
    page = open_page("believe", dataset="digits", model=MODEL, epsilon="0.15")
    field(page).set_value(text).run()
    assert reason in page.error[0].value.replace("\\", "")
    assert page.session_state[f"believe epsilon:{MODEL}"] == 0.15
    field(page).set_value("0.1").run()
    assert not page.error


def finish(request: diagnoses.Request) -> Diagnosis:
    """Wait for the background worker."""
    with worker().changed:
        assert worker().changed.wait_for(lambda: not worker().wanted(request), timeout=120), worker().error(request)
    found = diagnoses.progress(request)
    assert found is not None
    assert found.check is None
    return found.diagnosis


def start(page: AppTest) -> None:
    press(page, "Go on" if "Go on" in labels(page) else "Run the checks")


def test_every_model_opens() -> None:
    for name in checkpoints.catalog("digits"):
        assert not open_page("believe", dataset="digits", model=name).error


def test_autoattack_of_the_header_stands_beside_the_checks() -> None:
    measured = checkpoints.find(MODEL).metrics["autoattack"]
    tiles = " ".join(item.proto.body for item in open_page("believe", dataset="digits", model=MODEL).get("html"))
    assert f"{100 * measured['accuracy']:.1f} %" in tiles
    assert f"the first {measured['images']} test images" in tiles


def test_the_checks_run_in_the_background_and_are_kept() -> None:
    model = checkpoints.find(MODEL)
    page = open_page("believe", dataset="digits", model=MODEL, epsilon="0.15", images="50")
    start(page)
    request = diagnoses.request(model, 0.15, 50)
    found = finish(request)
    assert found.images == 50
    assert set(found.counts) == set(CHECKS), "the other digits model is there to carry attacks over from"
    shown = open_page("believe", dataset="digits", model=MODEL, epsilon="0.15", images="50")
    html = " ".join(item.proto.body for item in shown.get("html"))
    assert all(spec.title in html for spec in CHECKS.values())
    assert found.conclusion in html
    assert not {"Run the checks", "Stop", "Go on"} & set(labels(shown))
    worker().close()  # a new process knows only what is on the disk
    worker.cache_clear()
    kept = diagnoses.progress(request)
    assert kept is not None
    assert kept.diagnosis == found


def test_a_stopped_run_goes_on_after_its_last_whole_check() -> None:
    request = diagnoses.request(checkpoints.find(MODEL), 0.15, 50)
    diagnoses.start(request)
    with worker().changed:
        assert worker().changed.wait_for(lambda: request.path.exists(), timeout=60)
    diagnoses.stop(request)
    page = open_page("believe", dataset="digits", model=MODEL, epsilon="0.15", images="50")
    if diagnoses.progress(request).check is not None:
        start(page)
    assert set(finish(request).counts) == set(CHECKS)


def test_a_header_s_diagnosis_opens_at_once() -> None:
    model = checkpoints.find(MODEL)
    counts = {"single_step": {"single_step": 300, "iterative": 20}}
    found = Diagnosis(0.2, "linf", 360, 10, True, 20, counts)
    path = checkpoints.free_path("digits/mine")
    metrics = {**model.metrics, "diagnosis": found.to_dict()}
    checkpoints.save(
        path, model.model(), model.recipe, shape=model.shape, class_names=model.class_names, metrics=metrics, provenance={}
    )
    page = open_page("believe", dataset="digits", model="digits/mine")
    html = " ".join(item.proto.body for item in page.get("html"))
    assert "Masked" in html
    assert "Run the checks" not in labels(page)
    elsewhere = open_page("believe", dataset="digits", model="digits/mine", epsilon="0.1")
    assert "Run the checks" in labels(elsewhere)


def test_published_models_stand_beside_cifar10_alone() -> None:
    def heads(dataset: str) -> list[str]:
        return [item.value for item in open_page("believe", dataset=dataset).markdown if "Published" in item.value]

    assert heads("digits") == []
    found = (item.metrics.get("autoattack") for item in checkpoints.catalog("cifar10").values())
    ours = any(each and robustbench.comparable(each) for each in found)
    assert [("ours" in head) for head in heads("cifar10")] == [ours]


def test_a_damaged_file_is_measured_again() -> None:
    request = diagnoses.request(checkpoints.find(MODEL), 0.15, 50)
    request.path.parent.mkdir(parents=True)
    for content in ("", "[]", "{}", '{"share": "x", "check": 3, "state": {}}', '{"state": {"diagnosis": 7}}'):
        request.path.write_text(content)
        assert diagnoses.progress(request) is None
    start(open_page("believe", dataset="digits", model=MODEL, epsilon="0.15", images="50"))
    assert set(finish(request).counts) == set(CHECKS)
    assert json.loads(request.path.read_text())["check"] is None


@pytest.mark.parametrize("link", [{"model": "../../etc/passwd"}, {"epsilon": "nan"}, {"epsilon": "1e9"}, {"images": "-4"}])
def test_a_strange_link_shows_the_default(link: dict[str, str]) -> None:
    assert not open_page("believe", dataset="digits", **link).error
