"""Image files, good and bad, in every format the app takes: written here, byte by byte where Pillow would not."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, PngImagePlugin

WIDTH, HEIGHT = 48, 32
# The four quarters, from the top left: whoever turns or swaps anything is found out.
QUARTERS = ((220, 30, 40), (30, 190, 60), (40, 60, 210), (230, 220, 50))
PLACES = ((12, 8), (36, 8), (12, 24), (36, 24))
GREYS = tuple(round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in QUARTERS)


@dataclass(frozen=True)
class Good:
    """A file that opens: as grey or in colour, with these values in its quarters, each within `tolerance`."""

    name: str
    data: bytes
    grey: bool = False
    quarters: tuple[tuple[int, ...], ...] = QUARTERS
    tolerance: int = 1
    said: str = ""
    size: tuple[int, int] = (WIDTH, HEIGHT)


@dataclass(frozen=True)
class Bad:
    """A file that is refused, and a word of the sentence that says why."""

    name: str
    data: bytes
    why: str


def quarters(mode: str = "RGB") -> Image.Image:
    """The test image in a mode that Pillow converts to."""
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    for index, colour in enumerate(QUARTERS):
        left, top = index % 2 * WIDTH // 2, index // 2 * HEIGHT // 2
        picture.paste(colour, (left, top, left + WIDTH // 2, top + HEIGHT // 2))
    return picture if mode == "RGB" else picture.convert(mode)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as bytes of a format."""
    buffer = io.BytesIO()
    picture.copy().save(buffer, kind, **options)  # a copy: saving leaves its options behind
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG file from its raw rows, whatever its header claims."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _deep_png(colour: int, values: np.ndarray) -> bytes:
    """A PNG with 16 bits a value; `values` H×W×C in 0…255."""
    wide = (values.astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    return png(WIDTH, HEIGHT, 16, colour, rows)


def _turned(orientation: int) -> tuple[Image.Image, bytes]:
    """The picture stored the way a camera held in that orientation stores it, and the EXIF data that say so."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = quarters()
    return (picture.transpose(back[orientation]) if orientation in back else picture), exif.tobytes()


def _see_through(mode: str, alpha: int) -> Image.Image:
    """The picture with its right half see-through."""
    picture = quarters(mode)
    mask = Image.new("L", (WIDTH, HEIGHT), 255)
    mask.paste(alpha, (WIDTH // 2, 0, WIDTH, HEIGHT))
    picture.putalpha(mask)
    return picture


def _white_ink() -> Image.Image:
    """White strokes on nothing, as drawing programs save them."""
    picture = Image.new("RGBA", (WIDTH, HEIGHT), (255, 255, 255, 0))
    picture.paste((255, 255, 255, 255), (0, 0, WIDTH // 2, HEIGHT // 2))
    return picture


def _on_white(colour: tuple[int, ...], alpha: int) -> tuple[int, ...]:
    return tuple(round(value * alpha / 255 + 255 - alpha) for value in colour)


def good_files() -> list[Good]:
    """Files that open."""
    rgb, grey, other = quarters(), quarters("L"), Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9))
    level = tuple((value,) for value in GREYS)
    half = (QUARTERS[0], (255,) * 3, QUARTERS[2], (255,) * 3)
    faint = (QUARTERS[0], _on_white(QUARTERS[1], 128), QUARTERS[2], _on_white(QUARTERS[3], 128))
    deep = np.asarray(grey)[:, :, None].astype(np.uint16)
    keyed = PngImagePlugin.PngInfo()
    keyed.add_text("Comment", "a note that is not ours")
    paletted = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    see_through_palette = paletted.copy()
    see_through_palette.info["transparency"] = paletted.getpixel(PLACES[1])
    hole = see_through_palette.info["transparency"]
    one_bit, ink = grey.point(lambda value: 255 * (value > 100)).convert("1"), ((0,), (255,), (0,), (255,))
    fine = {"quality": 95, "subsampling": 0}
    keyhole = (QUARTERS[0], (255,) * 3, QUARTERS[2], QUARTERS[3])
    files = [
        Good("rgb.png", saved(rgb, "PNG")),
        Good("with-text.png", saved(rgb, "PNG", pnginfo=keyed)),
        Good("grey.png", saved(grey, "PNG"), True, level),
        Good("one-bit.png", saved(one_bit, "PNG"), True, ink),
        Good("palette.png", saved(paletted, "PNG"), tolerance=4),
        Good("palette-hole.png", saved(see_through_palette, "PNG"), quarters=keyhole, tolerance=4, said="white"),
        Good("opaque-alpha.png", saved(_see_through("RGB", 255), "PNG")),
        Good("alpha.png", saved(_see_through("RGB", 0), "PNG"), quarters=half, said="white"),
        Good("half-alpha.png", saved(_see_through("RGB", 128), "PNG"), quarters=faint, said="white"),
        Good("grey-alpha.png", saved(_see_through("L", 0), "PNG"), True, (level[0], (255,), level[2], (255,)), said="white"),
        Good("white-ink.png", saved(_white_ink(), "PNG"), quarters=((255,) * 3, (0,) * 3, (0,) * 3, (0,) * 3), said="black"),
        Good("colour-key.png", saved(rgb, "PNG", transparency=QUARTERS[1]), quarters=keyhole, said="white"),
        Good("16-bit-grey.png", _deep_png(0, deep), True, level, said="16 bits"),
        Good("16-bit-rgb.png", _deep_png(2, np.asarray(rgb))),
        Good("16-bit-rgba.png", _deep_png(6, np.asarray(_see_through("RGB", 0))), quarters=half, said="white"),
        Good("animated.png", saved(rgb, "PNG", save_all=True, append_images=[other.copy()]), said="first"),
        Good("photo.jpg", saved(rgb, "JPEG", **fine), tolerance=5),
        Good("progressive.jpg", saved(rgb, "JPEG", **fine, progressive=True), tolerance=5),
        Good("grey.jpg", saved(grey, "JPEG", quality=95), True, level, 5),
        Good("cmyk.jpg", saved(rgb.convert("CMYK"), "JPEG", **fine), tolerance=8, said="CMYK"),
        Good("pair.jpg", saved(rgb, "MPO", save_all=True, append_images=[other.copy()], **fine), tolerance=5, said="first"),
        Good("bad-exif.jpg", saved(rgb, "JPEG", **fine, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), tolerance=5),
        Good("lossless.webp", saved(rgb, "WEBP", lossless=True)),
        Good("lossy.webp", saved(rgb, "WEBP", quality=95), tolerance=24),
        Good("alpha.webp", saved(_see_through("RGB", 0), "WEBP", lossless=True, exact=True), quarters=half, said="white"),
        Good("animated.webp", saved(rgb, "WEBP", save_all=True, append_images=[other.copy()], lossless=True), said="first"),
        Good("picture.gif", saved(rgb, "GIF"), tolerance=4),
        Good("grey.gif", saved(grey, "GIF"), quarters=tuple(value * 3 for value in level)),
        Good("animated.gif", saved(rgb, "GIF", save_all=True, append_images=[other.copy(), rgb]), tolerance=4, said="first"),
        Good("hole.gif", saved(see_through_palette, "GIF", transparency=hole), quarters=keyhole, tolerance=4, said="white"),
        Good("rgb.bmp", saved(rgb, "BMP")),
        Good("grey.bmp", saved(grey, "BMP"), True, level),
        Good("palette.bmp", saved(paletted, "BMP"), tolerance=4),
        Good("one-bit.bmp", saved(one_bit, "BMP"), True, ink),
        Good("rgb.tif", saved(rgb, "TIFF")),
        Good("grey.tif", saved(grey, "TIFF"), True, level),
        Good("lzw.tif", saved(rgb, "TIFF", compression="tiff_lzw")),
        Good("deflate.tif", saved(rgb, "TIFF", compression="tiff_adobe_deflate")),
        Good("jpeg.tif", saved(rgb, "TIFF", compression="jpeg", quality=95), tolerance=24),
        Good("big.tif", saved(rgb, "TIFF", big_tiff=True)),
        Good("cmyk.tif", saved(rgb.convert("CMYK"), "TIFF"), said="CMYK"),
        Good("alpha.tif", saved(_see_through("RGB", 0), "TIFF"), quarters=half, said="white"),
        Good("fax.tif", saved(one_bit, "TIFF", compression="group4"), True, ink),
        Good("16-bit.tif", saved(Image.fromarray(deep[..., 0] * 257), "TIFF"), True, level, said="16 bits"),
        Good("white-is-0.tif", saved(Image.fromarray(65535 - deep[..., 0] * 257), "TIFF", tiffinfo={262: 0}), True, level),
        Good("32-bit.tif", saved(Image.fromarray(deep[..., 0].astype(np.int32)), "TIFF"), True, level, said="32 bits"),
        Good("float.tif", saved(Image.fromarray(deep[..., 0].astype(np.float32) / 255), "TIFF"), True, level, said="32 bits"),
        Good("pages.tif", saved(rgb, "TIFF", save_all=True, append_images=[other.copy()]), said="first"),
        Good("really-a-png.jpg", saved(rgb, "PNG")),
        Good("really-a-jpeg.png", saved(rgb, "JPEG", **fine), tolerance=5),
        Good("no-ending", saved(rgb, "PNG")),
    ]  # fmt: skip
    for orientation in range(1, 9):
        picture, exif = _turned(orientation)
        said = "EXIF" if orientation > 1 else ""
        files.append(Good(f"held-{orientation}.jpg", saved(picture, "JPEG", **fine, exif=exif), tolerance=5, said=said))
    for kind in ("PNG", "WEBP"):
        picture, exif = _turned(6)
        options = {"lossless": True} if kind == "WEBP" else {}
        files.append(Good(f"held-6.{kind.lower()}", saved(picture, kind, exif=exif, **options), said="EXIF"))
    picture, exif = _turned(8)
    files.append(Good("held-8.tif", saved(picture, "TIFF", tiffinfo={0x0112: 8})))
    return files


def _webp_claiming(kind: bytes, body: bytes) -> bytes:
    part = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(part)) + b"WEBP" + part


def bad_files() -> list[Bad]:
    """Files that are refused."""
    rgb = quarters()
    whole = {
        "png": saved(rgb, "PNG"),
        "jpg": saved(rgb, "JPEG"),
        "webp": saved(rgb, "WEBP"),
        "gif": saved(rgb, "GIF"),
        "bmp": saved(rgb, "BMP"),
        "tif": saved(rgb, "TIFF"),
        "lzw.tif": saved(rgb, "TIFF", compression="tiff_lzw"),
    }
    jpeg = bytearray(whole["jpg"])
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = struct.pack(">HH", 60000, 60000)
    bmp = bytearray(whole["bmp"])
    bmp[18:26] = struct.pack("<ii", 60000, 60000)
    gif = bytearray(whole["gif"])
    gif[6:10] = struct.pack("<HH", 65000, 65000)
    noise = np.random.default_rng(0).integers(0, 256, 400, np.uint8).tobytes()
    lossy = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383) + b"\0" * 9
    flood = chunk(b"zTXt", b"x\0\0" + zlib.compress(b"\0" * (4 << 20)))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><rect width="9" height="9"/></svg>'
    files = [
        Bad("empty.png", b"", "empty"),
        Bad("text.png", b"this is no picture at all\n" * 20, "not an image file"),
        Bad("page.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        Bad("drawing.svg", svg, "SVG"),
        Bad("drawing.png", b'<?xml version="1.0"?>\n<!-- x -->\n' + svg, "SVG"),
        Bad("paper.pdf", b"%PDF-1.7\n" + noise, "PDF"),
        Bad("archive.png", b"PK\x03\x04" + noise, "ZIP"),
        Bad("phone.heic", b"\0\0\0\x18ftypheic" + noise, "HEIC"),
        Bad("new.avif", b"\0\0\0\x18ftypavif" + noise, "AVIF"),
        Bad("film.mp4", b"\0\0\0\x18ftypisom" + noise, "video"),
        Bad("layers.psd", b"8BPS\0\x01" + noise, "not an image file"),
        Bad("script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image file"),
        Bad("icon.ico", saved(rgb, "ICO"), "not an image file"),
        Bad("plain.ppm", saved(rgb, "PPM"), "not an image file"),
        Bad("noise.bin", noise, "not an image file"),
        Bad("zero.png", png(0, 10, 8, 2, b""), ""),
        Bad("nothing.gif", b"GIF89a" + struct.pack("<HHBBB", 0, 0, 0, 0, 0) + b";", ""),
        Bad("thread.png", png(1, 20000, 8, 0, b"\0\x80" * 20000), "1×20000"),
        Bad("ribbon.png", png(20000, 1, 8, 0, b"\0" + b"\x80" * 20000), "20000×1"),
        Bad("strip.png", png(8, 900, 8, 0, (b"\0" + b"\x80" * 8) * 900), "narrow"),
        Bad("dot.png", png(1, 1, 8, 0, b"\0\x80"), "1×1"),
        Bad("stamp.png", png(7, 7, 8, 0, (b"\0" + b"\x80" * 7) * 7), "7×7"),
        Bad("bomb.png", png(60000, 60000, 8, 0, b"\0" * 10), "megapixels"),
        Bad("large.png", png(8000, 8000, 1, 0, (b"\0" + b"\xff" * 1000) * 8000), "megapixels"),
        Bad("bomb.jpg", bytes(jpeg), "megapixels"),
        Bad("bomb.bmp", bytes(bmp), "megapixels"),
        Bad("bomb.gif", bytes(gif), "megapixels"),
        Bad("bomb.webp", _webp_claiming(b"VP8X", b"\0" * 4 + b"\xff\xff\x3f" * 2), "megapixels"),
        Bad("bomb-lossless.webp", _webp_claiming(b"VP8L", b"\x2f" + struct.pack("<I", 0x0FFFFFFF) + b"\0" * 9), "megapixels"),
        Bad("bomb-lossy.webp", _webp_claiming(b"VP8 ", lossy), "megapixels"),
        Bad("bomb.tif", _tiff_claiming(60000, 60000), "megapixels"),
        Bad("text-bomb.png", png(WIDTH, HEIGHT, 8, 0, (b"\0" + b"\x80" * WIDTH) * HEIGHT, flood), ""),
        Bad("garbage-inside.png", png(WIDTH, HEIGHT, 8, 2, noise[:40]), ""),
        Bad("wrong-depth.png", png(WIDTH, HEIGHT, 5, 2, noise), ""),
        Bad("deep-float.tif", saved(Image.fromarray(np.full((HEIGHT, WIDTH), 9, np.float32)), "TIFF")[:60], ""),
    ]  # fmt: skip
    files += [Bad(f"half.{kind}", data[: len(data) // 2], "") for kind, data in whole.items()]
    files += [Bad(f"header.{kind}", data[:12], "") for kind, data in whole.items()]
    files += [Bad(f"magic.{kind}", data[:12] + noise, "") for kind, data in whole.items()]
    return files


def _tiff_claiming(width: int, height: int) -> bytes:
    """A little TIFF whose header claims a large picture."""
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, 8),
    ]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 16) + b"\x80" * 8 + body + b"\0\0\0\0"
