"""The Your image page without a browser: sources, files good and bad, framing, attacks, and what a session keeps."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from advcore.attacks import FGSM
from advcore.data import BUILT_IN
from advcore.images.decode import PhotoError, decode
from advcore.models import checkpoints
from advcore.photos.attack import attack_own
from advcore.photos.framing import frame
from advcore.recipe import Recipe
from tests.corpus import bad_files, good_files
from tests.hands import Hand, picture_of, png_of
from tests.pages.conftest import open_page
from ui.components import drawing_pad
from ui.components.cropper import Crop, _crop
from ui.photo import session

NAME = "your_image"


def digit(number: int, seed: int = 0) -> bytes:
    return png_of(picture_of(number, Hand(size=220, thickness=0.13), seed))


def uploaded(*files: tuple[str, bytes], **query: str) -> AppTest:
    """The page with these files in its uploader."""
    page = open_page(NAME, **{"dataset": "digits", "source": "upload", **query})
    return page.file_uploader[0].set_value([(name, data, "application/octet-stream") for name, data in files]).run()


def captions(page: AppTest) -> str:
    return "\n".join(caption.value for caption in page.caption).replace("\\", "")


def test_it_opens_on_a_fooled_model_without_a_click() -> None:
    page = open_page(NAME, dataset="digits")
    assert not page.exception
    assert not page.error
    assert "still fools A" in captions(page)
    assert "Nothing is written to disk" in captions(page)
    assert len(page.download_button) == 2


@pytest.mark.parametrize("dataset", ["digits", "mnist", "fashion-mnist"])
@pytest.mark.parametrize("source", ["examples", "upload", "camera", "draw", "<script>"])
def test_every_source_opens_for_every_dataset(source: str, dataset: str) -> None:
    page = open_page(NAME, dataset=dataset, source=source)
    assert not page.exception
    assert not page.error


def test_several_files_are_shown_and_bad_ones_hurt_nobody() -> None:
    bad = [file for file in bad_files() if file.name in {"bomb.png", "drawing.svg", "half.jpg", "empty.png"}]
    files = [("one.png", digit(3)), *[(file.name, file.data) for file in bad], ("two.png", digit(7))]
    page = uploaded(*files)
    assert not page.exception
    said = [error.value.replace("\\", "") for error in page.error]
    assert len(said) == len(bad)
    for file in bad:
        assert any(words.startswith(file.name) and file.why in words for words in said)
    assert "one.png · PNG 220×220" in captions(page)
    assert len(page.download_button) == 2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("file", good_files()[::5], ids=lambda file: file.name)
def test_good_files_are_answered(file) -> None:
    page = uploaded((file.name, file.data))
    assert not page.exception
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
    assert len(page.download_button) == 0


def test_a_photo_is_taken() -> None:
    photo = io.BytesIO()
    picture_of(4, Hand(size=300, photo=0.5)).save(photo, "JPEG")
    page = open_page(NAME, dataset="digits", source="camera")
    page.camera_input[0].upload("photo.jpg", photo.getvalue(), "image/jpeg").run()
    assert not page.exception
    assert "photo.jpg · JPEG 300×300" in captions(page)


def test_forgetting_leaves_nothing_behind() -> None:
    page = uploaded(("mine.png", digit(3)))
    button = next(button for button in page.button if button.label == "Forget them now")
    button.click().run()
    assert not page.exception
    assert len(page.download_button) == 0
    assert session._UPLOADS not in page.session_state or not page.session_state[session._UPLOADS].photos
    assert session._MADE not in page.session_state
    assert session._FILES not in page.session_state


def test_two_sessions_share_no_picture() -> None:
    first = uploaded(("mine.png", digit(3)))
    second = open_page(NAME, dataset="digits", source="upload")
    assert "mine.png" in captions(first)
    assert "mine.png" not in captions(second)
    assert len(second.download_button) == 0


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
    assert len(page.download_button) == 2
    assert written == []
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("reach", ["view", "full"])
@pytest.mark.parametrize("target", ["any", "8"])
def test_the_whole_picture_and_a_class_to_move_toward(reach: str, target: str) -> None:
    page = uploaded(("mine.png", digit(3)), reach=reach, target=target)
    assert not page.exception
    assert not page.error
    size = "220×220" if reach == "full" else "8×8"
    assert [button.label for button in page.download_button] == [f"Attacked picture for {x} (PNG, {size})" for x in "AB"]
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
    page = open_page(NAME, dataset="digits", reach="<b>moon</b>", target="eleven")
    assert not page.exception
    assert [warning.value.split(" “")[0] for warning in page.warning] == ["The link asks for reach", "The link asks for target"]


def test_a_large_picture_is_packed_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PACK_AT_ONCE", 1000)
    page = uploaded(("mine.png", digit(3)), reach="full")
    assert len(page.download_button) == 0
    assert "A picture this large takes seconds to pack" in captions(page)
    next(button for button in page.button if button.label.startswith("Pack the attacked picture for B")).click().run()
    assert [button.label for button in page.download_button] == ["Attacked picture for B (PNG, 220×220)"]
    assert "opened again" in captions(page)


def test_a_downloaded_picture_opens_as_it_was_saved() -> None:
    checkpoint = checkpoints.find("digits/digits_cnn-standard")
    picture = decode(digit(3))
    framing = frame(picture, checkpoint.shape, "digits")
    _, data = attack_own(checkpoint.model(), picture, framing, checkpoint.shape, "digits", FGSM(), 0.3, full=True)
    page = uploaded(("attacked.png", data))
    assert not page.exception
    framed = next(value for key, value in page.session_state[session._MADE].items() if key[0] == "look")
    assert framed.framing == framing


def test_too_many_pictures_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_PHOTOS", 2)
    page = uploaded(*((f"{number}.png", digit(number)) for number in range(4)))
    assert not page.exception
    assert len(page.error) == 2
    assert all("a session holds 2 pictures" in error.value.replace("\\", "") for error in page.error)


def test_file_names_stay_plain_text() -> None:
    page = uploaded(("**bold** [x](y) <img src=x onerror=1>.png", digit(3)), ("`a`.svg", b"<svg></svg>"))
    assert not page.exception
    assert any(r"\<img" in caption.value and r"\*\*bold" in caption.value for caption in page.caption)
    assert page.error[0].value.startswith(r"\`a\`\.svg")
    assert not any("<img src=x" in html.proto.body for html in page.get("html"))


# --- colour and ImageNet ---------------------------------------------------------------------------------------------------


def test_colour_models_take_photographs(tmp_path: Path) -> None:
    for defense, epsilon in (("standard", 0.0), ("fgsm", 0.03)):
        recipe = Recipe(dataset="cifar10", architecture="general_cnn", defense=defense, epsilon=epsilon)
        model = checkpoints.build(recipe, (3, 32, 32), 10)
        path = tmp_path / "runs" / "models" / f"{recipe.checkpoint_id}.safetensors"
        names = BUILT_IN["cifar10"].class_names
        checkpoints.save(path, model, recipe, shape=(3, 32, 32), class_names=names, metrics={}, provenance={})
    page = open_page(NAME, dataset="cifar10", reach="full")
    assert not page.exception
    assert not page.error
    assert "china.jpg · JPEG 640×427" in captions(page)
    assert page.download_button[0].label.endswith("(PNG, 640×427)")
    assert not any(radio.key == "ink" for radio in page.radio)


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_offline_the_list_says_why_imagenet_models_are_missing(torch_home: Path) -> None:
    page = open_page(NAME, dataset="imagenet")
    assert not page.exception
    said = "\n".join(line.value for line in page.markdown).replace("\\", "")
    for title in ("ResNet-18", "ResNet-50", "MobileNetV3-Large", "ConvNeXt-Tiny"):
        assert f"{title}: its weights are not on this machine" in said


def test_a_download_without_a_network_is_one_sentence(torch_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(request: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    page = open_page(NAME, dataset="imagenet")
    page.button[0].click().run()
    assert not page.exception
    assert "could not be fetched (Network is unreachable)" in page.error[0].value.replace("\\", "")


def test_weights_in_the_cache_join_the_list(torch_home: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    buffer = io.BytesIO()
    torch.save(torchvision.models.mobilenet_v3_large().state_dict(), buffer)
    data = buffer.getvalue()
    (torch_home / f"mobilenet_v3_large-{hashlib.sha256(data).hexdigest()[:8]}.pth").write_bytes(data)
    page = open_page(NAME, dataset="imagenet")
    assert not page.exception
    assert not page.error
    assert page.sidebar.selectbox[1].options == ["MobileNetV3-Large"]
    assert len(page.download_button) == 1
    assert any(expander.label == "More ImageNet models" for expander in page.expander)


# --- what browsers send ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [5, None, [], {"a": 1}, "not base64 !", base64.b64encode(b"GIF89a").decode(), "A" * (3 << 20)])
def test_a_strange_drawing_is_refused(sent: object) -> None:
    with pytest.raises(PhotoError):
        drawing_pad._bytes(sent)


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
