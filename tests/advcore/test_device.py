"""Devices and precisions: what this machine has, and one sentence for what it has not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from advcore import device
from advcore.errors import AdvcoreError


def test_the_best_device_is_taken_unless_one_is_named() -> None:
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert device.pick_device().type == best
    assert device.pick_device("cpu") == torch.device("cpu")


# `meta` is a device to torch, but nothing can be computed on it.
@pytest.mark.parametrize("name", ["cuda:99", "tpu", "", "cuda:x", "meta", "../cpu"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(AdvcoreError, match="This machine has no device"):
        device.pick_device(name)


def test_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.cores() >= 1
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert device.cores() == 3


@pytest.mark.parametrize(("cores", "words"), [(1, "CPU (1 core), bf16"), (2, "CPU (2 cores), bf16")])
def test_a_device_in_words(cores: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cores", lambda: cores)
    assert device.describe(torch.device("cpu"), "bf16") == words


def test_precisions() -> None:
    assert device.torch_dtype("bf16") is torch.bfloat16
    assert device.torch_dtype("fp32") is torch.float32
    assert device.PRECISIONS == ("fp32", "bf16")


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [({"fp32": 1.0, "bf16": 0.5}, "bf16"), ({"fp32": 1.0, "bf16": 0.95}, "fp32"), ({"fp32": 1.0, "bf16": 4.0}, "fp32")],
)
def test_the_fastest_precision_is_measured_and_a_tie_is_exact(
    seconds: dict[str, float], chosen: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(device, "_probe", seconds.__getitem__)
    assert device.fastest_precision.__wrapped__("cpu") == chosen
    # Another process of this machine, which measures something else now.
    monkeypatch.setattr(device, "_probe", {"fp32": seconds["bf16"], "bf16": seconds["fp32"]}.__getitem__)
    assert device.fastest_precision.__wrapped__("cpu") == chosen


def test_a_cache_that_cannot_be_written_or_read_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(device, "_probe", {"fp32": 1.0, "bf16": 0.5}.__getitem__)
    file = tmp_path / "adversarial-lab" / "precision.json"
    file.parent.mkdir()
    file.write_text("{")
    for place in (tmp_path, file):  # a broken file, and a folder that cannot be made
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        assert device.fastest_precision.__wrapped__("cpu") == "bf16"


def test_the_fastest_precision_of_this_cpu_is_measured_once() -> None:
    first = device.fastest_precision("cpu")
    assert first in device.PRECISIONS
    measured = device.fastest_precision.cache_info().misses
    assert device.fastest_precision("cpu") == first
    assert device.fastest_precision.cache_info().misses == measured


def test_apple_gpus_stay_exact() -> None:
    assert device.fastest_precision("mps") == "fp32"
