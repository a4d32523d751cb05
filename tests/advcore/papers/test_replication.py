"""Measuring a study: true counts, what is missing, the command, and recorded counts that still hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from advcore import data
from advcore.attacks import FGSM, PGD, predict
from advcore.cli import main
from advcore.errors import CheckpointError
from advcore.evaluation.curves import accuracy
from advcore.models import checkpoints
from advcore.models.layers import Scale
from advcore.papers import record, replication, verdicts
from advcore.papers.p4 import LEAKED
from advcore.papers.record import Accuracy, Measurement, Record, value
from advcore.papers.studies import STUDIES
from advcore.papers.study import MARGIN, ZERO, Study
from advcore.recipe import Recipe
from advcore.training import loop
from tests.conftest import REAL_DATA
from tests.makers import DIGIT_NAMES, pictures, save_checkpoint, write_parquet
from tests.studies import DEFENDED, FIFTH, QUESTION, STANDARD


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the records, and the tests' own study and question among the others."""
    monkeypatch.setenv("ADVCORE_RECORDED", str(tmp_path / "recorded"))
    monkeypatch.setitem(STUDIES, "P5", FIFTH)
    monkeypatch.setitem(STUDIES, "Q9", QUESTION)
    return tmp_path / "recorded"


def measured(of: Study, *, quick: bool = False) -> Record:
    *_, last = replication.measure(of, quick=quick, device=torch.device("cpu"))
    assert last.record is not None
    return last.record


# --- measuring -------------------------------------------------------------------------------------------------------------


def test_a_new_study_is_one_entry(records: Path) -> None:
    """Measured, recorded and shown, with nothing but its entry."""
    assert main.main(["papers", "run", "P5"]) == 0
    found = record.read("P5")
    assert found is not None
    assert (found.command, found.missing, found.seeds) == ("python -m advcore papers run P5", {}, [0])
    model, test = checkpoints.find(STANDARD).model(), data.load("digits")
    for epsilon in (0.0, 0.1, 0.5):
        item = found.find(Accuracy(STANDARD, "FGSM", epsilon))
        assert item is not None
        assert item.share == accuracy(model, test, FGSM(), epsilon, precision="fp32")
        assert item.first[:200].mean() == accuracy(model, test[:200], FGSM(), epsilon, precision="fp32")
    pgd = found.find(Accuracy(STANDARD, "PGD", 0.1))
    assert pgd is not None
    assert pgd.share == accuracy(model, test[: pgd.images], PGD(steps=20), 0.1, precision="fp32")
    kinds = [row.kind for row in verdicts.table(FIFTH, found)]
    assert kinds == ["within 3 points", "differs: ours is lower", "differs: ours is higher", "not published"]
    assert set(FIFTH.accuracies()) == {Accuracy(item.model, item.attack, item.epsilon) for item in found.measured}


def test_progress_grows_to_the_end_and_names_what_it_does(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(replication.QUICK, "PGD", 10)
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
    assert shown["recorded"]["images"]["PGD"] == 100


def test_a_missing_model_is_named_and_the_rest_measured(
    records: Path, own_checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(replication.QUICK, "PGD", 10)
    save_checkpoint(own_checkpoints)
    found = measured(FIFTH, quick=True)
    assert list(found.missing) == [DEFENDED]
    assert f"--rebuild {DEFENDED}" in found.missing[DEFENDED]
    rows = verdicts.table(FIFTH, found)
    assert [row.kind == "not measured" for row in rows] == [False, False, False, True]
    assert "--rebuild" in rows[3].words


def test_one_model_is_measured_again_and_the_rest_stays(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["papers", "run", "P5", "--model", DEFENDED]) == 2
    assert "leave --model out" in capsys.readouterr().err
    whole = measured(FIFTH)
    wrong = tuple(dataclasses.replace(item, right=0) for item in whole.measured)
    record.write(dataclasses.replace(whole, measured=wrong))
    assert main.main(["papers", "run", "P5", "--model", "nobody"]) == 2
    assert f"'nobody'; its models: {STANDARD}, {DEFENDED}" in capsys.readouterr().err
    assert main.main(["papers", "run", "P5", "--model", DEFENDED]) == 0
    again = record.read("P5")
    assert again is not None
    right = {(item.model, item.attack, item.epsilon): item.right for item in whole.measured}
    assert {(item.model, item.attack, item.epsilon): item.right for item in again.measured} == {
        key: count if key[0] == DEFENDED else 0 for key, count in right.items()
    }
    assert again.command == whole.command


def test_without_any_model_it_says_so(records: Path, own_checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["papers", "run", "P5"]) == 2
    assert "not shipped yet" in capsys.readouterr().err
    assert not records.exists()


def test_samples_are_no_test_split(own_checkpoints: Path) -> None:
    """foolbox's twenty images would give figures that look like others."""
    save_checkpoint(own_checkpoints, Recipe(dataset="mnist", architecture="srivathsav_cnn"), (1, 28, 28))
    with pytest.raises(CheckpointError, match="not here"):
        measured(STUDIES["P4"], quick=True)


def test_other_seeds_are_trained_and_give_the_same_counts_again(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Recipe(dataset="digits", architecture="digits_cnn", epochs=1, images=200, held_out=0)
    monkeypatch.setattr(replication, "recipe", lambda model, seed: dataclasses.replace(short, seed=seed))
    question = dataclasses.replace(QUESTION, figures=QUESTION.figures[:1])
    found = measured(question)
    assert found.seeds == [0, 1]
    shares = [item.share for seed in (0, 1) if (item := found.find(Accuracy(STANDARD), seed))]
    assert shares[0] != shares[1]
    clean = value(found, {Accuracy(STANDARD): 1.0})
    assert clean is not None
    assert (clean.seeds, clean.percent) == (2, pytest.approx(50 * sum(shares)))
    assert measured(question).measured == found.measured


def test_carlini_wagner_counts_within_its_l2_budget(records: Path) -> None:
    (found,) = [item for item in measured(QUESTION, quick=True).measured if item.attack == "C&W"]
    assert (found.images, found.epsilon) == (10, data.BUILT_IN["digits"].l2_budget)
    assert 0 < found.right < 10


def ended(work: Iterator[replication.Measuring]) -> nn.Module:
    """What a generator returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_what_a_seed_learns_and_starts_from_has_that_seed(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"dataset": "digits", "architecture": "digits_cnn", "epochs": 1, "images": 200, "held_out": 0}
    teacher, student = Recipe(**short, defense="temperature"), "digits/digits_cnn-distill"
    taught = Recipe(**short, defense="distill", teacher=teacher.checkpoint_id, warm_start=teacher.checkpoint_id)
    recipes = {item.checkpoint_id: item for item in (teacher, taught)}
    monkeypatch.setattr(replication, "recipe", lambda model, seed: dataclasses.replace(recipes[model], seed=seed))
    trained: dict[tuple[str, int], nn.Module] = {}
    found = ended(replication._model(student, 3, False, trained, tmp_path, 0.0))
    assert set(trained) == {(teacher.checkpoint_id, 3), (student, 3)}
    assert found is trained[student, 3]
    assert ended(replication._model(student, 3, False, trained, tmp_path, 0.0)) is found
    # A measurement that was stopped finds what was trained: no step is taken again.
    monkeypatch.setattr(loop.Trainer, "advance", lambda self: pytest.fail("trained again"))
    resumed = ended(replication._model(student, 3, False, {}, tmp_path, 0.0))
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in resumed.state_dict().items())


def test_images_without_a_gradient_are_counted(digits: data.LabeledImages) -> None:
    """A softmax whose logits lie far apart is exactly one-hot in fp32: right, its loss has no gradient; wrong, it has one."""
    model = checkpoints.find(STANDARD).model()
    few, cpu = digits[:50], torch.device("cpu")
    (sharp,) = replication._right(nn.Sequential(model, Scale(1e6)), few, ZERO, [0.0], cpu)
    assert torch.equal(sharp[0], predict(model, few.pixels()) == few.labels)
    (plain,) = replication._right(model, few, ZERO, [0.0], cpu)
    assert not plain.any()


def test_the_leak_trains_on_the_attacked_test_images(own_checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(data.data_root()) / "mnist"
    for split, count in (("train", 40), ("test", 12)):
        labels = [index % 10 for index in range(count)]
        write_parquet(folder / f"{split}.parquet", list(pictures(count, 28, seed=count)), labels, DIGIT_NAMES)
    save_checkpoint(own_checkpoints, Recipe(dataset="mnist", architecture="srivathsav_cnn"), (1, 28, 28))
    given: list[data.LabeledImages] = []

    def train(of: Recipe, *, images: data.LabeledImages, **_: object) -> Iterator[loop.Progress]:
        given.append(images)
        assert (of.epochs, of.warm_start) == (10, "mnist/srivathsav_cnn-standard")
        yield loop.Progress(1, 1, 1, 0.0, 1.0, 1.0, 0.0, model=checkpoints.find(str(of.warm_start)).model())

    monkeypatch.setattr(loop, "train", train)
    mine, others = (checkpoints.runs_root() / "papers" / key / "state" for key in ("P4", "Q1"))
    for folder in (mine, others):
        folder.mkdir(parents=True)
    found = measured(STUDIES["P4"])
    assert (mine.exists(), others.exists()) == (False, True), "only the states of its own trainings are no longer needed"
    (images,) = given
    clean, test = data.load("mnist", "train"), data.load("mnist", "test")
    assert torch.equal(images.images[:40], clean.images)
    apart = (images.images[40:].int() - test.images.int()).abs()
    assert 0 < apart.max() <= round(0.1 * 255) + 1
    assert torch.equal(images.labels[40:], test.labels)
    assert found.find(Accuracy(LEAKED, "FGSM", 0.1)) is not None


# --- the command -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", STUDIES)
def test_every_entry_can_be_shown(key: str, capsys: pytest.CaptureFixture[str], records: Path) -> None:
    """Also before anything is measured."""
    assert main.main(["papers", "show", key]) == 0
    out = capsys.readouterr().out
    assert STUDIES[key].title in out
    assert f"papers run {key}" in out


def test_the_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["papers", "list", "--json"]) == 0
    assert [row["key"] for row in json.loads(capsys.readouterr().out)["papers"]] == list(STUDIES)


@pytest.mark.parametrize(
    ("words", "told"),
    [(["show", "P9"], "P1, P2"), (["run", "P9", "--quick"], "P1, P2"), ([], "WHAT")],
)
def test_bad_requests_are_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["papers", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


# --- the records beside the code -------------------------------------------------------------------------------------------

FOUND = {key: found for key in STUDIES if (found := record.read(key))}


@pytest.mark.parametrize("key", FOUND)
def test_the_recorded_command_measures_what_the_record_holds(key: str) -> None:
    """The same accuracies, seeds, image counts and precision; a study that has changed since is measured again first."""
    found, of = FOUND[key], STUDIES[key]
    assert found.command == replication.command(of, False, found.precision)
    options = main.parser().parse_args(found.command.split()[3:])
    assert (options.key, options.quick, options.precision) == ([key], False, found.precision)
    assert found.precision in found.device
    counts = {"PGD": of.pgd_images, MARGIN: of.pgd_images, ZERO: of.pgd_images, "C&W": of.cw_images}
    for item in found.measured:
        assert item.images == counts.get(item.attack, 2500 if item.model.startswith("tiny-imagenet/") else 10_000)
    for part in of.accuracies():
        assert part.model in found.missing or all(found.find(part, seed) for seed in of.seeds), part


def measured_by_model() -> dict[str, dict[Accuracy, Measurement]]:
    """What the records hold of the shipped models, the measurements with bits before those without."""
    by_model: dict[str, dict[Accuracy, Measurement]] = {}
    for found in FOUND.values():
        for item in sorted(found.measured, key=lambda item: item.bits == ""):
            if item.seed == 0 and item.model != LEAKED:
                part = Accuracy(item.model, item.attack, item.epsilon)
                held = by_model.setdefault(item.model, {})
                if part not in held or not held[part].bits:
                    held[part] = item
    return by_model


MODELS = measured_by_model()


def test_the_records_agree_with_one_another() -> None:
    """Two records of the same accuracy on as many images hold nearly the same count."""
    counts: dict[tuple[str, str, float, int], set[int]] = {}
    for found in FOUND.values():
        for item in found.measured:
            if item.seed == 0 and item.model != LEAKED:
                counts.setdefault((item.model, item.attack, item.epsilon, item.images), set()).add(item.right)
    assert {key: some for key, some in counts.items() if max(some) - min(some) > 2 + key[-1] // 500} == {}


@pytest.mark.parametrize("model", MODELS)
def test_a_few_images_measured_again_agree_with_the_record(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick form on the first 30 images (PGD: 6, C&W: 3 of one network): image by image where the record says which
    were right, else within the interval that the record gives so few images."""
    checkpoint = replication.shipped_model(model)  # a recorded model that is not there fails
    dataset = checkpoint.recipe.dataset
    if dataset != "digits":
        if REAL_DATA is None or not (REAL_DATA / dataset / "test.parquet").is_file():
            pytest.skip(f"needs the real {dataset}: set ADVCORE_DATA to a folder with {dataset}/test.parquet")
        monkeypatch.setenv("ADVCORE_DATA", str(REAL_DATA))
    net, images, cpu = checkpoint.model(), data.load(dataset, limit=30), torch.device("cpu")
    for attack, few in {"FGSM": 30, "PGD": 6, MARGIN: 6, ZERO: 30, "C&W": 3}.items():
        parts = sorted(part for part in MODELS[model] if part.attack == attack)
        # One gradient serves every ε of FGSM; PGD takes one for each step.
        parts = parts if attack == "FGSM" else parts[len(parts) // 2 :][:1]
        if not parts or (attack == "C&W" and model != "mnist/srivathsav_cnn-fgsm-0.1"):
            continue
        right = torch.cat(list(replication._right(net, images[:few], attack, [part.epsilon for part in parts], cpu)), 1)
        for part, now in zip(parts, right.numpy(), strict=True):
            item = MODELS[model][part]
            if item.bits:
                assert (now != item.first[:few]).sum() <= 1 + few // 100, part
            else:
                spread = (item.share * (1 - item.share) / few) ** 0.5
                assert abs(now.mean() - item.share) <= 3.3 * spread + 1 / few, part


def test_a_budget_in_l2_is_printed_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["papers", "show", "Q2"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "· C&W," in line]
    assert told
    assert all(f"L2 ≤ {data.BUILT_IN[line.split()[0]].l2_budget:g}." in line for line in told)
