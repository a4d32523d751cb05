"""The Attack page without a browser: controls, states, errors."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from advcore import data
from advcore.attacks import ATTACKS, FGSM, PGD, predict
from advcore.errors import AttackError
from advcore.evaluation import figures, scrub
from advcore.evaluation.diagnosis import masking
from advcore.models import checkpoints
from tests.pages.conftest import finish, labels, open_page, opened, press
from ui import load
from ui.components import scrubber
from ui.components.scrubber import Side
from ui.track import tracks
from ui.words import percent
from ui.worker import worker


def test_it_opens_on_two_models() -> None:
    page = open_page("attack")
    assert not page.error
    assert page.selectbox(key="dataset").value in {"mnist", "digits"}
    assert not page.sidebar.selectbox, "the page is as wide as the window"


def test_the_heading_explains_the_chosen_attack() -> None:
    page = open_page("attack", dataset="digits", attack="pgd")
    assert ATTACKS["pgd"].about in next(item.proto.help for item in page.markdown if item.value.startswith("# "))
    assert page.selectbox(key="attack").help == ATTACKS["pgd"].about


def test_the_precision_that_is_named_is_the_one_it_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.load.fastest_precision", lambda device: "bf16")
    for name in ("attack", "your_image"):
        captions = " ".join(f"{item.value} {item.proto.help}" for item in open_page(name, dataset="digits").caption)
        assert "fp32" in captions
        assert "bf16" not in captions


def test_a_dataset_without_a_model_says_where_to_go() -> None:
    page = open_page("attack", dataset="imagenet")
    assert "Your image" in page.info[0].value
    assert [item.proto.url for item in page.get("link_button")] == ["/your_image?dataset=imagenet"]


def test_samples_are_called_samples() -> None:
    page = open_page("attack", dataset="mnist")
    assert any("Only 20 sample images" in warning.value for warning in page.warning)


def test_a_failed_download_is_one_sentence_and_the_samples_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(form: str, root: Path) -> None:
        raise OSError("no route to the host")

    monkeypatch.setattr("advcore.data.readers._fetch", fail)
    page = open_page("attack", dataset="mnist")
    press(page, "Fetch the full set")
    assert "could not be fetched" in page.error[0].value
    assert any("Test image" in caption.value for caption in page.caption)


def test_a_download_cut_off_leaves_the_samples_or_a_way_to_fetch_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCORE_DATA", str(tmp_path))
    (raw := tmp_path / "MNIST" / "raw").mkdir(parents=True)
    page = open_page("attack", dataset="mnist")
    assert any("Only 20 sample images" in warning.value for warning in page.warning)
    (raw / "train-images-idx3-ubyte").write_bytes(bytes(16))
    page = open_page("attack", dataset="mnist")
    assert "t10k-images-idx3-ubyte is missing" in page.error[0].value.replace("\\", "")
    assert labels(page) == ["Fetch the full set"]


def test_a_link_sets_every_control() -> None:
    page = open_page("attack", dataset="digits", a="digits/digits_cnn-fgsm-0.2", attack="pgd", target="3", image="11")
    values = [page.selectbox(key=key).value for key in ("dataset", "a:digits", "attack", "target:digits")]
    assert values == ["digits", "digits/digits_cnn-fgsm-0.2", "pgd", "3"]
    assert any("Test image 11" in caption.value for caption in page.caption)


def test_another_dataset_begins_afresh_and_blames_no_link() -> None:
    page = open_page("attack", dataset="digits", a="digits/digits_cnn-fgsm-0.2", image="11", epsilon="0.4", noise="1")
    page.selectbox(key="dataset").set_value("mnist").run()
    assert not any("The link asks" in warning.value for warning in page.warning)
    fresh = open_page("attack", dataset="mnist")
    assert state(page) == state(fresh)
    assert page.caption[-1].value == fresh.caption[-1].value
    page.selectbox(key="dataset").set_value("digits").run()
    assert page.selectbox(key="a:digits").value == "digits/digits_cnn-fgsm-0.2"
    assert any("Test image 11" in caption.value and "0.400" in caption.value for caption in page.caption)


@pytest.mark.parametrize("value", ["<script>alert(1)</script>", "../../etc", "x" * 5000, "", "99999999", "nan"])
def test_a_strange_link_is_answered_in_one_sentence(value: str) -> None:
    page = open_page("attack", dataset=value, image=value, epsilon=value)
    said = [warning.value for warning in page.warning if "The link asks" in warning.value]
    assert len(said) == 1
    used = state(page)
    for name in ("dataset", "image", "epsilon"):
        assert f"{name} “" in said[0]
        assert f"(used instead: {used[name]})" in said[0]
    assert "<script>" not in said[0]
    page.selectbox(key="attack").set_value("pgd").run()
    assert not any("The link asks" in warning.value for warning in page.warning), "once"


def test_noise_is_computed_once_somebody_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    scrubbed = load.scrubbed
    monkeypatch.setattr(
        load, "scrubbed", lambda what, grid: (asked.append(type(what.attack).__name__), scrubbed(what, grid))[1]
    )
    page = open_page("attack", dataset="digits", image="5")
    assert set(asked) == {"FGSM"}
    press(page, "Try noise of the same size")
    assert "SignNoise" in asked
    asked.clear()
    press(page, "Fool it")
    assert "SignNoise" in asked, "who looked at noise looks again without a wait"


def test_a_slow_attack_is_shown_at_its_epsilon_first_and_then_along_the_track(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[list[Side], tuple[float, ...]]] = []
    real = scrubber.scrubber

    def seen(sides: list[Side], *names: object, track: tuple[float, ...], **more: object) -> scrubber.Scrubbed:
        drawn.append((sides, track))
        return real(sides, *names, track=track, **more)

    monkeypatch.setattr("ui.track._AT_ONCE", 0)
    monkeypatch.setattr("pages.attack.scrubber", seen)
    with worker().interactive():  # nothing is done in the background yet
        page = open_page("attack", dataset="digits", attack="pgd", image="5", epsilon="0.2")
        sides, track = drawn[-1]
        assert track == scrub.coarse(data.BUILT_IN["digits"].epsilons)
        assert [side.attack.epsilons for side in sides] == [(0.0, 0.2)] * 2
        assert "4 of 42" in page.get("progress")[0].proto.text
    finish(page, "track")
    sides, _ = drawn[-1]
    assert not page.get("progress")
    info, test = data.BUILT_IN["digits"], data.load("digits")[5:6]
    for side, name in zip(sides, ("a", "b"), strict=True):
        model = checkpoints.find(state(page)[name]).model()
        whole = scrub.scrub(model, test.pixels(), PGD(), info.epsilons, label=int(test.labels), index=5)
        assert side.attack.epsilons == whole.epsilons
        assert torch.equal(side.attack.answers, whole.answers)
        assert torch.allclose(side.attack.shares, whole.shares, atol=1e-3)
    asked = [load.image_attack(checkpoints.find(state(page)[name]), 5, PGD()) for name in "ab"]
    for one, side in zip(asked, sides, strict=True):
        assert torch.equal(load.scrubbed(one, info.epsilons).shares, side.attack.shares), "Why shows the same"


def test_a_slow_attack_that_fails_in_the_background_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(model: torch.nn.Module) -> torch.nn.Module:
        raise AttackError("The attack cannot go on.")

    monkeypatch.setattr("ui.track._AT_ONCE", 0)
    monkeypatch.setattr("ui.track.pausing", fail)
    page = open_page("attack", dataset="digits", attack="pgd", image="6", epsilon="0")
    with worker().changed:
        owner = ("track", page.session_state["session"])
        assert worker().changed.wait_for(lambda: not worker().wanted(owner), timeout=60)
    page.run()
    assert [error.value for error in page.error] == [r"The attack cannot go on\."]
    assert not page.get("progress")


def test_at_epsilon_0_a_slow_attack_is_not_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.track._AT_ONCE", 0)
    one = load.image_attack(checkpoints.find("digits/digits_cnn-standard"), 5, PGD())
    assert tracks([one], data.BUILT_IN["digits"].epsilons, 0.0).seen[0].epsilons == (0.0,)


def test_a_button_sets_the_whole_state() -> None:
    page = open_page(
        "attack", dataset="digits", a="digits/digits_cnn-fgsm-0.2", attack="pgd", target="3", image="5", epsilon="0.4"
    )
    fresh = state(open_page("attack", dataset="digits"))
    press(page, "Fool it")
    assert state(page) == fresh
    press(page, "Try noise of the same size")
    assert state(page) == fresh | {"noise": "1"}
    press(page, "See a defense break under PGD")
    shown = state(page)
    model = checkpoints.find(shown["b"])
    assert masking(model)
    assert (shown["attack"], shown["epsilon"]) == ("pgd", f"{model.recipe.epsilon:g}")
    image = data.load(shown["dataset"])[int(shown["image"]) : int(shown["image"]) + 1]
    fooled = [
        predict(model.model(), attack.perturb(model.model(), image.pixels(), image.labels, model.recipe.epsilon))
        != image.labels
        for attack in (FGSM(), PGD())
    ]
    assert [bool(answer) for answer in fooled] == [False, True]


def test_a_masked_model_is_named_with_what_fgsm_leaves_of_it() -> None:
    masked = "mnist/lee_cnn-fgsm-0.3"
    page = open_page("attack", dataset="mnist", b=masked)
    left = figures.accuracy_under(checkpoints.find(masked).metrics, "FGSM", 0.3)
    (said,) = [item.value for item in page.markdown if "masked" in item.value]
    assert "Model B" in said
    assert percent(left) in said


def test_a_button_turns_one_class_into_another(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dataclasses.replace(data.dataset("digits"), swap=("3", "8"), epsilon=0.2)
    monkeypatch.setitem(data.BUILT_IN, "digits", known)
    page = press(open_page("attack", dataset="digits"), "Turn “3” into “8”")
    shown = state(page)
    image = data.load("digits")[int(shown["image"]) : int(shown["image"]) + 1]
    assert image.class_names[int(image.labels)] == "3"
    assert (shown["attack"], shown["target"], shown["epsilon"]) == ("pgd", "8", "0.2")
    target = torch.tensor([8])
    a, b = (checkpoints.find(shown[letter]).model() for letter in "ab")
    answers = [
        int(predict(net, PGD(targeted=True).perturb(net, image.pixels(), target, 0.2, indices=image.indices))) for net in (a, b)
    ]
    assert answers[0] == 8
    assert answers[1] != 8


def state(page: AppTest) -> dict[str, str]:
    """What the address of the page says."""
    return page.session_state["address"].now[-1]


def test_damaged_data_is_one_sentence_and_other_datasets_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    (folder / "test.parquet").write_bytes(b"PAR1 not really")
    page = open_page("attack", dataset="mnist")
    assert "test.parquet" in page.error[0].value.replace("\\", "")
    page.selectbox(key="dataset").set_value("digits").run()
    assert not page.error


def test_a_dataset_without_models_sends_one_to_retrain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCORE_DATA", str(tmp_path))
    for name in "ab":
        (tmp_path / "shapes" / "test" / name).mkdir(parents=True)
        Image.new("L", (16, 16)).save(tmp_path / "shapes" / "test" / name / "0.png")
    page = open_page("attack", dataset="shapes")
    assert "no model for shapes" in page.info[0].value
    assert "Retrain page" in page.info[0].value


def test_the_python_snippet_runs_and_agrees_with_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = open_page("attack", dataset="digits", a="digits/digits_cnn-standard", image="0", epsilon="0.3")
    code = opened(page, "take away")
    claims = [caption.value for caption in page.caption if "Checked: " in caption.value]
    assert claims[0].startswith("✗")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert "'fooled_8bit': True" in capsys.readouterr().out
    assert (tmp_path / "attacked.png").read_bytes().startswith(b"\x89PNG")
