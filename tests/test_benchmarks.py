"""The benchmarks run and print what they promise; the figures themselves are for a quiet machine."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from advcore.models import checkpoints
from advcore.recipe import Recipe

REPOSITORY = Path(__file__).parents[1]


def test_the_curve_benchmark_prints_one_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchattacks")
    pytest.importorskip("art")
    script = runpy.run_path(str(REPOSITORY / "benchmarks" / "curve_vs_peers.py"))
    options = ["--images", "20", "--repeats", "1", "--checkpoint", "digits/digits_cnn-standard", "--json"]
    monkeypatch.setattr(sys, "argv", ["curve_vs_peers.py", *options])
    script["main"]()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found["peers"]) == {"torchattacks", "foolbox", "art"}
    assert {"separate_s", "fp32_s", "default_s", "floor_s", "ratio_fp32", "ratio_default", "ratio_floor", "device"} <= set(
        found
    )
    assert found["ratio_fp32"] == pytest.approx(min(found["peers"].values()) / found["fp32_s"])
    assert found["ratio_floor"] == pytest.approx(found["default_s"] / found["floor_s"])
    assert found["max_abs_diff_fp32"] <= 0.1
    assert found["max_abs_diff_default"] <= 0.3


def test_the_training_benchmark_races_all_and_prints_one_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchvision")
    script = runpy.run_path(str(REPOSITORY / "benchmarks" / "training_vs_peers.py"))
    names = script["main"].__globals__
    command = ["training_vs_peers.py", "--dataset", "digits", "--architecture", "digits_cnn", "--images", "520", "--test", "50"]
    command += ["--turns", "1", "--ablation"]

    def here(name: str) -> dict[str, Any]:
        """A contender in this process: only its time and memory would differ."""
        monkeypatch.setattr(sys, "argv", [*command, "--contender", name])
        script["main"]()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    monkeypatch.setitem(names, "child", here)
    monkeypatch.setattr(sys, "argv", [*command, "--json"])
    script["main"]()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    switches = ["input_gradient", "channels_last", "fused", "memory"]
    ablation = [*(f"fast+{name}" for name in switches), "+".join(["fast", *switches])]
    assert set(found["contenders"]) == {"ours_fgsm", "tutorial", "tutorial_workers", "ours_fgsm_rs", "fast", *ablation}
    assert found["ablation"] == {
        name: found["contenders"]["fast"]["epoch_s"] / found["contenders"][name]["epoch_s"] for name in ablation
    }
    for row in found["contenders"].values():
        assert row["epoch_s"] > 0
        assert row["peak_mib"] > 100
        assert row["clean"] > 0.3, "everyone learns"
    best = min(found["contenders"][name]["epoch_s"] for name in ("tutorial", "tutorial_workers"))
    assert found["ratio_tutorial"] == pytest.approx(best / found["contenders"]["ours_fgsm"]["epoch_s"])
    assert found["defenses"]["standard"]["relative"] == 1
    assert {name: row["passes"] for name, row in found["defenses"].items()} == {
        "standard": 2,
        "fgsm": 4,
        "fgsm_rs": 4,
        "pgd": 16,
        "trades": 19,
    }
    assert len(list(script["table"](found))) == 2 + 10 + 5 + 2 + 5


def test_the_worst_case_benchmark_compares_with_the_peers_own_worst_case(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("foolbox")
    script = runpy.run_path(str(REPOSITORY / "benchmarks" / "worst_case_vs_peers.py"))
    monkeypatch.setitem(script["main"].__globals__, "STEPS", 5)
    options = ["--checkpoint", "digits/digits_cnn-standard", "--images", "16", "--autoattack-images", "0", "--ablation"]
    monkeypatch.setattr(sys, "argv", ["x", *options, "--peers", "foolbox", "--precision", "fp32", "--json"])
    script["main"]()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    (row,) = found["pgd"]
    assert found["ratio_pgd"] == row["ratio"] == row["seconds"]["foolbox"] / row["seconds"]["ours"]
    assert found["max_excess"] == row["excess"] <= 0.2
    assert {"without up the grid", "without warm start", "without bf16", "without any"} <= set(row["seconds"])
    for curve in row["accuracy"].values():
        assert curve == sorted(curve, reverse=True), "a worst case never rises"
    script["table"](found)
    assert "digits/digits_cnn-standard" in capsys.readouterr().out


def test_the_autoattack_benchmark_counts_both_sides(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchattacks")
    script = runpy.run_path(str(REPOSITORY / "benchmarks" / "autoattack_parity.py"))
    options = ["--images", "8", "--batch", "5", "--steps", "2", "--queries", "4", "--checkpoint", "digits/digits_cnn-standard"]
    monkeypatch.setattr(sys, "argv", ["autoattack_parity.py", *options, "--json"])
    script["main"]()
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    for side in ("ours", "torchattacks"):
        assert list(row[side]) == ["clean", "APGD-CE", "APGD-T", "FAB-T", "Square"]
        assert list(row[side].values()) == sorted(row[side].values(), reverse=True)
    assert (row["images"], row["ours"]["clean"]) == (8, row["torchattacks"]["clean"])
    assert row["difference_points"] == pytest.approx(100 * (row["ours"]["Square"] - row["torchattacks"]["Square"]) / 8)


def test_the_gpu_check_without_a_gpu_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = runpy.run_path(str(REPOSITORY / "benchmarks" / "gpu_check.py"))
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--out", str(tmp_path / "found.json")])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert script["main"]() == 2
    assert "no GPU" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
    row = script["against_cpu"](checkpoints.find("digits/digits_cnn-standard"), torch.device("cpu"))
    assert (row["images"], row["differ"], row["gradients_apart"]) == (50, {"FGSM": 0, "PGD-20": 0, "APGD": 0}, 0)
    assert "ZeroDivisionError" in script["tried"](lambda: {"x": 1 // 0})["error"]


def test_the_operations_of_a_training_are_those_counted_by_hand() -> None:
    script = runpy.run_path(str(REPOSITORY / "benchmarks" / "training_work.py"))
    first, others = 32 * 9 * 26**2, 64 * 32 * 9 * 24**2 + 64 * 24**2 * 128 + 128 * 10
    # Twice a multiply-add; backwards twice as much again, but for the gradient of the image.
    standard = 4 * first + 6 * others
    recipe = {"dataset": "mnist", "architecture": "lee_cnn", "epochs": 2, "images": 1100, "held_out": 100}
    assert script["pflop"](Recipe(**recipe)) == pytest.approx(2000 * standard / 1e15)
    # The clean pass also gives the gradient of the image, which makes the attack.
    fgsm = script["pflop"](Recipe(**recipe, defense="fgsm", epsilon=0.1))
    assert fgsm == pytest.approx(2000 * (2 * standard + 2 * first) / 1e15)
    # The network that training starts from had five epochs of 60,000 images.
    continued = script["pflop"](Recipe(**recipe, warm_start="mnist/lee_cnn-standard"))
    assert continued == pytest.approx(302_000 * standard / 1e15)
    # One of the two epochs is standard training.
    delayed = script["pflop"](Recipe(**recipe, defense="fgsm", epsilon=0.1, standard_epochs=1))
    assert delayed == pytest.approx(1000 * (3 * standard + 2 * first) / 1e15)
    rows = [row for row in script["trainings"]() if row.published]
    assert {row.epochs for row in rows} == {10, 15, 30}
    assert script["chart"](rows).count("<circle") == len(rows)
