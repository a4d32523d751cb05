"""Uploads are decoded in separate processes: the same pictures come out, and what takes too much is refused."""

from __future__ import annotations

import io
import sys

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from advcore.images import apart
from advcore.images.decode import decode
from advcore.images.encode import encode_png
from advcore.images.levels import PhotoError
from tests.corpus import bad_files, good_files, saved

FLAT = Image.new("L", (4000, 2000), 90)


@pytest.fixture(autouse=True)
def _own_processes(monkeypatch):
    """Processes of the test's own, ended after it."""
    idle: list = []
    monkeypatch.setattr(apart, "_idle", idle)
    yield
    for process in idle:
        process.kill()
        process.communicate()


def test_a_picture_is_the_same_as_in_this_process():
    files = [file for file in good_files() if file.name in {"rgb.png", "16-bit.tif", "held-6.jpg", "alpha.webp", "cmyk.jpg"}]
    note = {"framing": {"box": [1, 2]}}
    written = encode_png(torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8), note)
    for name, data in [*((file.name, file.data) for file in files), ("own.png", written)]:
        one, other = apart.decode(data, f"../{name}"), decode(data, name)
        assert torch.equal(one.pixels, other.pixels)
        assert (one.name, one.format, one.notes, one.note) == (name, other.format, other.notes, other.note)
    assert len(apart._idle) == 1, "one process answers one picture after another"
    for file in bad_files():
        with pytest.raises(PhotoError) as caught:
            apart.decode(file.data, file.name)
        assert file.why in str(caught.value)
    assert len(apart._idle) == 1


def test_a_picture_that_takes_too_much_memory_is_refused(monkeypatch):
    monkeypatch.setattr(apart, "MEMORY_BYTES", 4 << 20)
    with pytest.raises(PhotoError, match="memory"):
        apart.decode(saved(FLAT, "PNG"), "large.png")
    assert apart.decode(saved(Image.new("L", (20, 20)), "PNG")).size == (20, 20)


@pytest.mark.skipif(sys.platform != "linux", reason="psutil reads these limits on Linux")
def test_processor_time_is_limited_for_each_picture():
    for _ in range(2):
        apart.decode(saved(Image.new("L", (20, 20)), "PNG"))
        process = psutil.Process(apart._idle[0].pid)
        spent = sum(process.cpu_times()[:2])
        assert spent < process.rlimit(psutil.RLIMIT_CPU)[0] <= spent + apart.CPU_SECONDS + 1


def test_the_process_ends_when_nobody_waits_for_the_picture_any_more(monkeypatch):
    apart.warm()
    (process,) = apart._idle
    monkeypatch.setattr(apart, "_LOOK_SECONDS", 0.0)
    with pytest.raises(PhotoError, match="too long"):
        apart.decode(saved(FLAT, "PNG"), wanted=lambda: False)
    assert process.poll() is not None
    assert apart._idle == []


def test_a_process_that_was_ended_is_replaced():
    apart.warm()
    apart._idle[0].kill()
    apart._idle[0].wait()
    assert apart.decode(saved(Image.new("L", (20, 20)), "PNG")).size == (20, 20)


def test_the_process_that_decodes_needs_no_torch():
    apart.decode(saved(Image.new("L", (20, 20)), "PNG"))
    if sys.platform == "linux":
        mapped = {item.path for item in psutil.Process(apart._idle[0].pid).memory_maps()}
        assert not any("libtorch" in path for path in mapped)


# --- refused before anything is decoded ------------------------------------------------------------------------------------


def jpeg(**options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    whole = jpeg(progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * count + b"\xff\xd9"


EXPENSIVE = {
    "scans": with_scans(3000),
    "segments": b"\xff\xd8" + b"\xff\xfe\0\2" * 100_000 + jpeg()[2:],
    "fill bytes": b"\xff\xd8" + b"\xff" * 1_000_000 + jpeg()[2:],
    "bytes between segments": b"\xff\xd8\xff\xd9" + b"a" * 1_000_000 + jpeg()[2:],
    "markers without a length": b"\xff\xd8" + b"\xff\xf0" * 1_000_000 + jpeg()[2:],
    "segments of length 0": b"\xff\xd8" + b"\xff\xfe\0\0" * 100_000 + jpeg()[2:],
}


@pytest.mark.parametrize("kind", EXPENSIVE)
def test_a_jpeg_of_countless_parts_is_refused_unopened(kind, monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("the file was opened"))
    with pytest.raises(PhotoError, match="many parts"):
        decode(EXPENSIVE[kind])


def test_a_jpeg_of_many_parts_opens():
    data = with_scans(40)
    app = b"\xff\xe2" + (1002).to_bytes(2, "big") + b"x" * 1000
    assert decode(data[:2] + app * 300 + data[2:]).size == (64, 64)
