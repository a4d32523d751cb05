"""`evaluate` and `diagnose`: their JSON, going on after a stop, and writing into a header."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from advcore import data
from advcore.attacks import AutoAttack
from advcore.cli import diagnose as diagnose_command
from advcore.cli import evaluate as evaluate_command
from advcore.evaluation.diagnosis import Diagnosis, Effort, diagnosis_of
from advcore.evaluation.robust_accuracy import robust_accuracy
from advcore.models import checkpoints
from tests.advcore.cli.commands import STANDARD, refused, result_of, run

DEFENDED = "digits/digits_cnn-fgsm-0.2"
WRITTEN = {"autoattack", "diagnosis"}
LITTLE = ["--steps", "3", "--targets", "2", "--queries", "8", "--precision", "fp32"]


@pytest.fixture
def little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks and AutoAttack that take seconds."""
    few, original = Effort(steps=3, more_steps=4, restarts=2, draws=4, queries=4), diagnose_command.diagnose
    monkeypatch.setattr(diagnose_command, "diagnose", lambda *of, **more: original(*of, effort=few, **more))
    monkeypatch.setattr(diagnose_command, "AutoAttack", lambda norm: AutoAttack(norm=norm, steps=3, targets=2, queries=8))


def test_evaluate_as_json_has_the_form_of_a_curve(capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = result_of(capsys, "evaluate", "--checkpoint", DEFENDED, "--limit", "20", "--json", *LITTLE)["results"]
    assert (result["checkpoint"], result["dataset"], result["images"], result["samples"]) == (DEFENDED, "digits", 20, False)
    (point,) = result["points"]
    assert (point["epsilon"], point["norm"], point["reading"]) == (0.2, "linf", "worst"), "the ε that it claims"
    assert 0 <= point["low"] <= point["accuracy"] <= point["high"] <= 1
    attack = AutoAttack(steps=3, targets=2, queries=8)
    *_, found = robust_accuracy(
        checkpoints.find(DEFENDED).model(), data.load("digits", limit=20), attack, 0.2, precision="fp32"
    )
    assert result["survivors"] == found.survivors


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each evaluation of a test takes from an earlier one."""
    counts: list[int] = []
    original = evaluate_command.robust_accuracy
    monkeypatch.setattr(
        evaluate_command,
        "robust_accuracy",
        lambda *of, done, **more: counts.append(len(done)) or original(*of, done=done, **more),
    )
    return counts


def test_evaluate_goes_on_where_it_stopped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, known: list[int]
) -> None:
    words = ["evaluate", "--checkpoint", STANDARD, "--attack", "pgd", "--steps", "3", "--epsilon", "0.1", "--json"]
    monkeypatch.setattr(evaluate_command, "_BATCH", 8)
    result_of(capsys, *words, "--limit", "16")
    (whole,) = result_of(capsys, *words, "--limit", "40")["results"]
    assert known == [0, 16]
    shutil.rmtree(checkpoints.runs_root())
    (again,) = result_of(capsys, *words, "--limit", "40")["results"]
    assert (again["points"], again["survivors"]) == (whole["points"], whole["survivors"])


@pytest.mark.parametrize("state", [{"fooled_by": 7}, {"fooled_by": ["one", None]}, {"fooled_by": [-1, 99]}, []])
def test_evaluate_starts_again_from_an_unusable_state(state: object, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "--checkpoint", STANDARD, "--attack", "pgd", "--steps", "3", "--epsilon", "0.1", "--json"]
    (whole,) = result_of(capsys, *words, "--limit", "4")["results"]
    (path,) = (checkpoints.runs_root() / "evaluations").iterdir()
    path.write_text(json.dumps(state))
    (again,) = result_of(capsys, *words, "--limit", "4")["results"]
    assert (again["points"], again["survivors"]) == (whole["points"], whole["survivors"])


def test_evaluate_in_words_names_its_norm(capsys: pytest.CaptureFixture[str]) -> None:
    run("evaluate", "--checkpoint", STANDARD, "--attack", "fgsm", "--norm", "l2", "--epsilon", "0.5", "--limit", "10")
    assert "L2" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--attack", "nothing"], ["--epsilon", "2"], ["--attack", "autoattack", "--norm", "l0"]])
def test_evaluate_refuses_what_there_is_not(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "evaluate", "--checkpoint", STANDARD, *words)


@pytest.mark.usefixtures("little_effort")
def test_diagnose_as_json_has_ten_checks(capsys: pytest.CaptureFixture[str]) -> None:
    found = result_of(capsys, "diagnose", DEFENDED, "--limit", "12", "--json", "--precision", "fp32")
    assert len(found["checks"]) == 10
    assert {check["light"] for check in found["checks"]} <= {"holds", "doubtful", "fails"}
    diagnosis = Diagnosis.from_dict(found["diagnosis"])
    assert (diagnosis.epsilon, diagnosis.images, diagnosis.defended) == (0.2, 12, True)
    assert found["verdict"] == diagnosis.verdict
    assert found["autoattack"] is None


@pytest.mark.usefixtures("little_effort")
def test_diagnose_goes_on_after_the_last_whole_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["diagnose", DEFENDED, "--limit", "8", "--json", "--precision", "fp32"]
    original, ran = diagnose_command.diagnose, []

    def stopping(*of: object, **more: object):
        for step in original(*of, **more):
            yield step
            if step.check == "noise":
                raise KeyboardInterrupt

    monkeypatch.setattr(diagnose_command, "diagnose", stopping)
    run(*words, expect=130)
    capsys.readouterr()
    monkeypatch.setattr(
        diagnose_command, "diagnose", lambda *of, state, **more: ran.append(state) or original(*of, state=state, **more)
    )
    result_of(capsys, *words)
    assert list(ran[0]["diagnosis"]["counts"]) == ["single_step", "more_steps", "restarts", "margin_loss", "rising_epsilon"]


@pytest.mark.usefixtures("little_effort")
def test_write_keeps_the_results_in_the_header_and_every_weight(
    capsys: pytest.CaptureFixture[str], own_checkpoints: Path, known: list[int]
) -> None:
    shipped = Path(__file__).resolve().parents[3] / "checkpoints" / "digits"
    shutil.copytree(shipped, own_checkpoints / "digits")
    before = checkpoints.find(DEFENDED)
    weights = before.model().state_dict()
    content = before.path.read_bytes()
    words = ["--limit", "8", "--autoattack", "12", "--write", "--json", "--precision", "fp32"]
    found = result_of(capsys, "diagnose", DEFENDED, *words)
    after = checkpoints.find(DEFENDED)
    assert after.metrics["autoattack"] == found["autoattack"]
    assert found["autoattack"]["images"] == 12
    assert diagnosis_of(after) == Diagnosis.from_dict(found["diagnosis"])
    others = [{name: item.metrics[name] for name in item.metrics if name not in WRITTEN} for item in (before, after)]
    assert others[0] == others[1]
    assert (after.recipe, after.provenance) == (before.recipe, before.provenance)
    assert tensor_bytes(after.path.read_bytes()) == tensor_bytes(content)
    assert all((value == weights[name]).all() for name, value in after.model().state_dict().items())
    words[words.index("12")] = "16"
    result_of(capsys, "diagnose", DEFENDED, *words)
    assert known == [0, 12], "more images go on from those in the header, though the file is another"


def tensor_bytes(content: bytes) -> bytes:
    return content[8 + int.from_bytes(content[:8], "little") :]


@pytest.mark.usefixtures("little_effort")
def test_what_autoattack_fools_lowers_the_bound(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["advcore"])
    words = ["diagnose", STANDARD, "--epsilon", "0.001", "--limit", "8", "--json", "--precision", "fp32"]
    alone = result_of(capsys, *words)["diagnosis"]["robust"]
    known = json.loads(json.dumps({"fooled_by": [1] * 8}))
    original = diagnose_command.evaluated
    monkeypatch.setattr(
        diagnose_command,
        "evaluated",
        lambda *of, **more: type(found := original(*of, **more))(
            found.epsilon, found.norm, found.components, tuple(known["fooled_by"])
        ),
    )
    assert alone > 0
    assert result_of(capsys, *words, "--autoattack", "8")["diagnosis"]["robust"] == 0


def test_the_usual_l2_budget_is_not_the_l_infinity_one(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "--checkpoint", DEFENDED, "--attack", "pgd", "--steps", "2", "--limit", "8", "--json"]
    budgets = []
    for norm in ("linf", "l2"):
        (result,) = result_of(capsys, *words, "--norm", norm)["results"]
        (point,) = result["points"]
        assert point["norm"] == norm
        budgets.append(point["epsilon"])
    assert budgets == [0.2, data.dataset("digits").l2_budget]


def test_an_l0_attack_has_no_usual_epsilon(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--epsilon" in refused(capsys, "evaluate", "--checkpoint", DEFENDED, "--attack", "jsma", "--limit", "2")
