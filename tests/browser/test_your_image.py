"""The Your image page as a person meets it: upload, crop, draw with a real pointer, and take the picture home."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from advcore.images import decode
from advcore.models import checkpoints
from advcore.photos.framing import frame, view_of
from tests.browser.conftest import settled
from tests.corpus import bad_files
from tests.hands import Hand, picture_of, png_of

STANDARD = "digits/digits_cnn-standard"
THREE = [(0.3, 0.24), (0.42, 0.17), (0.6, 0.18), (0.66, 0.3), (0.57, 0.42), (0.44, 0.47)]
THREE += [(0.6, 0.54), (0.68, 0.67), (0.58, 0.8), (0.4, 0.84), (0.28, 0.76)]


def open_page(page: Page, url: str, query: str = "") -> None:
    page.goto(f"{url}/your_image?dataset=digits{query}")
    expect(page.get_by_text("Now try it with your picture")).to_be_visible()
    settled(page)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A digit on photographed paper."""
    file = tmp_path / "page.jpg"
    picture_of(3, Hand(size=520, height=0.4, thickness=0.13, at=(0.4, 0.55), photo=0.6), 2).save(file, quality=92)
    return file


def upload(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").set_input_files(list(files))
    expect(page.locator(".card")).to_have_count(2)
    settled(page)


def open_box(page: Page) -> None:
    """Open what a person takes away: files and commands."""
    page.get_by_text("Attacked pictures and commands").click()
    settled(page)


def download(page: Page, letter: str, folder: Path) -> bytes:
    with page.expect_download() as event:
        page.get_by_role("button", name=f"Attacked picture for {letter}").click()
    event.value.save_as(folder / "attacked.png")
    return (folder / "attacked.png").read_bytes()


def answer(data: bytes, checkpoint_id: str = STANDARD) -> tuple[int, decode.Photo]:
    """What the model says of a file, opened as any other."""
    checkpoint, picture = checkpoints.find(checkpoint_id), decode.decode(data)
    seen = view_of(picture, frame(picture, checkpoint.shape, "digits"), checkpoint.shape)
    return int(checkpoint.model()(seen).argmax()), picture


def drag(page: Page, points: list[tuple[float, float]], selector: str = ".sheet canvas") -> None:
    """A stroke with the mouse; the points are shares of the canvas."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    assert box
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def answered(page: Page) -> None:
    """Wait for the models: a page that is drawn anew too soon asks for files that are gone (Streamlit's download buttons)."""
    page.wait_for_timeout(300)
    expect(page.locator(".card")).to_have_count(2)
    settled(page)


def ink(page: Page) -> float:
    """The share of the drawing pad that is dark."""
    return page.locator(".sheet canvas").evaluate(
        """canvas => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let dark = 0;
            for (let i = 0; i < data.length; i += 4) dark += data[i] < 128;
            return dark / (data.length / 4);
        }"""
    )


# --- examples and links --------------------------------------------------------------------------------------------------


def test_an_example_fools_without_a_click_and_a_link_opens_another(page: Page, app_url: str) -> None:
    open_page(page, app_url)
    expect(page.locator(".verdict").first).to_contain_text("FOOLED")
    page.get_by_role("button", name=re.compile("9 on paper")).click()
    expect(page.get_by_text("drawn-9.png · PNG")).to_be_visible()
    settled(page)
    assert "example=drawn-9" in page.url
    page.goto(page.url)
    expect(page.get_by_text("drawn-9.png · PNG")).to_be_visible()


# --- upload ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", ["view", "full"])
def test_the_downloaded_picture_still_fools_when_it_is_opened_again(
    page: Page, app_url: str, photo: Path, tmp_path: Path, reach: str
) -> None:
    open_page(page, app_url, f"&source=upload&reach={reach}&epsilon=0.3")
    upload(page, photo)
    open_box(page)
    expect(page.get_by_text("this PNG, opened again, still changes A's answer")).to_be_visible()
    said = page.locator(".card").first.locator(".says").nth(2).evaluate("node => node.firstChild.data")
    data = download(page, "A", tmp_path)
    found, picture = answer(data)
    before, original = answer(photo.read_bytes())
    assert (before, str(found)) == (3, said)
    assert found != before
    assert picture.size == ((520, 520) if reach == "full" else (8, 8))
    if reach == "full":
        change = (picture.pixels.int() - original.pixels.int()).abs()
        assert 0 < change.max() <= 76  # 0.3 in whole levels
        upload(page, tmp_path / "attacked.png")
        expect(page.locator(".card").first.locator(".says").first).to_contain_text(said)


def test_bad_files_are_named_and_the_good_ones_are_chosen_in_a_strip(
    page: Page, app_url: str, photo: Path, tmp_path: Path
) -> None:
    bad = [file for file in bad_files() if file.name in {"bomb.png", "drawing.svg", "half.jpg"}]
    for file in bad:
        (tmp_path / file.name).write_bytes(file.data)
    other = tmp_path / "other.png"
    other.write_bytes(png_of(picture_of(8, Hand(size=300))))
    open_page(page, app_url, "&source=upload")
    upload(page, photo, *(tmp_path / file.name for file in bad), other)
    for file in bad:
        expect(page.get_by_test_id("stAlert").filter(has_text=file.name)).to_have_count(1)
    expect(page.get_by_text("page.jpg · JPEG 520×520")).to_be_visible()
    page.get_by_role("button", name="Picture 1: other.png").click()
    expect(page.get_by_text("other.png · PNG 300×300")).to_be_visible()
    settled(page)
    page.go_back()
    expect(page.get_by_text("page.jpg · JPEG 520×520")).to_be_visible()
    page.go_forward()
    expect(page.get_by_text("other.png · PNG 300×300")).to_be_visible()
    settled(page)  # left before, the page has asked for what the server no longer has


def test_the_frame_is_dragged_and_moved_by_keys(page: Page, app_url: str, photo: Path) -> None:
    open_page(page, app_url, "&source=upload")
    upload(page, photo)
    before = seen(page)
    drag(page, [(0.5, 0.5), (-6, -6)], ".frame .se")
    expect(page.get_by_role("button", name="Back to the whole picture")).to_be_enabled()
    small = seen_once(page, lambda now: now != before)
    frame_before = page.locator(".frame").bounding_box()
    page.locator(".frame").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    frame_after = page.locator(".frame").bounding_box()
    assert frame_before
    assert frame_after
    assert frame_after["x"] > frame_before["x"]
    assert frame_after["width"] == pytest.approx(frame_before["width"], abs=1)
    page.wait_for_timeout(400)  # the last of a burst of keys is sent
    seen_once(page, lambda now: now != small)
    page.get_by_role("button", name="Back to the whole picture").click()
    seen_once(page, lambda now: now == before)


def seen_once(page: Page, wanted: Callable[[str], bool]) -> str:
    """What the models see, once it is a picture that was wanted."""
    for _ in range(100):
        answered(page)
        if wanted(now := seen(page)):
            return now
    raise AssertionError("The models never saw that picture.")


def seen(page: Page) -> str:
    """What the models see, as the first card shows it."""
    return page.locator(".card canvas").first.evaluate("canvas => canvas.toDataURL()")


def test_the_camera_takes_a_photo_of_its_own_size(page: Page, app_url: str) -> None:
    open_page(page, app_url, "&source=camera")
    said = page.locator(".said")
    expect(said).to_have_text(re.compile(r"^\d{3,4}×\d{3,4} pixels$"))
    size = said.inner_text().split()[0]
    assert size == page.locator("video").evaluate("video => `${video.videoWidth}×${video.videoHeight}`")
    page.get_by_role("button", name="Take a photo").click()
    expect(page.get_by_text(f"photo 1.jpg · JPEG {size}")).to_be_visible()
    expect(page.locator("video")).to_have_count(0)
    expect(page.get_by_role("button", name="Take another photo")).to_be_visible()
    settled(page)


@pytest.mark.parametrize("example", ["cifar10-00", "china"])
def test_the_verdict_stands_beside_the_picture_and_is_grey_on_nonsense(page: Page, app_url: str, example: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{app_url}/your_image?dataset=cifar10&example={example}")
    expect(page.locator(".verdict")).to_have_count(2)
    verdict, picture = page.locator(".verdict").first.bounding_box(), page.locator(".stage").bounding_box()
    assert verdict["y"] + verdict["height"] < 720
    assert picture["y"] < verdict["y"] + 40
    assert picture["x"] + picture["width"] < verdict["x"]
    known = example != "china"
    expect(page.locator(".verdict.open")).to_have_count(0 if known else 2)
    expect(page.get_by_text("Before any attack, A")).to_be_visible()
    settled(page)
    page.set_viewport_size({"width": 390, "height": 844})
    lines = page.locator(".says:not(:empty), .name").evaluate_all(
        """nodes => nodes.map((node) => {
            const range = document.createRange();
            const word = node.firstChild;
            range.setStart(word, 0);
            range.setEnd(word, word.textContent.split(" ")[0].length);
            return range.getClientRects().length;
        })"""
    )
    assert lines == [1] * 6, "no name is broken over two lines on a phone"


def test_a_large_photo_keeps_its_size(page: Page, app_url: str, tmp_path: Path) -> None:
    rough = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    file = tmp_path / "large.jpg"
    Image.fromarray(rough).resize((2400, 1700), Image.Resampling.BICUBIC).save(file, quality=88)
    open_page(page, app_url, "&source=upload&reach=full")
    upload(page, file)
    expect(page.get_by_text("large.jpg · JPEG 2400×1700")).to_be_visible()
    open_box(page)
    page.get_by_role("button", name="Pack the attacked picture for A (2400×1700)").click()
    expect(page.get_by_role("button", name="Attacked picture for A (PNG, 2400×1700)")).to_be_visible()
    settled(page)
    _, picture = answer(download(page, "A", tmp_path))
    assert picture.size == (2400, 1700)


def test_sessions_do_not_see_each_others_pictures(page: Page, app_url: str, photo: Path) -> None:
    open_page(page, app_url, "&source=upload")
    upload(page, photo)
    stranger = page.context.new_page()
    open_page(stranger, app_url, "&source=upload")
    expect(stranger.get_by_text("page.jpg")).to_have_count(0)
    stranger.close()
    page.reload()
    settled(page)
    expect(page.get_by_text("page.jpg")).to_have_count(0)
    assert list(Path(photo).parent.glob("*")) == [photo]


# --- drawing ---------------------------------------------------------------------------------------------------------------


def test_eraser_undo_and_clear(page: Page, app_url: str) -> None:
    open_page(page, app_url, "&source=draw")
    undo, clear = page.get_by_role("button", name="Undo"), page.get_by_role("button", name="Clear")
    expect(undo).to_be_disabled()
    drag(page, [(0.2, 0.5), (0.8, 0.5)])
    answered(page)
    expect(undo).to_be_enabled()
    line = ink(page)
    assert 0.02 < line < 0.1
    page.get_by_role("button", name="Eraser").click()
    drag(page, [(0.5, 0.3), (0.5, 0.7)])
    answered(page)
    assert ink(page) < 0.9 * line
    page.locator(".sheet canvas").focus()
    page.keyboard.press("Control+z")
    answered(page)
    assert ink(page) == pytest.approx(line, abs=1e-4)
    page.get_by_role("button", name="Pen", exact=True).click()
    drag(page, [(0.2, 0.8), (0.8, 0.8)])
    answered(page)
    assert ink(page) > 1.8 * line
    undo.focus()
    page.keyboard.press("Enter")
    answered(page)
    assert ink(page) == pytest.approx(line, abs=1e-4)
    clear.click()
    assert ink(page) == 0
    expect(page.locator(".card")).to_have_count(0)
    expect(undo).to_be_disabled()


POINTER = """(canvas, [kind, id, x, y, pressure, type, buttons]) => {
    const box = canvas.getBoundingClientRect();
    canvas.dispatchEvent(new PointerEvent(kind, {
        pointerId: id, pointerType: type, pressure, buttons, button: 0, bubbles: true, cancelable: true,
        clientX: box.left + x * box.width, clientY: box.top + y * box.height,
    }));
}"""


def pointer(page: Page) -> Callable[..., None]:
    canvas = page.locator(".sheet canvas")

    def send(kind: str, x: float, y: float, *, id: int = 1, pressure: float = 0.5, type: str = "pen", buttons: int = 1) -> None:
        canvas.evaluate(POINTER, [f"pointer{kind}", id, x, y, pressure, type, buttons])

    return send


def test_a_stylus_draws_by_pressure_and_rubs_out_and_a_palm_does_not_draw(page: Page, app_url: str) -> None:
    open_page(page, app_url, "&source=draw")
    send = pointer(page)
    inked = []
    for pressure, y in ((0.1, 0.3), (0.9, 0.7)):
        before = ink(page)
        send("down", 0.2, y, pressure=pressure)
        send("move", 0.8, y, pressure=pressure)
        send("up", 0.8, y, pressure=0, buttons=0)
        answered(page)
        inked.append(ink(page) - before)
    assert inked[1] > 1.5 * inked[0] > 0
    send("down", 0.2, 0.7, buttons=32)
    send("move", 0.8, 0.7, buttons=32)
    send("up", 0.8, 0.7, buttons=0)
    assert ink(page) < inked[0] + inked[1]
    settled(page)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".card")).to_have_count(0)
    settled(page)
    # A finger draws, and the palm beside it does not.
    send("down", 0.5, 0.2, type="touch")
    send("down", 0.9, 0.9, id=2, type="touch")
    send("move", 0.9, 0.1, id=2, type="touch")
    send("move", 0.5, 0.8, type="touch")
    send("up", 0.5, 0.8, type="touch", buttons=0)
    send("up", 0.9, 0.1, id=2, type="touch", buttons=0)
    expect(page.locator(".card")).to_have_count(2)
    assert page.locator(".sheet canvas").evaluate(
        "canvas => canvas.getContext('2d').getImageData(0.9 * canvas.width, 0.5 * canvas.height, 1, 1).data[0]"
    ) == 255  # fmt: skip
    settled(page)
    expect(page.locator(".card").first.locator(".says").first).to_contain_text("1")


def test_a_drawn_digit_is_read_and_attacked_and_survives_a_look_elsewhere(page: Page, app_url: str, tmp_path: Path) -> None:
    open_page(page, app_url, "&source=draw&epsilon=0.3")
    expect(page.locator(".card")).to_have_count(0)
    drag(page, THREE)
    expect(page.locator(".card")).to_have_count(2)
    settled(page)
    expect(page.locator(".card").first.locator(".says").first).to_contain_text("3")
    expect(page.locator(".verdict").first).to_have_text("answer changed")
    open_box(page)
    found, _ = answer(download(page, "A", tmp_path))
    assert found != 3
    drawn = ink(page)
    page.get_by_text("Examples", exact=True).click()
    expect(page.get_by_text("drawn-5.png · PNG")).to_be_visible()
    settled(page)
    page.get_by_text("Draw", exact=True).click()
    expect(page.locator(".sheet canvas")).to_be_visible()
    settled(page)
    assert ink(page) == pytest.approx(drawn, abs=1e-3)
    expect(page.locator(".card").first.locator(".says").first).to_contain_text("3")
    page.get_by_role("button", name="Forget them now").click()
    expect(page.locator(".card")).to_have_count(0)
    settled(page)
    assert ink(page) == 0
