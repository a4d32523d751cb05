"""A photo of one's own from the file to the attacked PNG, in the engine and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from advcore.attacks import FGSM, PGD, predict
from advcore.cli.main import main
from advcore.images.decode import Photo, PhotoError, decode
from advcore.models import architectures, checkpoints
from advcore.photos.attack import attack_own, crop_from
from advcore.photos.framing import frame, view_of
from tests.corpus import bad_files
from tests.hands import Hand, picture_of, png_of

DIGITS = "digits/digits_cnn-standard"


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    file = tmp_path / "mine.png"
    file.write_bytes(png_of(picture_of(3, Hand(size=220, height=0.6, thickness=0.13))))
    return file


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["attack", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def opened_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    """What the command says of the attacked photo it wrote."""
    attacked = str(folder / "out" / "attacked.png")
    return run(capsys, "--checkpoint", DIGITS, "--image", attacked, "--epsilon", "0", "--out", str(folder / "again"))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=5)])
@pytest.mark.parametrize("colour", [False, True])
def test_what_is_handed_out_fools_as_it_was_said_to(full, attack, colour):
    if colour:
        torch.manual_seed(1)
        model, shape, dataset = architectures.build("general_cnn", (3, 32, 32), 4), (3, 32, 32), "cifar10"
        photo = Photo("p", "PNG", torch.randint(0, 256, (3, 150, 210), dtype=torch.uint8))
    else:
        checkpoint = checkpoints.find(DIGITS)
        model, shape, dataset = checkpoint.model(), checkpoint.shape, "digits"
        photo = decode(png_of(picture_of(3, Hand(size=220, thickness=0.13))))
    framing = frame(photo, shape, dataset)
    outcome, data = attack_own(model, photo, framing, shape, dataset, attack, 0.3, full=full)
    opened = decode(data)
    assert opened.size == (photo.size if full else (shape[2], shape[1]))
    assert outcome.label == int(predict(model, view_of(photo, framing, shape)))
    assert float((outcome.attacked - outcome.clean).abs().max()) <= 0.3 + 1e-6
    again = model(view_of(opened, frame(opened, shape, dataset), shape)).softmax(1)[0]
    assert torch.allclose(again, outcome.rounded, atol=1e-5)
    assert torch.allclose(outcome.rounded, outcome.after, atol=0.15)
    if not colour:
        assert outcome.fooled(again)


def test_toward_a_class():
    checkpoint = checkpoints.find(DIGITS)
    photo = decode(png_of(picture_of(3, Hand(size=220, thickness=0.13))))
    framing = frame(photo, checkpoint.shape, "digits")
    common = (checkpoint.model(), photo, framing, checkpoint.shape, "digits", PGD(steps=20, targeted=True), 0.5)
    outcome, _ = attack_own(*common, target=8, full=True)
    assert int(outcome.rounded.argmax()) == 8
    assert outcome.fooled(outcome.rounded)


def test_a_crop_is_cut_to_the_models_proportions():
    assert crop_from("10,20,60,60", (3, 32, 32)) == (10, 20, 60, 60)
    assert crop_from("0,0,100,60", (3, 32, 32)) == (20, 0, 60, 60)
    assert crop_from("-5,-5,30,90", (3, 32, 32)) == (-5, 25, 30, 30)


def test_a_strange_crop_is_refused():
    for text in ("", "1,2,3", "a,b,c,d", "0,0,1e3,5"):
        with pytest.raises(PhotoError, match="is not a crop"):
            crop_from(text, (3, 32, 32))
    for text in ("0,0,0,5", "0,0,-3,5", "999999999,0,5,5"):
        with pytest.raises(PhotoError, match="empty or far too large"):
            crop_from(text, (3, 32, 32))


# --- command line --------------------------------------------------------------------------------------------------------


def test_the_command_attacks_the_small_view(drawing, tmp_path, capsys):
    common = ["--checkpoint", DIGITS, "--image", str(drawing), "--epsilon", "0.3"]
    record = run(capsys, *common, "--out", str(tmp_path / "out"))
    assert (record["full"], record["samples"], record["label"], record["source"]) == (False, False, None, str(drawing))
    assert record["framing"]["invert"] is True
    assert record["before"]["class"] == "3"
    assert record["fooled_8bit"] is True
    assert json.loads((tmp_path / "out" / "attack.json").read_text()) == record
    clean, _, attacked = (
        decode((tmp_path / "out" / f"{name}.png").read_bytes()) for name in ("clean", "perturbation", "attacked")
    )
    assert clean.size == attacked.size == (8, 8)
    assert (attacked.pixels.int() - clean.pixels.int()).abs().max() <= 0.3 * 255 + 1  # both were rounded
    again = opened_again(tmp_path, capsys)
    assert again["before"]["class"] == record["after_8bit"]["class"]
    assert again["before"]["confidence"] == pytest.approx(record["after_8bit"]["confidence"], abs=1e-5)


def test_the_command_attacks_the_whole_picture(drawing, tmp_path, capsys):
    common = ["--checkpoint", DIGITS, "--image", str(drawing), "--epsilon", "0.3", "--full"]
    record = run(capsys, *common, "--out", str(tmp_path / "out"))
    assert record["full"] is True
    assert record["size"] == [220, 220]
    assert record["largest_change"] <= 0.3
    assert record["fooled_8bit"] is True
    for name in ("clean", "perturbation", "attacked"):
        assert decode((tmp_path / "out" / f"{name}.png").read_bytes()).size == (220, 220)
    again = opened_again(tmp_path, capsys)
    assert again["before"]["class"] == record["after_8bit"]["class"]


def test_crop_invert_and_plain_are_obeyed(drawing, tmp_path, capsys):
    common = ["--checkpoint", DIGITS, "--image", str(drawing), "--epsilon", "0.1", "--out", str(tmp_path / "out")]
    record = run(capsys, *common, "--plain", "--no-invert", "--crop", "10,20,100,100")
    assert record["framing"] == {"size": [220, 220], "box": [10, 20, 100, 100], "invert": False, "ink": None}
    assert run(capsys, *common, "--plain")["framing"]["invert"] is True
    assert run(capsys, *common, "--invert")["framing"]["ink"] is not None


def test_a_class_to_move_toward(drawing, tmp_path, capsys):
    common = ["--checkpoint", DIGITS, "--image", str(drawing), "--epsilon", "0.5", "--out", str(tmp_path / "out")]
    record = run(capsys, *common, "--attack", "pgd", "--target", "8")
    assert record["target"] == "8"
    assert record["after_8bit"]["class"] == "8"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_bad_files_end_with_one_sentence(tmp_path, capsys):
    for file in bad_files():
        path = tmp_path / file.name
        path.write_bytes(file.data)
        common = ["--checkpoint", DIGITS, "--image", str(path), "--epsilon", "0.1", "--out", str(tmp_path / "out")]
        assert main(["attack", *common]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"advcore: {file.name} ")
        assert printed.err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_what_is_for_pictures_of_ones_own_is_refused_elsewhere(tmp_path, capsys):
    common = ["--checkpoint", DIGITS, "--index", "0", "--epsilon", "0.1", "--out", str(tmp_path / "out")]
    for extra in (["--full"], ["--small"], ["--plain"], ["--invert"], ["--crop", "0,0,5,5"]):
        assert main(["attack", *common, *extra]) == 2
        assert "--image" in capsys.readouterr().err


def test_full_and_small_exclude_each_other(drawing, tmp_path, capsys):
    common = ["--checkpoint", DIGITS, "--image", str(drawing), "--epsilon", "0.1", "--out", str(tmp_path / "out")]
    assert main(["attack", *common, "--full", "--small"]) == 2
    assert main(["attack", *common, "--crop", "500,500,20,20"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
