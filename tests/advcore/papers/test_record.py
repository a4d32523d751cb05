"""Records: read as written, damaged files are reported, and quantities with intervals that pair the same images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from advcore.cli import main
from advcore.errors import AdvcoreError
from advcore.papers import record
from advcore.papers.record import Accuracy, Measurement, Record, add, packed, value

ONE, TWO = Accuracy("mnist/one-standard"), Accuracy("mnist/two-standard")


def made(*measured: Measurement) -> Record:
    """A record of these measurements."""
    return Record("P9", "command", "2026-01-02", "CPU, fp32", "fp32", {"torch": "9"}, 1.5, {}, measured)


def measurement(of: Accuracy, right: np.ndarray, *, seed: int = 0, bits: bool = True) -> Measurement:
    """The measurement that says these images (bool N) were right."""
    known = packed(right) if bits else ""
    return Measurement(of.model, of.attack, of.epsilon, seed, len(right), int(right.sum()), known)


def images(*runs: tuple[bool, int]) -> np.ndarray:
    return np.concatenate([np.full(count, right) for right, count in runs])


def test_a_record_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCORE_RECORDED", str(tmp_path / "recorded"))
    right = np.random.default_rng(0).random(1234) < 0.7
    given = made(measurement(ONE, right), measurement(TWO, ~right[:10]))
    path = record.write(given)
    assert record.read("P9") == given
    assert len([line for line in path.read_text(encoding="utf-8").splitlines() if '"right"' in line]) == 2
    assert [file.name for file in path.parent.iterdir()] == ["P9.json"]
    assert np.array_equal(given.measured[0].first, right[:1000])
    assert np.array_equal(given.measured[1].first, ~right[:10])
    assert (given.seeds, given.images) == ([0], {"FGSM": 1234})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"measured": [{"model": "x"}]}', '{"measured": 3}', "[" * 100_000])
def test_a_damaged_record_is_an_error(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADVCORE_RECORDED", str(tmp_path))
    (tmp_path / "P2.json").write_text(text)
    with pytest.raises(AdvcoreError, match="papers run"):
        record.read("P2")
    assert main.main(["papers", "show", "P2"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_interrupted_write_keeps_the_record_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCORE_RECORDED", str(tmp_path))
    given = made(measurement(ONE, images((True, 5))))
    record.write(given)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            record.write(dataclasses.replace(given, date="never"))
    assert record.read("P9") == given


# --- quantities ------------------------------------------------------------------------------------------------------------


def test_a_sum_holds_each_accuracy_once() -> None:
    assert add((1.0, {ONE: 1.0, TWO: -1.0}), (2.0, {ONE: 0.5}), (1.0, {TWO: 1.0})) == {ONE: 2.0}


def test_the_same_accuracy_twice_is_no_independent_evidence() -> None:
    """Clean − (clean − FGSM) is FGSM, with FGSM's own interval."""
    clean, attacked = Accuracy("mnist/one-standard"), Accuracy("mnist/one-standard", "FGSM", 0.1)
    given = made(
        measurement(clean, images((True, 900), (False, 100))), measurement(attacked, images((True, 300), (False, 700)))
    )
    drop = add((1.0, {clean: 1.0}), (-1.0, {attacked: 1.0}))
    assert value(given, add((1.0, {clean: 1.0}), (-1.0, drop))) == value(given, {attacked: 1.0})


def test_a_difference_on_the_same_images_is_paired() -> None:
    """A model that is right wherever the other is, and on 2 % more, is better beyond doubt; independently it would not be."""
    given = made(measurement(ONE, images((True, 720), (False, 280))), measurement(TWO, images((True, 700), (False, 300))))
    paired = value(given, {ONE: 1.0, TWO: -1.0})
    assert paired is not None
    assert paired.percent == pytest.approx(2.0)
    # McNemar: the variance of the difference is that of the 20 images on which they differ.
    assert (paired.high - paired.low) / 2 == pytest.approx(196 * (0.02 * 0.98 / 1000) ** 0.5)
    without = made(*(dataclasses.replace(item, bits="") for item in given.measured))
    bound = value(without, {ONE: 1.0, TWO: -1.0})
    assert bound is not None
    assert bound.low < 0 < bound.high
    # Without the bits the covariance that widens the interval most: as if wrong on different images.
    opposed = made(given.measured[0], measurement(TWO, images((False, 300), (True, 700))))
    worst = value(opposed, {ONE: 1.0, TWO: -1.0})
    assert worst is not None
    assert bound.high == pytest.approx(worst.high)


def test_other_datasets_are_independent() -> None:
    other = Accuracy("cifar10/two-standard")
    right = images((True, 700), (False, 300))
    given = made(measurement(ONE, right), measurement(other, right))
    found = value(given, {ONE: 1.0, other: -1.0})
    assert found is not None
    assert found.high == pytest.approx(196 * (2 * 0.21 / 1000) ** 0.5)


def test_weights_count() -> None:
    given = made(measurement(ONE, images((True, 500), (False, 500))), measurement(TWO, images((True, 400), (False, 600))))
    found = value(given, {ONE: 2.0, TWO: -1.0})
    assert found is not None
    assert found.percent == pytest.approx(60.0)


def test_seeds_are_averaged_and_widen_the_interval() -> None:
    runs = [images((True, right), (False, 1000 - right)) for right in (900, 910, 920)]
    one, several = (
        value(made(*(measurement(ONE, run, seed=seed) for seed, run in enumerate(some))), {ONE: 1.0})
        for some in ([runs[1]], runs)
    )
    assert one is not None
    assert several is not None
    assert (several.percent, several.spread, several.seeds, several.images) == (91.0, 1.0, 3, 1000)
    assert several.low < one.low < one.high < several.high
    near = made(*(measurement(ONE, images((True, right), (False, 1000 - right)), seed=right) for right in (980, 1000)))
    assert (found := value(near, {ONE: 1.0})) is not None
    assert found.low < found.percent < found.high == 100, "an accuracy is never above 100 %"
    assert value(made(), {ONE: 1.0}) is None
    assert value(None, {ONE: 1.0}) is None


def test_an_accuracy_has_wilsons_interval() -> None:
    found = value(made(measurement(ONE, np.zeros(300, bool))), {ONE: 1.0})
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.0, 1.26), abs=0.01)
