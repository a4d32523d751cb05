"""The Papers page without a browser: every study readable, whatever is measured and whatever is missing."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from advcore.cli import main
from advcore.jobs import queue
from advcore.models import checkpoints
from advcore.papers import grid, record, replication, verdicts
from advcore.papers.record import Accuracy, Measurement, Record
from advcore.papers.studies import STUDIES
from advcore.recipe import Recipe
from advcore.training import estimate
from tests.pages.conftest import checked, open_page, press
from tests.studies import DEFENDED, FIFTH, QUESTION, STANDARD
from ui import load
from ui.downloads import csv_text
from ui.papers import report, sections
from ui.words import epsilon_text

QUESTIONS = [key for key, study in STUDIES.items() if not study.claim]


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the records, with a study and a question on digits among the others."""
    monkeypatch.setenv("ADVCORE_RECORDED", str(tmp_path / "recorded"))
    monkeypatch.setitem(STUDIES, "P5", FIFTH)
    monkeypatch.setitem(STUDIES, "Q9", QUESTION)
    return tmp_path / "recorded"


def made_up(key: str, right: Callable[[Accuracy], int] = lambda part: 700, **changes: object) -> Record:
    """A record of everything that a study needs, with counts out of a thousand."""
    found = tuple(
        Measurement(part.model, part.attack, part.epsilon, seed, 1000, right(part))
        for part in STUDIES[key].accuracies()
        for seed in STUDIES[key].seeds
    )
    command = f"python -m advcore papers run {key}"
    made = Record(key, command, "2026-01-02", "CPU, fp32", "fp32", {"torch": "9"}, 3.0, {}, found)
    return dataclasses.replace(made, **changes)


def text_of(page: AppTest) -> str:
    """Everything the page says, HTML included."""
    parts = [item.value for kind in (page.markdown, page.caption, page.error, page.info) for item in kind]
    return "\n".join(parts + [item.proto.body for item in page.get("html")]).replace("\\", "")


def open_papers(**query: str) -> AppTest:
    """The page with everything behind its headings opened."""
    page = open_page("papers", **query)
    for heading in [box.label for box in page.expander]:
        page.session_state[f"papers: {heading}"] = True
    return checked(page.run())


def opened(key: str) -> AppTest:
    """The page with that study or question."""
    return open_papers(study="Q", question=key) if key in QUESTIONS else open_papers(study=key)


@pytest.mark.parametrize("key", STUDIES)
def test_every_study_opens_with_what_is_shipped(key: str) -> None:
    page = opened(key)
    assert not page.error
    assert page.get("plotly_chart")


@pytest.mark.parametrize("key", [*STUDIES][:5])
def test_every_study_opens_when_nothing_is_measured(key: str, records: Path) -> None:
    page = opened(key)
    assert not page.error
    assert f"papers run {key}" in text_of(page)


def test_the_reading_moves_our_figures_to_the_published_ones() -> None:
    page = open_page("papers", study="P2", read="2")
    found, rows = record.read("P2"), STUDIES["P2"].figures
    (drawn,) = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    marks = {trace["name"]: points_of(trace) for trace in drawn["data"] if trace.get("name")}
    assert marks["published"] == [(figure.epsilon, figure.percent) for figure in rows if figure.measures == "FGSM"]
    at = Accuracy("mnist/lee_cnn-standard", "FGSM, not clipped", 0.09243)
    assert marks["ours"][2] == pytest.approx((0.3, 100 * found.find(at).share))
    page.button_group(key="read:P2").set_value(0).run()
    (drawn,) = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    at = Accuracy("mnist/lee_cnn-standard", "FGSM", 0.3)
    assert points_of(next(trace for trace in drawn["data"] if trace.get("name") == "ours"))[2][1] == pytest.approx(
        100 * found.find(at).share
    )
    assert "read" not in page.query_params


def test_the_link_carries_the_study() -> None:
    page = open_page("papers")
    page.button_group[0].set_value("P4").run()
    assert page.query_params["study"] == "P4"
    assert STUDIES["P4"].claim in text_of(page)


def test_a_fifth_study_has_its_tab(records: Path) -> None:
    page = open_papers(study="P5")
    assert "Digits are hard" in text_of(page)


def test_a_damaged_record_is_said_and_the_page_stays(records: Path) -> None:
    records.mkdir()
    (records / "P2.json").write_text("{")
    page = open_papers(study="P2")
    assert "damaged" in page.error[0].value
    assert STUDIES["P2"].claim in text_of(page)


def test_a_missing_model_is_named_with_its_command(records: Path) -> None:
    model = "mnist/srivathsav_cnn-fgsm-0.1"
    whole = made_up("P4")
    left = tuple(item for item in whole.measured if item.model != model)
    record.write(made_up("P4", measured=left, missing={model: f"{model} is not shipped yet <b>."}))
    page = open_papers(study="P4")
    assert f"{model} is not shipped yet &lt;b&gt;" in text_of(page)


def test_masking_is_said(records: Path) -> None:
    record.write(made_up("P2", lambda part: 20 if part.attack == "PGD" else 930))
    said = text_of(open_papers(study="P2"))
    assert "its robustness is masked, not real" in said
    assert "⚠ masked" in said


def test_the_map_shows_every_setting_and_marks_the_nearest(records: Path) -> None:
    record.write(made_up("P1"))
    assert "papers run P1 --map" in text_of(open_papers(study="P1"))
    of, found = STUDIES["P1"], {}
    for setting in grid.tried(of, "mnist"):
        exact = (setting.width, setting.images, setting.epsilon, setting.continues) == (8, 4000, 0.1, True)
        counts = (862, 659, 803) if exact else (990, 500, 700)
        for split in (grid.HELD, grid.TEST):
            plain, defended = (grid.name(recipe, split) for recipe in setting.recipes)
            for model, epsilon, right in zip((plain, plain, defended), (0.0, *[setting.epsilon] * 2), counts, strict=True):
                kept = Measurement(model, "FGSM", epsilon, 0, 1000, right)
                found[model, epsilon] = kept if exact else found.get((model, epsilon), kept)
    record.write(dataclasses.replace(made_up("P1"), key="P1-map", measured=tuple(found.values())))
    page = open_papers(study="P1")
    assert not page.error
    assert grid.sentence(of, record.read("P1-map"), "mnist") in text_of(page)
    charts = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    maps = [drawn for drawn in charts if drawn["data"][0].get("type") == "heatmap"]
    assert len(maps) == 2
    texts = [text for drawn in maps for row in drawn["data"][0]["text"] for text in row]
    assert [text for text in texts if "nearest" in text] == ["<b>nearest</b><br>86<br>66<br>80"]
    (marked,) = [drawn for drawn in maps if drawn["layout"].get("shapes")]
    assert (marked["layout"]["shapes"][0]["x0"], marked["layout"]["shapes"][0]["y0"]) == (0.5, 0.5)
    # Under the other reading no cell is the nearest, and a damaged record leaves the rest of the page.
    (records / "P1-map.json").write_text("{")
    page = open_papers(study="P1")
    assert "damaged" in text_of(page)
    assert STUDIES["P1"].claim in text_of(page)


def test_what_a_drop_leaves_is_a_cross_on_the_curve(records: Path) -> None:
    record.write(made_up("P1"))
    page = open_papers(study="P1")
    (drawn,) = [
        json.loads(chart.proto.spec) for chart in page.get("plotly_chart") if "published, undefended" in chart.proto.spec
    ]
    (crosses,) = [trace for trace in drawn["data"] if trace.get("name") == "published, undefended"]
    assert "A published drop is subtracted" in text_of(page)
    assert (0.1, 65.87) in {(round(at, 4), round(left, 4)) for at, left in points_of(crosses)}


def points_of(trace: dict[str, Any]) -> list[tuple[float, float]]:
    """A trace's points, however plotly packed them."""
    return list(zip(*(unpacked(trace[axis]) for axis in ("x", "y")), strict=True))


def unpacked(values: Any) -> list[float]:
    if isinstance(values, dict):
        return [float(value) for value in np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])]
    return [float(value) for value in values]


def test_a_question_shows_its_images_and_intervals(records: Path) -> None:
    made = made_up("Q2")
    record.write(made)
    for said in (text_of(opened("Q2")), report.report([(STUDIES["Q2"], made)])):
        assert "67.1 to 72.8" in said
        assert "1,000 images" in said


def test_a_question_has_a_line_for_each_model_and_a_column_for_each_attack() -> None:
    text = report.table(STUDIES["Q2"], made_up("Q2"))
    assert text.count("<tr>") == 1 + len(STUDIES["Q2"].models)
    head = text.split("</thead>")[0]
    assert [head.count(report.MEASURES[name]) for name in ("clean", "FGSM", "PGD", "C&W")][:3] == [1, 1, 1]
    assert "under C&amp;W" in head
    # The ε of its attacks: Q1 ends with a measurement without one.
    assert report.table(STUDIES["Q1"], made_up("Q1")).count(epsilon_text(0.1)) == len(STUDIES["Q1"].models)


def test_what_is_too_close_to_tell_stays_undecided(records: Path) -> None:
    record.write(made_up("Q1"))
    said = text_of(opened("Q1"))
    assert "Distillation adds to adversarial training under PGD-20. **Too close to tell.**" in said


def test_the_command_line_says_the_same(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record.write(made_up("P1", lambda part: 900 if part.epsilon == 0 else 30 if part.attack == "PGD" else 300))
    assert main.main(["papers", "show", "P1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (drop,) = [row for row in shown["rows"] if (row["row"], row["measures"]) == ("MNIST", "drop") and row["epsilon"] == 0.1]
    assert (drop["pgd20_percent"], drop["measured_percent"]) == pytest.approx((87.0, 60.0))
    assert main.main(["papers", "show", "P1"]) == 0
    assert drop["why"] in capsys.readouterr().out


def test_the_training_that_leaks_is_drawn_from_its_header(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record.write(made_up("P3"))
    (tmp_path / "shipped").mkdir()
    monkeypatch.setenv("ADVCORE_CHECKPOINTS", str(tmp_path / "shipped"))
    load.read_again()
    assert not [chart for chart in open_papers(study="P3").get("plotly_chart") if "PGD-10" in chart.proto.spec]
    recipe = replication.recipe("cifar10/even_deeper_cnn-fgsm-0.5")
    history = [{"step": step, "clean": 0.8, "fgsm": 0.9, "pgd": 0.1, "epsilon": 0.5, "images": 500} for step in (10, 20)]
    names = tuple("0123456789")
    checkpoints.save(
        tmp_path / "shipped" / f"{recipe.checkpoint_id}{checkpoints.SUFFIX}",
        checkpoints.build(recipe, (3, 32, 32), 10),
        recipe,
        shape=(3, 32, 32),
        class_names=names,
        metrics={"clean": 0.8, "attacks": [], "history": history},
        provenance={},
    )
    load.read_again()
    page = open_papers(study="P3")
    (drawn,) = [chart.proto.spec for chart in page.get("plotly_chart") if "PGD-10" in chart.proto.spec]
    assert "held-out accuracy" in drawn


def test_measuring_again_shows_its_own_table_and_records_nothing(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(replication.QUICK, "PGD", 10)
    page = open_papers(study="P5")
    press(page, "Measure now")
    assert not page.error
    clean = page.session_state["measured again"]["P5"].find(Accuracy(STANDARD))
    assert f"{100 * clean.share:.1f}" in text_of(page)
    assert "--quick" in text_of(page)
    assert not records.exists()


def test_a_model_is_trained_again_as_a_job(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Recipe] = []

    class Job:
        id = "one-job"

    monkeypatch.setattr(queue, "start", lambda recipe: started.append(recipe) or Job())
    took = estimate.Estimate(1, 2, 3, 4, 5, "a slow machine")
    monkeypatch.setattr(estimate, "estimate", lambda recipe: took)
    page = open_papers(study="P5")
    next(box for box in page.selectbox if box.label == "Train one of its models again").set_value(DEFENDED).run()
    assert any("a slow machine" in caption.value for caption in page.caption)
    press(page, "Start training")
    assert started == [replication.recipe(DEFENDED)]
    (link,) = [item.proto for item in page.get("page_link") if item.proto.page == "retrain"]
    assert link.query_string == "job=one-job"


# --- links -----------------------------------------------------------------------------------------------------------------


def test_the_attack_link_opens_the_very_models_at_the_very_epsilon() -> None:
    models = ("mnist/srivathsav_cnn-standard", "mnist/srivathsav_cnn-fgsm-0.1")
    page = open_page("attack", **sections.attack_query(models, 0.1))
    assert tuple(page.selectbox(key=f"{letter}:mnist").value for letter in "ab") == models
    assert page.query_params["epsilon"] == "0.1"


def test_the_accuracy_link_opens_the_very_models_to_the_end_of_the_study() -> None:
    models = ("mnist/lee_cnn-standard", "mnist/lee_cnn-fgsm-0.3")
    page = open_page("accuracy", **sections.accuracy_query(STUDIES["P2"], models, 0.3))
    assert tuple(page.sidebar.multiselect[0].value) == models
    assert (page.query_params["end"], page.query_params["published"]) == ("0.8", "True")
    assert not [item for item in page.warning if "asks for" in item.value]


def test_a_defended_model_is_offered_beside_the_undefended_one() -> None:
    page = open_papers(study="P4")
    (link,) = [item.proto for item in page.get("page_link") if item.proto.page == "accuracy"]
    query = dict(parse_qsl(link.query_string))
    assert query["models"] == "mnist/srivathsav_cnn-standard~mnist/srivathsav_cnn-fgsm-0.1"


@pytest.mark.parametrize("epsilon", [0.03, 0.1, 0.25, 0.5])
def test_a_link_beyond_the_track_ends_with_it(epsilon: float) -> None:
    model = "cifar10/even_deeper_cnn-fgsm-0.5"
    assert float(sections.attack_query((model,), epsilon)["epsilon"]) == pytest.approx(min(epsilon, 32 / 255), abs=1e-6)


# --- exports ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", STUDIES)
def test_the_table_as_csv_holds_every_figure(key: str) -> None:
    of, made = STUDIES[key], made_up(key)
    rows = list(csv.DictReader(io.StringIO(csv_text(list(verdicts.rows(of, made))))))
    assert len(rows) == len(list(verdicts.rows(of, made)))
    told = [float(row["published_percent"]) for row in rows if row["published_percent"]]
    assert set(told) == {figure.percent for figure in of.figures if figure.percent is not None}
    assert all(row["measured_percent"] for row in rows)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_whole_closed_and_needs_nothing_else() -> None:
    text = report.report([(of, made_up(key)) for key, of in STUDIES.items()])
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    assert not {"script", "link", "img", "iframe"} & set(tags.seen)
    assert "http" not in re.sub("arXiv", "", text)
    for of in STUDIES.values():
        assert of.title in text


def test_the_report_escapes_what_it_is_given() -> None:
    model = STUDIES["P2"].figures[0].model
    made = made_up("P2", command="<script>alert(1)</script>", missing={model: "<img src=x>"}, measured=())
    text = report.report([(STUDIES["P2"], made)])
    assert "<script" not in text
    assert "&lt;script&gt;" in text
