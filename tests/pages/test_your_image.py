"""The Your image page without a browser: sources, files good and bad, framing, attacks, and what a session keeps."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import ButtonGroup

from advcore.attacks import FGSM
from advcore.data import BUILT_IN
from advcore.images.decode import PhotoError, decode
from advcore.models import checkpoints
from advcore.photos.attack import attack_own
from advcore.photos.framing import frame
from advcore.photos.subjects import SUBJECTS
from advcore.recipe import Recipe
from tests.corpus import bad_files, good_files
from tests.hands import Hand, picture_of, png_of
from tests.pages.conftest import checked, open_page, press
from ui.components import camera, drawing_pad, sent_file
from ui.components.cropper import Crop, _crop
from ui.components.scrubber import Scrubbed, Side
from ui.photo import session
from ui.slides import Slide

NAME = "your_image"
BOX = ("take away",)
"""The box with what a person takes away."""


def digit(number: int, seed: int = 0) -> bytes:
    return png_of(picture_of(number, Hand(size=220, thickness=0.13), seed))


def photograph() -> bytes:
    """A coloured picture without a plain ground."""
    rough = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(rough).resize((96, 96), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def uploaded(*files: tuple[str, bytes], **query: str) -> AppTest:
    """The page with these files in its uploader."""
    page = open_page(NAME, opened=BOX, **{"dataset": "digits", "source": "upload", **query})
    return checked(page.file_uploader[0].set_value([(name, data, "application/octet-stream") for name, data in files]).run())


def captions(page: AppTest) -> str:
    return "\n".join(caption.value for caption in page.caption).replace("\\", "")


def pictures(page: AppTest) -> list[str]:
    """The labels of the buttons that download an attacked picture."""
    return [button.label for button in page.download_button if button.label.startswith("Attacked picture")]


def test_neither_files_nor_noise_are_made_before_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for name in ("saved", "with_noise"):
        real = getattr(session, name)
        monkeypatch.setattr(session, name, lambda *of, real=real, name=name, **more: asked.append(name) or real(*of, **more))
    page = open_page(NAME, dataset="digits")
    assert asked == []
    page.session_state["take away"] = True
    checked(page.run())
    assert set(asked) == {"saved"}
    asked.clear()
    open_page(NAME, dataset="digits", noise="1")
    assert asked == ["with_noise"]


def test_a_slide_keeps_nothing_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit makes it in a thread without a session, where what is kept stays for the life of the process."""
    offered: list[Callable[[], Slide]] = []
    monkeypatch.setattr("pages.your_image.offer_slide", lambda slide, _: offered.append(slide))
    uploaded(("mine.png", digit(3)))

    def fail(*_: object) -> None:
        raise AssertionError("something is kept")

    monkeypatch.setattr(session, "made", fail)
    assert all(model["noise"] for model in offered[-1]().data["models"])


def test_it_opens_on_a_fooled_model_without_a_click() -> None:
    page = open_page(NAME, opened=BOX, dataset="digits")
    assert not page.error
    assert "still fools A" in captions(page)
    assert "Nothing is written to disk" in captions(page)
    assert len(pictures(page)) == 2


@pytest.mark.parametrize(
    ("source", "dataset"),
    [
        *((source, "digits") for source in ("upload", "camera", "draw", "<script>")),
        *((source, dataset) for source in ("examples", "draw") for dataset in ("mnist", "fashion-mnist")),
    ],
)
def test_every_source_opens(source: str, dataset: str) -> None:
    assert not open_page(NAME, opened=BOX, dataset=dataset, source=source).error


def test_several_files_are_shown_and_bad_ones_hurt_nobody() -> None:
    bad = [file for file in bad_files() if file.name in {"bomb.png", "drawing.svg", "half.jpg", "empty.png"}]
    files = [("one.png", digit(3)), *[(file.name, file.data) for file in bad], ("two.png", digit(7))]
    page = uploaded(*files)
    said = [error.value.replace("\\", "") for error in page.error]
    assert len(said) == len(bad)
    for file in bad:
        assert any(words.startswith(file.name) and file.why in words for words in said)
    assert "one.png · PNG 220×220" in captions(page)
    assert len(pictures(page)) == 2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("file", good_files()[::24], ids=lambda file: file.name)
def test_good_files_are_answered(file) -> None:
    page = uploaded((file.name, file.data))
    assert not page.error
    assert f"{file.name[:40]} ·" in captions(page)


def test_taking_a_file_away_takes_its_picture_away() -> None:
    page = uploaded(("one.png", digit(3)), ("two.png", digit(7)))
    assert "one.png" in captions(page)
    page.file_uploader[0].set_value([("two.png", digit(7), "image/png")]).run()
    assert "one.png" not in captions(page)
    assert "two.png" in captions(page)
    assert not any(session.identity(digit(3), "one.png") in str(key) for key in page.session_state[session._MADE])
    page.file_uploader[0].clear().run()
    assert not page.exception
    assert len(pictures(page)) == 0


def test_forgetting_leaves_nothing_behind() -> None:
    page = uploaded(("mine.png", digit(3)))
    press(page, "Forget them now")
    assert len(pictures(page)) == 0
    assert session._UPLOADS not in page.session_state or not page.session_state[session._UPLOADS].photos
    assert session._MADE not in page.session_state


def test_two_sessions_share_no_picture() -> None:
    first = uploaded(("mine.png", digit(3)))
    second = open_page(NAME, opened=BOX, dataset="digits", source="upload")
    assert "mine.png" in captions(first)
    assert "mine.png" not in captions(second)
    assert len(pictures(second)) == 0


def test_nothing_is_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    real = open

    def watched(file, mode="r", *arguments, **options):
        if any(sign in mode for sign in "wax+"):
            written.append(file)
        return real(file, mode, *arguments, **options)

    monkeypatch.setattr("builtins.open", watched)
    monkeypatch.setattr(Path, "write_bytes", lambda self, data: written.append(self))
    page = uploaded(("mine.png", digit(3)), reach="full")
    assert len(pictures(page)) == 2
    assert written == []
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("reach", ["view", "full"])
@pytest.mark.parametrize("target", ["any", "8"])
def test_the_whole_picture_and_a_class_to_move_toward(reach: str, target: str) -> None:
    page = uploaded(("mine.png", digit(3)), reach=reach, target=target)
    assert not page.error
    size = "220×220" if reach == "full" else "8×8"
    assert pictures(page) == [f"Attacked picture for {x} (PNG, {size})" for x in "AB"]
    command = page.code[0].value
    assert "--image mine.png" in command
    assert ("--full" in command) == (reach == "full")
    assert ("--target 8" in command) == (target == "8")


def test_pgd_and_invert_and_plain_are_obeyed() -> None:
    page = uploaded(("mine.png", digit(3)), attack="pgd")
    assert "PGD-20 on what the models see" in captions(page)
    page.radio(key="ink").set_value("bright").run()
    page.toggle(key="find").set_value(False).run()
    assert not page.exception
    assert "--no-invert --plain" in page.code[0].value
    page.radio(key="reach").set_value("full").run()
    assert not page.exception
    assert not page.warning, "no link asked for that"
    assert "FGSM on the whole picture" in captions(page)


def test_a_strange_link_is_said_at_once() -> None:
    page = open_page(NAME, opened=BOX, dataset="digits", reach="<b>moon</b>", target="eleven")
    assert len(page.warning) == 1
    assert "reach “bmoon/b” (used instead: view), target “eleven” (used instead: any)" in page.warning[0].value


def test_a_large_picture_is_packed_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PACK_AT_ONCE", 1000)
    page = uploaded(("mine.png", digit(3)), reach="full")
    assert len(pictures(page)) == 0
    assert "A picture this large takes seconds to pack" in captions(page)
    next(button for button in page.button if button.label.startswith("Pack the attacked picture for B")).click().run()
    assert pictures(page) == ["Attacked picture for B (PNG, 220×220)"]
    assert "opened again" in captions(page)


def test_a_downloaded_picture_opens_as_it_was_saved() -> None:
    checkpoint = checkpoints.find("digits/digits_cnn-standard")
    picture = decode(digit(3))
    framing = frame(picture, checkpoint.shape, "digits")
    _, data = attack_own(checkpoint.model(), picture, framing, checkpoint.shape, "digits", FGSM(), 0.3, full=True)
    page = uploaded(("attacked.png", data))
    made = page.session_state[session._MADE]
    framed = next(made.get(key) for key in made if key[0] == "frame")
    assert framed.framing == framing


def test_too_many_pictures_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_PHOTOS", 2)
    page = uploaded(*((f"{number}.png", digit(number)) for number in range(4)))
    assert len(page.error) == 2
    assert all("a session holds 2 pictures" in error.value.replace("\\", "") for error in page.error)


def test_file_names_stay_plain_text() -> None:
    page = uploaded(("**bold** [x](y) <img src=x onerror=1>.png", digit(3)), ("`a`.svg", b"<svg></svg>"))
    assert any(r"\<img" in caption.value and r"\*\*bold" in caption.value for caption in page.caption)
    assert page.error[0].value.startswith(r"\`a\`\.svg")
    assert not any("<img src=x" in html.proto.body for html in page.get("html"))


# --- what it is ------------------------------------------------------------------------------------------------------------


def test_the_first_examples_are_things_that_the_models_know() -> None:
    page = open_page(NAME)
    shown, _ = session.example_strip("cifar10")
    assert [item.label for item in shown[:3]] == ["cat", "ship", "airplane"]
    assert page.session_state["kind"] == SUBJECTS["photo"]
    assert truths(page).value == "cat"


@pytest.mark.parametrize(("kind", "file"), [("digit", digit(3)), ("photo", photograph())], ids=["digit", "photo"])
def test_an_upload_is_guessed_and_one_tap_changes_it(kind: str, file: bytes) -> None:
    other = "cifar10" if kind == "digit" else "mnist"
    page = uploaded(("mine.png", file), dataset=other)
    assert page.session_state["kind"] == SUBJECTS[kind]
    page.button_group(key="kind").set_value(SUBJECTS["clothing"]).run()
    assert page.session_state["dataset"] == "fashion-mnist"
    page.button_group(key="source").set_value("examples").run()
    page.button_group(key="source").set_value("upload").run()
    assert page.session_state["kind"] == SUBJECTS["clothing"], "kept for this picture"


def test_another_kind_shows_an_example_of_it() -> None:
    page = open_page(NAME)
    page.button_group(key="kind").set_value(SUBJECTS["sign"]).run()
    assert (page.session_state["dataset"], page.session_state["example"]) == ("gtsrb", "drawn-stop")
    assert page.selectbox(key="truth gtsrb drawn-stop").value == "Stop"


@pytest.mark.parametrize(("example", "known"), [("cifar10-00", True), ("china", False)])
def test_only_an_answer_that_was_right_is_called_fooled_or_held(
    example: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = watch_cards(monkeypatch)
    page = open_page(NAME, opened=BOX, dataset="cifar10", example=example)
    assert (truths(page).value != "none of these") == known
    assert [side.judged for side in cards] == [known, known]
    assert all(("wrong before the attack" in side.began) != known for side in cards)
    files = [line for line in captions(page).split("\n") if "opened again" in line]
    assert len(files) == 2
    assert all(("fools" in line or "holds" in line) == known for line in files)


def test_a_drawing_is_not_judged_by_what_a_sure_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = watch_cards(monkeypatch)
    page = uploaded(("mine.png", digit(3)))
    assert truths(page).value is None
    assert max(float(side.attack.shares[0].max()) for side in cards) > 0.9
    assert not any(side.judged for side in cards)


def test_a_photo_is_judged_once_the_person_said_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = watch_cards(monkeypatch)
    page = uploaded(("mine.png", photograph()), dataset="cifar10")
    assert truths(page).value is None
    assert not any(side.judged for side in cards)
    names = checkpoints.find("cifar10/general_cnn-standard").class_names
    own = names[cards[0].attack.label]
    truths(page).set_value(own).run()
    assert cards[0].judged


def test_a_new_picture_begins_at_its_own_epsilon() -> None:
    page = open_page(NAME, opened=BOX, dataset="digits", example="drawn-5", epsilon="0.45")
    assert page.session_state["address"].now[-1]["epsilon"] == "0.45"
    fresh = open_page(NAME, opened=BOX, dataset="digits", example="drawn-7").session_state["address"].now[-1]["epsilon"]
    page.session_state["example"] = "drawn-7"
    page.run()
    assert page.session_state["address"].now[-1]["epsilon"] == fresh != "0.45"


def truths(page: AppTest) -> ButtonGroup:
    """The classes, with the one that the picture is taken to be."""
    return next(group for group in page.get("button_group") if str(group.key).startswith("truth"))


def watch_cards(monkeypatch: pytest.MonkeyPatch) -> list[Side]:
    """The cards that the page shows last, kept up to date."""
    cards: list[Side] = []

    def watched(sides: list[Side], *arguments: object, **options: object) -> Scrubbed:
        cards[:] = sides
        return Scrubbed(float(options["epsilon"]), False)  # type: ignore[arg-type]

    monkeypatch.setattr("pages.your_image.scrubber", watched)
    return cards


# --- colour and ImageNet ---------------------------------------------------------------------------------------------------


def test_colour_models_take_photographs(tmp_path: Path) -> None:
    for defense, epsilon in (("standard", 0.0), ("fgsm", 0.03)):
        recipe = Recipe(dataset="cifar10", architecture="general_cnn", defense=defense, epsilon=epsilon)
        model = checkpoints.build(recipe, (3, 32, 32), 10)
        path = tmp_path / "runs" / "models" / f"{recipe.checkpoint_id}.safetensors"
        names = BUILT_IN["cifar10"].class_names
        checkpoints.save(path, model, recipe, shape=(3, 32, 32), class_names=names, metrics={}, provenance={})
    page = open_page(NAME, opened=BOX, dataset="cifar10", reach="full", example="china")
    assert not page.error
    assert "china.jpg · JPEG 640×427" in captions(page)
    assert pictures(page)[0].endswith("(PNG, 640×427)")
    assert not any(radio.key == "ink" for radio in page.radio)


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_offline_the_list_says_why_imagenet_models_are_missing(torch_home: Path) -> None:
    page = open_page(NAME, opened=BOX, dataset="imagenet")
    said = "\n".join(line.value for line in page.markdown).replace("\\", "")
    for title in ("ResNet-18", "ResNet-50", "MobileNetV3-Large", "ConvNeXt-Tiny"):
        assert f"{title}: its weights are not on this machine" in said


def test_a_download_without_a_network_is_one_sentence(torch_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(request: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    page = open_page(NAME, opened=BOX, dataset="imagenet")
    press(page, "Download")
    assert "could not be fetched (Network is unreachable)" in page.error[0].value.replace("\\", "")


def test_weights_in_the_cache_join_the_list(torch_home: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    buffer = io.BytesIO()
    torch.save(torchvision.models.mobilenet_v3_large().state_dict(), buffer)
    data = buffer.getvalue()
    (torch_home / f"mobilenet_v3_large-{hashlib.sha256(data).hexdigest()[:8]}.pth").write_bytes(data)
    page = open_page(NAME, opened=BOX, dataset="imagenet")
    assert not page.error
    assert page.selectbox(key="a:imagenet").options == ["MobileNetV3-Large"]
    assert len(pictures(page)) == 1
    assert any(expander.label == "More ImageNet models" for expander in page.expander)


# --- what browsers send ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [5, None, [], {"a": 1}, "not base64 !", base64.b64encode(b"GIF89a").decode(), "A" * (3 << 20)])
def test_a_strange_drawing_is_refused(sent: object) -> None:
    with pytest.raises(PhotoError):
        drawing_pad._bytes(sent)


@pytest.mark.parametrize("sent", [5, [], "not base64 !", "A" * (25 << 20)])
def test_a_strange_photo_from_the_camera_is_refused(sent: object) -> None:
    with pytest.raises(PhotoError):
        sent_file(sent, camera._MOST_TEXT, "photo")


def test_a_drawing_is_a_file_like_any_other() -> None:
    assert drawing_pad._bytes("") is None
    assert drawing_pad._bytes(base64.b64encode(digit(3)).decode()) == digit(3)


FRAME = {"picture": "p", "zoom": 2, "x": 0, "y": 0}


@pytest.mark.parametrize(
    "sent", [None, 3, {}, {"picture": "p"}, FRAME | {"picture": "q"}, FRAME | {"zoom": "2"}, FRAME | {"x": math.nan}]
)
def test_a_strange_crop_is_the_whole_picture(sent: object) -> None:
    assert _crop(sent, "p").whole


def test_a_crop_is_kept_within_its_bounds() -> None:
    assert _crop({"picture": "p", "zoom": 1e9, "x": -3, "y": 7}, "p") == Crop(20.0, 0.0, 1.0)
