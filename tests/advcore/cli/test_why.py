"""The commands behind the page Why: their figures are those of the engine."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.advcore.cli.commands import STANDARD, refused, result_of, run

DEFENDED = "digits/digits_cnn-fgsm-0.2"


@pytest.mark.parametrize("second", [["--draw", "3"], ["--along", DEFENDED], ["--second", "8"]])
def test_a_map_and_its_points(second: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "map.csv"
    found = result_of(capsys, "map", "--checkpoint", STANDARD, "--index", "5", "--out", str(out), "--json", *second)
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert len(found["box"]) >= 4
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["side"] ** 2
    share = sum(row["class"] == found["label"] for row in rows) / len(rows)
    assert share == pytest.approx(found["shares"].get(found["label"], 0))
    assert float(rows[-1]["b"]) == found["reach"][1]


def test_a_map_of_an_image_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no test image" in refused(capsys, "map", "--checkpoint", STANDARD, "--index", "99999")


def test_the_table_of_transfer(capsys: pytest.CaptureFixture[str]) -> None:
    found = result_of(capsys, "transfer", "digits", "--limit", "40", "--epsilon", "0.15", "--json")
    left = {(row["source"], row["victim"]): row for row in found["pairs"]}
    assert {row["images"] for row in found["pairs"]} == {40}
    assert left[STANDARD, STANDARD]["correct"] < left["", STANDARD]["correct"]
    assert "at least 1" in refused(capsys, "transfer", "digits", "--limit", "0")


def test_a_model_that_is_named_twice_is_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    run("transfer", "digits", "--limit", "10", "--checkpoint", STANDARD, STANDARD, DEFENDED)
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[:2] for row in rows[1:]] == [["1", STANDARD.split("/")[1]], ["2", DEFENDED.split("/")[1]]]


def test_a_gradient_and_a_film(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("gradient", "--checkpoint", STANDARD, "--index", "5", "--out", str(tmp_path))
    found = result_of(capsys, *words, "--target", "3")
    assert {file.name for file in tmp_path.iterdir()} == {"gradient.png", "film.png"}
    assert 0 <= found["alignment"] <= 1
    assert found["frames"][0]["epsilon"] == 0
    assert found["frames"][-1]["class"] == found["target"] == "3"
    assert "no class" in refused(capsys, *words, "--target", "x")


def test_a_certified_radius(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("certify", "--checkpoint", STANDARD, "--index", "5", "--samples", "300")
    found = result_of(capsys, *words, "--sigma", "0.05")
    assert sum(found["votes"].values()) == 300
    assert found["radius_l2"] is None or found["radius_linf"] == pytest.approx(found["radius_l2"] / 8)
    assert "above 0" in refused(capsys, *words, "--sigma", "0")


def test_the_last_hidden_layer(capsys: pytest.CaptureFixture[str]) -> None:
    found = result_of(capsys, "inside", "--checkpoint", STANDARD, "--index", "5")
    assert 0 < sum(found["variance"]) <= 1
    start, itself = found["path"][0], found["images"][5]
    assert (start["x"], start["y"]) == pytest.approx((itself["x"], itself["y"]), abs=1e-4)
    assert "no test image" in refused(capsys, "inside", "--checkpoint", STANDARD, "--index", "-1")
