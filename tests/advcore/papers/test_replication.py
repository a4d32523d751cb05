"""Measuring a study: true counts, a record that can be read, and records beside the code that still hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from advcore import data
from advcore.attacks import FGSM, PGD
from advcore.attacks.study import carlini_wagner
from advcore.cli import main
from advcore.errors import AdvcoreError, CheckpointError
from advcore.evaluation.curves import accuracy, robustness_curve
from advcore.models import checkpoints
from advcore.papers import replication, studies, verdicts
from advcore.papers.replication import Record, Wanted
from advcore.recipe import Recipe
from advcore.training import loop
from tests.conftest import REAL_DATA
from tests.makers import DIGIT_NAMES, pictures, save_checkpoint, write_parquet
from tests.studies import DEFENDED, FIFTH, QUESTION, STANDARD


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the records, and the fifth study and its question among the others."""
    monkeypatch.setenv("ADVCORE_RECORDED", str(tmp_path / "recorded"))
    monkeypatch.setitem(studies.ENTRIES, "P5", FIFTH)
    monkeypatch.setitem(studies.ENTRIES, "Q9", QUESTION)
    return tmp_path / "recorded"


def measured(of: studies.Entry, *, quick: bool = False) -> Record:
    *_, last = replication.measure(of, quick=quick, device=torch.device("cpu"))
    assert last.record is not None
    return last.record


# --- measuring -------------------------------------------------------------------------------------------------------------


def test_a_fifth_study_is_one_entry(records: Path) -> None:
    """Measured, recorded, shown: nothing but its entry says anything of it."""
    assert main.main(["papers", "run", "P5"]) == 0
    record = replication.recorded("P5")
    assert record is not None
    assert (record.command, record.missing, record.seeds) == ("python -m advcore papers run P5", {}, [0])
    model, test = checkpoints.find(STANDARD).model(), data.load("digits")
    for epsilon in (0.0, 0.1, 0.5):
        found = record.find(Wanted(STANDARD, "FGSM", epsilon))
        assert found is not None
        assert found.right / found.images == accuracy(model, test, FGSM(), epsilon, precision="fp32")
        assert found.slice == (200, round(200 * accuracy(model, test[:200], FGSM(), epsilon, precision="fp32")))
    pgd = record.find(Wanted(STANDARD, "PGD", 0.1))
    assert pgd is not None
    assert pgd.right / pgd.images == accuracy(model, test[: pgd.images], PGD(steps=20), 0.1, precision="fp32")
    kinds = [line.verdict.kind for line in verdicts.lines(FIFTH, record)]
    assert kinds == ["reproduced", "another convention", "not reproducible", "not published"]
    assert set(replication.wanted(FIFTH)) == {Wanted(m.model, m.attack, m.epsilon, m.seed) for m in record.measured}


def test_progress_grows_to_the_end_and_names_what_it_does(records: Path) -> None:
    seen = list(replication.measure(FIFTH, quick=True))
    shares = [step.done for step in seen]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert {step.words for step in seen} >= {f"{STANDARD} under FGSM", f"{DEFENDED} under PGD"}
    assert [step.record is None for step in seen] == [True] * (len(seen) - 1) + [False]


def test_quick_takes_the_first_images_and_is_not_recorded(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["papers", "run", "p5", "--quick", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["recorded"]["command"] == "python -m advcore papers run P5 --quick"
    assert not records.exists()
    record = measured(FIFTH, quick=True)
    assert {item.attack: item.images for item in record.measured}["PGD"] == 100
    assert main.main(["papers", "run", "P5", "--quick", "--write"]) == 0
    assert [path.name for path in records.iterdir()] == ["P5.json"]


def test_a_missing_model_is_named_and_the_rest_measured(records: Path, own_checkpoints: Path) -> None:
    save_checkpoint(own_checkpoints)
    record = measured(FIFTH, quick=True)
    assert list(record.missing) == [DEFENDED]
    assert f"--rebuild {DEFENDED}" in record.missing[DEFENDED]
    lines = verdicts.lines(FIFTH, record)
    assert [line.verdict.kind == "not measured" for line in lines] == [False, False, False, True]
    assert "--rebuild" in lines[3].verdict.words


def test_without_any_model_it_says_so(records: Path, own_checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["papers", "run", "P5"]) == 2
    assert "not shipped yet" in capsys.readouterr().err
    assert not records.exists()


def test_samples_are_no_test_split(own_checkpoints: Path) -> None:
    """foolbox's twenty images would give figures that look like others."""
    save_checkpoint(own_checkpoints, Recipe(dataset="mnist", architecture="srivathsav_cnn"), (1, 28, 28))
    with pytest.raises(CheckpointError, match="not here"):
        measured(studies.STUDIES["P4"], quick=True)


def test_other_seeds_are_trained_once(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Recipe(dataset="digits", architecture="digits_cnn", epochs=1, images=200, held_out=0)
    monkeypatch.setattr(replication, "recipe", lambda model, seed: dataclasses.replace(short, seed=seed))
    runs, train = [], loop.train
    monkeypatch.setattr(loop, "train", lambda *given, **options: runs.append(given) or train(*given, **options))
    question = dataclasses.replace(QUESTION, attacks=("clean", "FGSM"))
    record = measured(question)
    assert record.seeds == [0, 1]
    shares = [record.find(Wanted(STANDARD, "FGSM", 0.0, seed)) for seed in (0, 1)]
    assert shares[0] != shares[1]
    found = verdicts.value(record, STANDARD, "clean")
    assert found is not None
    assert found.seeds == 2
    assert found.percent == pytest.approx(sum(item.percent for item in shares if item) / 2)
    again = measured(question)
    assert len(runs) == 1
    assert again.measured == record.measured


def test_carlini_wagner_counts_within_its_l2_budget(records: Path) -> None:
    record = measured(QUESTION, quick=True)
    (found,) = [item for item in record.measured if item.attack == "C&W"]
    assert (found.images, found.epsilon) == (10, studies.L2_BUDGETS["digits"])
    assert 0 < found.right < 10
    assert found.median is not None
    assert found.median > 0


def test_the_leak_trains_on_the_attacked_test_images(own_checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(data.data_root()) / "mnist"
    for split, count in (("train", 40), ("test", 12)):
        labels = [index % 10 for index in range(count)]
        write_parquet(folder / f"{split}.parquet", list(pictures(count, 28, seed=count)), labels, DIGIT_NAMES)
    save_checkpoint(own_checkpoints, Recipe(dataset="mnist", architecture="srivathsav_cnn"), (1, 28, 28))
    given: list[data.LabeledImages] = []

    def train(of: Recipe, *, images: data.LabeledImages, folder: Path | None) -> Iterator[loop.Progress]:
        given.append(images)
        assert (of.epochs, of.warm_start) == (10, "mnist/srivathsav_cnn-standard")
        yield loop.Progress(1, 1, 1, 0.0, 1.0, 1.0, 0.0, model=checkpoints.find(str(of.warm_start)).model())

    monkeypatch.setattr(loop, "train", train)
    record = measured(studies.STUDIES["P4"])
    (images,) = given
    clean, test = data.load("mnist", "train"), data.load("mnist", "test")
    assert torch.equal(images.images[:40], clean.images)
    apart = (images.images[40:].int() - test.images.int()).abs()
    assert 0 < apart.max() <= round(0.1 * 255) + 1
    assert torch.equal(images.labels[40:], test.labels)
    assert record.find(Wanted(studies.LEAKED, "FGSM", 0.1)) is not None


# --- the record ------------------------------------------------------------------------------------------------------------


def test_a_record_is_read_as_it_was_written_one_figure_a_line(records: Path) -> None:
    record = measured(FIFTH, quick=True)
    path = replication.write(record)
    assert replication.recorded("P5") == record
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if '"right"' in line]
    assert len(lines) == len(record.measured)
    assert [file.name for file in records.iterdir()] == ["P5.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"measured": [{"model": "x"}]}', '{"measured": 3}', "[" * 100_000])
def test_a_damaged_record_is_said(text: str, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records.mkdir()
    (records / "P2.json").write_text(text)
    with pytest.raises(AdvcoreError, match="papers run"):
        replication.recorded("P2")
    assert main.main(["papers", "show", "P2"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_interrupted_write_leaves_the_record_before(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = measured(FIFTH, quick=True)
    replication.write(record)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            replication.write(dataclasses.replace(record, date="never"))
    assert replication.recorded("P5") == record


# --- the command -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", studies.ENTRIES)
def test_every_entry_can_be_shown(key: str, capsys: pytest.CaptureFixture[str], records: Path) -> None:
    """Also before anything is measured."""
    assert main.main(["papers", "show", key]) == 0
    out = capsys.readouterr().out
    assert studies.ENTRIES[key].title in out
    assert f"papers run {key}" in out


def test_the_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["papers", "list", "--json"]) == 0
    assert [row["key"] for row in json.loads(capsys.readouterr().out)["papers"]] == list(studies.ENTRIES)


@pytest.mark.parametrize(
    ("words", "told"),
    [(["show", "P9"], "P1, P2"), (["run", "P9", "--quick"], "P1, P2"), (["run", "P2", "--write"], "--quick"), ([], "WHAT")],
)
def test_bad_requests_are_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["papers", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


# --- the records beside the code -------------------------------------------------------------------------------------------

RECORDED = [key for key in studies.ENTRIES if (replication.recorded_root() / f"{key}.json").exists()]
FOUND = [item for key in RECORDED for item in replication.recorded(key).measured if item.seed == 0]  # type: ignore[union-attr]


@pytest.mark.parametrize("key", RECORDED)
def test_the_records_measure_what_the_studies_now_say(key: str) -> None:
    """A figure, reading or claim that was added or changed since is measured anew before it is shown."""
    record = replication.recorded(key)
    assert record is not None
    assert not record.quick
    for item in replication.wanted(studies.ENTRIES[key]):
        assert record.find(item) or item.model in record.missing, item


def test_the_records_agree_with_one_another() -> None:
    """What two of them measured of one model, before and after which nothing was trained anew, is the same."""
    counts: dict[tuple[str, str, float, int], set[int]] = {}
    for item in FOUND:
        if item.model != studies.LEAKED:
            counts.setdefault((item.model, item.attack, item.epsilon, item.images), set()).add(item.right)
    assert {key: found for key, found in counts.items() if max(found) - min(found) > 2} == {}


def slice_of(model: str) -> dict[str, dict[float, tuple[int, int]]]:
    """What is measured again of a model: by attack, a few ε with (first images, right ones)."""
    by_attack: dict[str, dict[float, tuple[int, int]]] = {}
    for item in sorted((item for item in FOUND if item.model == model), key=lambda item: item.epsilon):
        by_attack.setdefault(item.attack, {})[item.epsilon] = item.slice
    few: dict[str, dict[float, tuple[int, int]]] = {}
    for attack, found in by_attack.items():
        grid = list(found)
        # One gradient serves every ε of FGSM; PGD takes one for each step.
        kept = [grid[0], grid[len(grid) // 2], grid[-1]] if attack == "FGSM" else [grid[len(grid) // 2]]
        few[attack] = {epsilon: found[epsilon] for epsilon in kept}
    return few


@pytest.mark.parametrize("model", sorted({item.model for item in FOUND} - {studies.LEAKED}))
def test_a_slice_of_the_records_still_holds(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first test images counted again, attack by attack; one of them may turn with another machine's rounding."""
    checkpoint = replication.shipped_model(model)  # a recorded model that is not there fails
    dataset = checkpoint.recipe.dataset
    if dataset != "digits":
        if REAL_DATA is None or not (REAL_DATA / dataset / "test.parquet").is_file():
            pytest.skip(f"needs the real {dataset}: set ADVCORE_DATA to a folder with {dataset}/test.parquet")
        monkeypatch.setenv("ADVCORE_DATA", str(REAL_DATA))
    net, images = checkpoint.model(), data.load(dataset, limit=200)
    for attack, found in slice_of(model).items():
        if attack == replication.CARLINI_WAGNER:  # a thousand steps an image: only where they are cheap
            if checkpoint.parameters < 300_000:
                ((budget, (few, right)),) = found.items()
                part = images[:few]
                held = carlini_wagner(net, part.pixels(), part.labels) > budget
                assert abs(int(held.sum()) - right) <= 1
            continue
        (few,) = {size for size, _ in found.values()}
        *_, curve = robustness_curve(net, images[:few], replication.ATTACKS[attack], list(found), precision="fp32")
        for (epsilon, (_, right)), count in zip(found.items(), curve.correct, strict=True):
            assert abs(count - right) <= 1, (attack, epsilon)
