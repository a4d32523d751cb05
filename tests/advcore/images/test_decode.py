"""Untrusted picture files: every good one opens as what it shows, every bad one is refused in one sentence."""

from __future__ import annotations

import os
import re

import pytest
import torch
from PIL import Image

from advcore.errors import AdvcoreError
from advcore.images.decode import decode, read
from advcore.images.encode import encode_png
from advcore.images.levels import FORMATS, MAX_BYTES, PhotoError, shown_name
from tests.corpus import HEIGHT, PLACES, WIDTH, bad_files, good_files, quarters, saved

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
GOOD, BAD = good_files(), bad_files()


def test_the_corpus_is_large_and_covers_every_format():
    assert len(GOOD) + len(BAD) >= 60
    assert {decode(file.data, file.name).format for file in GOOD} == set(FORMATS)


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.name)
def test_good_files_open_as_what_they_show(file):
    picture = decode(file.data, file.name)
    assert picture.size == file.size
    assert picture.pixels.dtype == torch.uint8
    assert picture.pixels.shape == (1 if file.grey else 3, HEIGHT, WIDTH)
    for (x, y), wanted in zip(PLACES, file.quarters, strict=True):
        found = picture.pixels[:, y, x].int()
        assert (found - torch.tensor(wanted)).abs().max() <= file.tolerance, (x, y, found, wanted)
    assert not file.said or any(file.said in note for note in picture.notes)


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.name)
def test_bad_files_are_refused_in_one_sentence(file):
    with pytest.raises(PhotoError) as caught:
        decode(file.data, file.name)
    words = str(caught.value)
    assert file.why in words
    assert words.startswith(file.name)
    assert words.endswith(".")
    assert not re.search(r"[.!?] [A-Z]|\n|Traceback|Error\b", words)


def test_too_many_bytes_are_refused_unread(monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("the file was opened"))
    with pytest.raises(PhotoError, match="larger than 64 MiB"):
        decode(saved(quarters(), "PNG") + bytes(MAX_BYTES), "heavy.png")


def test_the_size_is_refused_before_a_pixel_is_decoded(monkeypatch):
    bombs = [file for file in BAD if file.why == "megapixels"]
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("a pixel was decoded"))
    monkeypatch.setattr("PIL._webp.WebPAnimDecoder", lambda data: pytest.fail("a decoder was built"))
    assert len(bombs) >= 7
    for file in bombs:
        with pytest.raises(PhotoError):
            decode(file.data, file.name)


def test_only_the_decoders_of_the_list_are_asked(monkeypatch):
    asked = []
    real = Image.open
    monkeypatch.setattr(
        Image, "open", lambda *arguments, **options: asked.append(options["formats"]) or real(*arguments, **options)
    )
    decode(saved(quarters(), "PNG"))
    assert asked == [FORMATS]


def test_what_a_decoder_throws_never_gets_out(monkeypatch):
    def explode(self):
        raise AttributeError("a bug in a decoder")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", explode)
    with pytest.raises(PhotoError, match="damaged"):
        decode(saved(quarters(), "PNG"))


def test_memory_that_runs_out_is_said(monkeypatch):
    def explode(self):
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", explode)
    with pytest.raises(PhotoError, match="memory"):
        decode(saved(quarters(), "PNG"))


def test_a_frame_larger_than_its_screen_is_measured_again():
    data = bytearray(saved(Image.new("L", (300, 300)), "GIF"))
    data[6:10] = b"\x10\0\x10\0"
    assert decode(bytes(data)).size in {(300, 300), (16, 16)}


def test_names_are_shown_but_never_trusted():
    assert shown_name("../../etc/passwd") == "passwd"
    assert shown_name("C:\\pictures\\me.png") == "me.png"
    assert shown_name("a\nb\x1b[31m\u202egnp.exe") == "ab[31mgnp.exe"
    assert shown_name("/") == "image"
    assert len(shown_name("x" * 500 + ".png")) <= 60
    assert shown_name("x" * 500 + ".png").endswith(".png")


def test_reading_from_disk(tmp_path):
    file = tmp_path / "me.png"
    file.write_bytes(saved(quarters(), "PNG"))
    assert read(file).name == "me.png"
    with pytest.raises(PhotoError, match="cannot be opened"):
        read(tmp_path / "gone.png")
    with pytest.raises(PhotoError, match="not a file"):
        read(tmp_path)
    assert issubclass(PhotoError, AdvcoreError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PhotoError, match="not a file"):
        read(tmp_path / "pipe.png")


def test_a_heavy_file_is_not_read(tmp_path, monkeypatch):
    file = tmp_path / "heavy.png"
    with file.open("wb") as handle:
        handle.truncate(MAX_BYTES + 1)
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda self: pytest.fail("the file was read"))
    with pytest.raises(PhotoError, match="MiB"):
        read(file)


@pytest.mark.parametrize("shape", [(1, 33, 21), (3, 33, 21), (3, 1001, 1000)])  # the last is large enough for a lower level
def test_png_goes_out_and_comes_back(shape):
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    back = decode(encode_png(pixels, {"framing": {"box": [1, 2]}}))
    assert torch.equal(back.pixels, pixels)
    assert back.note == {"framing": {"box": [1, 2]}}
    assert decode(encode_png(pixels)).note is None


@pytest.mark.parametrize("text", ["not json", "[1]", '{"a":' * 5000, "x" * 5000, "null"])
def test_a_strange_note_is_left_aside(text):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("advcore", text)
    assert decode(saved(quarters(), "PNG", pnginfo=info)).note is None
