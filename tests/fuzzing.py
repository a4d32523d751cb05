"""Odd and hostile input, made from a seed: pictures, headers, recipes, links, command lines. The same seed, the same input."""

from __future__ import annotations

import copy
import functools
import io
import json
import struct
import zlib
from dataclasses import fields
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from advcore.cli.main import COMMANDS
from advcore.recipe import Recipe
from tests.corpus import bad_files, chunk, good_files, png, saved

STANDARD = "digits/digits_cnn-standard"
DEEP = functools.reduce(lambda inner, _: [inner], range(60), 1)
# What is hostile wherever it stands: wrong types, numbers out of range, text that is no text, too much of anything.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e300, -1e-300, 2**31, 2**63, -(2**64), 10**400),
    *(float("nan"), float("inf"), float("-inf"), "", " ", ".", "..", "../../etc/passwd", "/", "a/b", "\x00", "\n", "\ud800"),
    *("NaN", "--", "-", "0:1:0", "1:0:1", "0:1:1e-9", "%s%n", "${PATH}", "<script>alert(1)</script>", "'\";--", "\u202eabc"),
    *("ε", "漢" * 90, "x" * 10_000, "9" * 5000, "1e999", "\u200b", "\U0001f469\u200d\U0001f680", "digits", STANDARD, "fgsm"),
    *([], {}, [[]], {"": {}}, DEEP, [0] * 5000, {str(number): number for number in range(3000)}),
)
_LINKED = (
    *("dataset", "a", "b", "model", "models", "attack", "attacks", "image", "epsilon", "target", "norm", "reading", "class"),
    *("images", "preset", "job", "architecture", "defense", "study", "lesson", "step", "part", "direction", "example", "token"),
)
PAGES = ("attack", "accuracy", "papers", "models", "retrain", "learn", "your_image", "believe", "why")
# Not the commands that start a server, use the network or record what they measure.
_COMMANDS = [name for name in COMMANDS if name not in ("app", "pretrained", "papers")]
_OPTIONS = (
    *(f"--{item.name.replace('_', '-')}" for item in fields(Recipe)),
    *(
        "--checkpoint",
        "--attack",
        "--epsilons",
        "--index",
        "--target",
        "--out",
        "--limit",
        "--precision",
        "--device",
        "--steps",
    ),
    *("--json", "--norm", "--recipe", "--pgd", "--reading", "--help", "--image"),
)
_ALPHA = bytes.fromhex("5249464626000000574542505650384c190000002f57dbd516075081540820000a1a02495bbced8f8f88e87f0000")
"""A lossless WebP of 7000×7000 pixels of one half-transparent colour."""


# --- pictures ----------------------------------------------------------------------------------------------------------


@functools.cache
def _pictures() -> list[bytes]:
    return [file.data for file in (*good_files(), *bad_files()) if 0 < len(file.data) < 1 << 20]


def picture(random: Random) -> bytes:
    """A file of the corpus with bytes changed, removed, repeated or taken from another file."""
    data = bytearray(random.choice(_pictures()))
    for _ in range(random.choice((0, 1, 1, 2, 5, 20))):
        at = random.randrange(len(data))
        head = random.randrange(min(len(data), 64))
        match random.randrange(7):
            case 0:
                data[at] = random.randrange(256)
            case 1:
                data[head] ^= 1 << random.randrange(8)
            case 2:
                data[head : head + 4] = struct.pack(random.choice(("<I", ">I")), random.choice((0, 1, 2**31 - 1, 2**32 - 1)))
            case 3:
                data = data[: at + 1]
            case 4:
                data[at:at] = data[head : head + random.randrange(200)] * random.choice((1, 3, 200))
            case 5:
                other = random.choice(_pictures())
                data[at:] = other[random.randrange(len(other)) :]
            case 6:
                data[at:at] = random.randbytes(random.randrange(64))
    return bytes(data)


def expensive_pictures() -> dict[str, bytes]:
    """Files that are legal, or nearly, and take far more memory or time than their size: what a decoder must not simply do."""
    flat = Image.new("RGB", (256, 256), (9, 99, 199))
    jpeg = saved(flat, "JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    note = chunk(b"tEXt", b"advcore\0" + json.dumps({"framing": {"box": [0, 0, 127, 200_000]}}).encode())
    sheet = png(1000, 50_000, 1, 0, (b"\0" + b"\xff" * 125) * 50_000, note)
    return {
        "scans.jpg": jpeg[:-2] + scan * 3000 + b"\xff\xd9",
        "markers.jpg": jpeg[:2] + b"\xff\xfe\0\2" * 200_000 + jpeg[2:],
        "padding.jpg": jpeg[:2] + b"\xff" * (4 << 20) + jpeg[2:],
        "box.png": sheet,
        "float.tif": _flat_tiff(7000, 7000),
        "alpha.webp": _ALPHA,
        "frames.gif": saved(flat, "GIF", save_all=True, append_images=[flat.rotate(turn) for turn in range(0, 360, 9)]),
    }


def _flat_tiff(width: int, rows: int) -> bytes:
    """A black TIFF of a float a pixel: all its strips, of 100 rows, are the same few bytes."""
    strip = zlib.compress(bytes(4 * width * 100), 9)
    count = rows // 100
    tables = struct.pack(f"<{count}I", *[8] * count), struct.pack(f"<{count}I", *[len(strip)] * count)
    first = 8 + len(strip) + len(strip) % 2
    tags = [(256, width), (257, rows), (258, 32), (259, 8), (262, 1), (277, 1), (278, 100), (339, 3)]
    entries = [(tag, 4, 1, value) for tag, value in tags]
    entries += [(273, 4, count, first), (279, 4, count, first + 4 * count)]
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    body = strip + b"\0" * (len(strip) % 2) + b"".join(tables)
    start = struct.pack("<I", 8 + len(body))
    return b"II*\0" + start + body + struct.pack("<H", len(entries)) + table + b"\0\0\0\0"


# --- values inside JSON ------------------------------------------------------------------------------------------------


def changed(values: dict[str, Any], random: Random) -> dict[str, Any]:
    """A JSON object with a few of its values, at any depth, replaced, removed, repeated or added."""
    values = copy.deepcopy(values)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        place = _place(values, random)
        if isinstance(place, list):
            if place and random.random() < 0.7:
                place[random.randrange(len(place))] = _value(random)
            else:
                place += [_value(random)] * random.choice((1, 2, 300))
        elif random.random() < 0.15 or not place:
            place[str(random.choice(VALUES))[:3000]] = _value(random)
        elif random.random() < 0.1:
            del place[random.choice(list(place))]
        else:
            place[random.choice(list(place))] = _value(random)
    return values


def _value(random: Random) -> Any:
    """A hostile value of its own: what is changed inside it must not change the next."""
    return copy.deepcopy(random.choice(VALUES))


def _place(values: Any, random: Random) -> Any:
    """An object or a list somewhere inside."""
    inner = [item for item in (values.values() if isinstance(values, dict) else values) if isinstance(item, dict | list)]
    return values if not inner or random.random() < 0.3 else _place(random.choice(inner), random)


def safetensors(metadata: str, tensors: dict[str, np.ndarray], random: Random) -> bytes:
    """A safetensors file with that text as its `advcore` metadata; now and then its own header or bytes are wrong as well."""
    body, entries = io.BytesIO(), {"__metadata__": {"advcore": metadata}}
    for name, values in tensors.items():
        start = body.tell()
        body.write(values.tobytes())
        kind = {"float32": "F32", "float16": "F16"}[str(values.dtype)]
        entries[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [start, body.tell()]}  # type: ignore[dict-item]
    if random.random() < 0.2:
        entries = changed(entries, random)
    if random.random() < 0.05:
        entries |= {"9" * 5000: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}  # type: ignore[dict-item]
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    data = bytearray(struct.pack("<Q", len(header)) + header + body.getvalue())
    if random.random() < 0.1:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    if random.random() < 0.05:
        data = data[: random.randrange(len(data))]
    return bytes(data)


# --- links and commands ------------------------------------------------------------------------------------------------


def link(random: Random) -> tuple[str, dict[str, str]]:
    """A page and its address's values: names that pages know, with values that they may not."""
    good = (
        "digits",
        "fgsm",
        "pgd",
        "0",
        "7",
        "0.1",
        "linf",
        "l2",
        "P2",
        "worst",
        "1~2~3",
        "0.1~0.2",
        STANDARD,
        STANDARD + "~x",
    )
    names = random.sample(_LINKED, random.randrange(1, 6))
    values = {name: str(random.choice(VALUES if random.random() < 0.6 else good)) for name in names}
    # A browser sends no lone surrogate. Larger networks than those of digits would only make the test slow.
    values = {name: value.encode(errors="replace").decode()[:4000] for name, value in values.items()}
    return random.choice(PAGES), values | ({"dataset": "digits"} if random.random() < 0.7 else {})


def command(random: Random) -> list[str]:
    """The words of a command line."""
    name = random.choice(_COMMANDS)
    words = [name] if random.random() < 0.95 else [str(random.choice(VALUES))[:200]]
    if random.random() < 0.5:
        words += {"train": ["--dataset", "digits", "--architecture", "digits_cnn", "--images", "20", "--held-out", "0"]}.get(
            name, [] if name in ("checkpoints", "data") else ["--checkpoint", STANDARD]
        )
    for _ in range(random.randrange(4)):
        option, value = random.choice(_OPTIONS), str(random.choice(VALUES))[:6000]
        words += [f"{option}={value}"] if random.random() < 0.4 else [option, value]
    # A process is given no zero byte, and its output writes no lone surrogate.
    return [word.replace("\x00", "\ufffd").encode(errors="replace").decode() for word in words]
