"""The map of a study: each setting by hand, the nearest chosen on held-out images, its record, its command and its sentence."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from advcore import data
from advcore.attacks import FGSM
from advcore.cli import main
from advcore.errors import DataError
from advcore.evaluation.curves import accuracy
from advcore.papers import grid, record, trainings
from advcore.papers.record import Accuracy, Measurement, Record
from advcore.papers.studies import STUDIES
from advcore.papers.study import Figure, Reading
from advcore.training import loop
from tests.studies import FIFTH

PLAIN, DEFENDED = "digits/general_cnn-standard", "digits/general_cnn-fgsm-0.2"
MAPPED = dataclasses.replace(
    FIFTH,
    figures=(
        Figure("digits", PLAIN, "clean", 0.0, 80.0),
        Figure("digits", PLAIN, "drop", 0.2, 20.0),
        Figure("digits", DEFENDED, "FGSM", 0.2, 70.0),
    ),
    readings=(Reading("in pixels"), Reading("standardized", 0.5)),
    claims=(),
    mapped=("digits",),
    findings=lambda record: grid.sentences(MAPPED),
)


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the records, a study with a map on digits, and a small grid."""
    monkeypatch.setenv("ADVCORE_RECORDED", str(tmp_path))
    monkeypatch.setitem(STUDIES, "P5", MAPPED)
    record.write(Record("P5", "command", "2026-01-02", "CPU", "fp32", {}, 1.5, {}, ()))
    for name, value in (("WIDTHS", (4, 8)), ("IMAGES", (300, 600)), ("HELD_OUT", 200)):
        monkeypatch.setattr(grid, name, value)
    return tmp_path


def made(percents: dict[int, grid.Triple], final: grid.Triple = (80.0, 60.0, 70.0)) -> Record:
    """The record of a map: figures of some settings, by place, on a thousand held-out images, and `final` on the test split."""
    found: dict[Accuracy, Measurement] = {}
    for place, triple in percents.items():
        setting = grid.tried(MAPPED, "digits")[place]
        for split, figures in ((grid.HELD, triple), (grid.TEST, final)):
            plain, defended = (grid.name(recipe, split) for recipe in setting.recipes)
            for model, epsilon, percent in zip((plain, plain, defended), (0.0, *[setting.epsilon] * 2), figures, strict=True):
                found[Accuracy(model, "FGSM", epsilon)] = Measurement(model, "FGSM", epsilon, 0, 1000, round(10 * percent))
    return Record("P5-map", "command", "2026-01-02", "CPU", "fp32", {"torch": "9"}, 1.5, {}, tuple(found.values()))


def test_a_setting_is_two_plain_recipes(records: Path) -> None:
    settings = grid.tried(MAPPED, "digits")
    assert len(settings) == 16
    assert {(one.reading, one.epsilon) for one in settings} == {("in pixels", 0.2), ("standardized", 0.1)}
    plain, defended = settings[-1].recipes
    assert (plain.width, plain.images, plain.defense, plain.epochs, plain.warm_start) == (8, 600, "standard", 1, None)
    assert (defended.defense, defended.epsilon, defended.warm_start) == ("fgsm", 0.1, PLAIN)
    assert settings[0].recipes[1].warm_start is None
    names = {grid.name(recipe, split) for one in settings for recipe in one.recipes for split in (grid.HELD, grid.TEST)}
    assert len(names) == 2 * (4 + 16)


def test_the_settings_of_chowdhury_take_both_readings_of_epsilon() -> None:
    settings = grid.tried(STUDIES["P1"], "fashion-mnist")
    assert len(settings) == 64
    assert {one.epsilon for one in settings} == {0.1, 0.0353}
    assert grid.published(STUDIES["P1"], "fashion-mnist") == pytest.approx((87.27, 60.45, 81.82))


def test_a_map_is_measured_as_by_hand_and_kept(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained on the first images, chosen on the last ones, and the nearest setting alone measured on the test split."""
    assert main.main(["papers", "run", "p5", "--map"]) == 0
    assert "settings tried" in capsys.readouterr().out
    found = record.read("P5-map")
    assert found is not None
    assert (found.command, found.seeds) == ("python -m advcore papers run P5 --map", [0])
    assert "trained in" in found.device
    train, test = data.load("digits", "train"), data.load("digits", "test")
    train = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))]
    held_out, (setting, *_) = train[len(train) - 200 :], [one for one in grid.tried(MAPPED, "digits") if one.continues]
    plain, defended = setting.recipes
    *_, first = loop.train(plain, images=train[:300])
    *_, second = loop.train(defended, images=train[:300], given={plain.checkpoint_id: first.model})
    by_hand = [(first.model, 0.0), (first.model, 0.2), (second.model, 0.2)]
    wanted = [100 * accuracy(model, held_out, FGSM(), epsilon, precision="fp32") for model, epsilon in by_hand]
    assert setting.triple(found) == pytest.approx(wanted)
    best = grid.nearest(MAPPED, found, "digits")
    tested = [one for one in grid.tried(MAPPED, "digits") if one.triple(found, grid.TEST)]
    assert tested == [best]
    clean = found.find(Accuracy(grid.name(best.recipes[0], grid.TEST)))
    assert clean is not None
    assert clean.images == len(test)
    # What is recorded is not measured again; a damaged record is.
    assert [step.record for step in trainings.measure(MAPPED)] == []
    # Read as it was written, and shown with its sentence.
    assert record.Record.from_json(found.to_json()) == found
    assert main.main(["papers", "show", "P5", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["map"]
    assert (len(shown), [row["nearest"] for row in shown].count(True)) == (16, 1)
    assert main.main(["papers", "show", "P5"]) == 0
    assert grid.sentence(MAPPED, found, "digits") in capsys.readouterr().out


def test_a_study_without_a_map_says_so(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["papers", "run", "P2", "--map"]) == 2
    assert "P2 has no map" in capsys.readouterr().err


def test_a_map_needs_all_images(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "IMAGES", (10**6,))
    with pytest.raises(DataError, match="needs all images"):
        list(trainings.measure(MAPPED))


def test_the_nearest_is_chosen_on_held_out_images_and_the_sentence_says_how_near(records: Path) -> None:
    found = made({0: (99.0, 60.0, 70.0), 5: (82.0, 58.5, 72.5), 11: (80.0, 60.0, 40.0)}, final=(81.0, 57.0, 71.0))
    assert grid.nearest(MAPPED, found, "digits") == grid.tried(MAPPED, "digits")[5]
    told = grid.sentence(MAPPED, found, "digits")
    assert "nearest of the 16 settings tried is width 4, 600 images, in pixels, adversarial training" in told
    assert "continuing the undefended network: 81.0 / 57.0 / 71.0 on 1,000 test images" in told
    assert "and 82.0 / 58.5 / 72.5 on held-out ones, published 80.00 / 60.00 / 70.00" in told
    assert told.endswith("3.0 points away at most.")


def test_the_sentence_says_when_none_is_near(records: Path) -> None:
    told = grid.sentence(MAPPED, made({0: (99.0, 60.0, 70.0)}, final=(98.5, 61.0, 70.0)), "digits")
    assert "none comes within 3 points on held-out images, nearest of the 16 settings tried is width 4, 300 images" in told
    assert told.endswith("18.5 points away at most.")
    assert "no setting was measured" in grid.sentence(MAPPED, made({}), "digits")


@pytest.mark.parametrize("right", ["-1", "1001", '"7"', "null", "NaN"])
def test_a_damaged_map_is_one_sentence(right: str, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert grid.sentences(MAPPED) == []
    text = made({0: (99.0, 60.0, 70.0)}).to_json().replace('"right": 990', f'"right": {right}')
    (records / "P5-map.json").write_text(text)
    (told,) = grid.sentences(MAPPED)
    assert "damaged" in told
    assert main.main(["papers", "show", "P5"]) == 0
    assert told in capsys.readouterr().out
