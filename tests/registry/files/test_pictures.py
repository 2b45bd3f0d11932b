"""The one reader of pictures: depth, transparency, orientation, formats and limits."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from glidepath.registry.files.pictures import FORMATS, MOST_PIXELS, ImageError, decode_picture, read_picture
from glidepath.registry.files.reading import read_bytes

GREY = 47
DEEP = GREY * 257


def written(pixels: Any, form: str, **options: Any) -> bytes:
    """A picture, or an array of greys, as a file of a format of Pillow."""
    stream = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(stream, form, **options)
    return stream.getvalue()


def png(depth: int, colour: int, row: bytes, *chunks: tuple[bytes, bytes], size: Any = (2, 1)) -> bytes:
    """A PNG of one row, with chunks that Pillow does not write."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    told = (
        struct.pack(">I", len(it)) + name + it + struct.pack(">I", zlib.crc32(name + it))
        for name, it in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


def tiff(bits: int, row: bytes, *, white_is_zero: bool = False, sort: int = 1) -> bytes:
    """A TIFF of one row of two greys; sort: 1 natural numbers, 2 integers, 3 floating point."""
    tags = {
        256: 2,
        257: 1,
        258: bits,
        259: 1,
        262: int(not white_is_zero),
        273: 8,
        277: 1,
        278: 1,
        279: len(row),
    }
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in {**tags, 339: sort}.items())
    row += b"\0" * (len(row) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(row)) + row + struct.pack("<H", 10) + table + bytes(4)


def seen(data: bytes, background: str = "white") -> list[tuple[int, ...]]:
    """The colours of the first row."""
    picture = decode_picture(data, "it", background)
    assert picture.mode == "RGB"
    return [picture.getpixel((x, 0)) for x in range(picture.width)]


def of(*greys: int) -> list[tuple[int, ...]]:
    return [(grey,) * 3 for grey in greys]


TWO = np.array([[DEEP, 200 * 257]], np.uint16)
PAIR = struct.pack("<HH", DEEP, 200 * 257)


@pytest.mark.parametrize(
    "data",
    [
        written(TWO, "PNG"),
        written(TWO, "TIFF"),
        written(TWO, "TIFF", compression="tiff_lzw"),
        written(TWO, "JPEG2000"),
        b"P5 2 1 65535\n" + struct.pack(">HH", DEEP, 200 * 257),
        tiff(12, bytes([GREY * 4095 // 255 >> 4, (GREY * 4095 // 255 & 15) << 4 | 3211 >> 8, 3211 & 255])),
        tiff(16, struct.pack("<HH", 65535 - DEEP, 65535 - 200 * 257), white_is_zero=True),
        tiff(32, struct.pack("<ff", GREY / 255, 200 / 255), sort=3),
        tiff(32, struct.pack("<ff", 1 - GREY / 255, 1 - 200 / 255), white_is_zero=True, sort=3),
        png(16, 2, struct.pack(">6H", *[DEEP] * 3, *[200 * 257] * 3)),
        png(4, 0, b"\x3d"),
    ],
)
def test_brightness_is_kept_at_every_depth(data: bytes) -> None:
    assert seen(data) in (of(GREY, 200), of(0x33, 0xDD))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (written(TWO.astype(np.int32), "TIFF"), "32-bit integers"),
        (tiff(16, PAIR, sort=2), "16-bit integers"),
        (tiff(32, struct.pack("<ff", 0, 255), sort=3), "32-bit floating point go from 0 to 255"),
        (tiff(32, struct.pack("<ff", 0, float("nan")), sort=3), "32-bit floating point"),
        (tiff(32, struct.pack("<ff", 0, float("-inf")), sort=3), "32-bit floating point"),
    ],
)
def test_a_depth_without_a_white_is_refused_by_its_name(data: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        decode_picture(data, "it")


def _cut_outs() -> dict[str, bytes]:
    """Two pixels: a colour that nobody sees, and a grey."""
    rgba = Image.new("RGBA", (2, 1), (20, 220, 30, 0))
    rgba.putpixel((1, 0), (*[GREY] * 3, 255))
    palette = Image.new("P", (2, 1))
    palette.putpalette([20, 220, 30, *[GREY] * 3])
    palette.putpixel((1, 0), 1)
    key, grey = [7 * 257] * 3, [DEEP] * 3
    return {
        **{form: written(rgba, form, lossless=True) for form in ("PNG", "WEBP", "TIFF", "JPEG2000")},
        "grey with alpha": written(rgba.convert("LA"), "PNG"),
        "palette": written(palette, "PNG", transparency=0),
        "gif": written(palette, "GIF", transparency=0),
        "colour": png(8, 2, bytes([7] * 3 + [GREY] * 3), (b"tRNS", struct.pack(">3H", 7, 7, 7))),
        "colour-16": png(16, 2, struct.pack(">6H", *key, *grey), (b"tRNS", struct.pack(">3H", *key))),
        "grey-16": png(16, 0, struct.pack(">2H", 7 * 257, DEEP), (b"tRNS", struct.pack(">H", 7 * 257))),
        "grey-8": png(8, 0, bytes([7, GREY]), (b"tRNS", struct.pack(">H", 7))),
    }  # fmt: skip


@pytest.mark.parametrize("name", _cut_outs())
def test_what_is_transparent_is_the_background(name: str) -> None:
    assert seen(_cut_outs()[name]) == of(255, GREY)
    assert seen(_cut_outs()[name], "black") == of(0, GREY)


@pytest.mark.parametrize(("depth", "row", "value"), [(1, 0b01 << 6, 0), (2, 0b0110 << 4, 1), (4, 0x5A, 5)])
def test_a_transparent_grey_of_few_bits_is_found(depth: int, row: int, value: int) -> None:
    data = png(depth, 0, bytes([row]), (b"tRNS", struct.pack(">H", value)))
    assert seen(data)[0] == (255, 255, 255)
    assert seen(data, "black")[0] == (0, 0, 0)


@pytest.mark.parametrize("background", ["white", "black"])
def test_half_transparent_colours_are_blended_with_the_background(background: str) -> None:
    alpha, value = np.mgrid[:256, :256].astype(np.uint8)
    picture = Image.fromarray(np.stack([value, value, value, alpha], -1))
    paper = Image.new("RGBA", picture.size, background)
    expected = Image.alpha_composite(paper, picture).convert("RGB")
    assert decode_picture(written(picture, "PNG"), "it", background).tobytes() == expected.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_pictures_are_turned_as_their_exif_says(form: str, orientation: int) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = written(Image.fromarray(pixels).convert("RGB"), form, exif=exif, quality=100)
    with Image.open(io.BytesIO(data)) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB")
    assert decode_picture(data, "it").tobytes() == expected.tobytes()
    assert expected.size == ((3, 2) if orientation < 5 else (2, 3))


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_that_is_named_is_read(form: str) -> None:
    assert decode_picture(written(Image.new("RGB", (16, 16), "red"), form), "it").size == (16, 16)


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n",
        b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 32, 99) + bytes(20) + b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\xd7\xcd\xc6\x9a" + bytes(40),
        written(Image.new("RGB", (4, 4)), "PDF"),
        written(Image.new("RGB", (16, 16)), "ICO"),
        b"",
    ],
    ids=["eps", "eps-with-preview", "wmf", "pdf", "ico", "empty"],
)  # fmt: skip
def test_other_formats_are_refused_and_no_program_is_started(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(ImageError, match="it is damaged, or none of PNG, JPEG, "):
        decode_picture(data, "photo.png")


@pytest.mark.parametrize("size", [(2**20, 2**20), (MOST_PIXELS + 1, 1), (9000, 9000)])
def test_too_many_pixels_are_refused_before_they_are_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"pixels are read|exceeds limit"):
        decode_picture(png(8, 0, b"\0" * 99, size=size), "it")


@pytest.mark.parametrize("chunk", [b"iTXt", b"zTXt", b"iCCP"])
def test_text_that_inflates_is_refused(chunk: bytes) -> None:
    packed = zlib.compress(bytes(2**22))
    head = {b"iTXt": b"k\0\1\0\0\0", b"zTXt": b"k\0\0", b"iCCP": b"k\0\0"}[chunk]
    with pytest.raises(ImageError, match="Decompressed data too large"):
        decode_picture(png(8, 0, b"\0\0", (chunk, head + packed)), "it")


@pytest.mark.parametrize(
    "error", [AssertionError, NotImplementedError, RuntimeError("x"), KeyError("x"), MemoryError]
)
def test_whatever_a_decoder_raises_is_a_message(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", fail)
    with pytest.raises(ImageError, match=r"cannot read it as an image: .+"):
        decode_picture(png(8, 0, b"\0\0"), "it")


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "link.png"):
        with pytest.raises(ImageError, match=f"cannot read .*{name} as an image: it is not a file"):
            read_picture(tmp_path / name)
    with pytest.raises(ImageError, match="there is no file"):
        read_picture(tmp_path / "absent.png")


@pytest.mark.parametrize("told", [0, 4], ids=["nothing", "less than it has"])
def test_a_file_is_read_whole_whatever_size_it_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    """One that grows, or one of a system that tells no sizes; and it has no more bytes than are meant."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    size = SimpleNamespace(st_mode=path.stat().st_mode, st_size=told)
    monkeypatch.setattr("glidepath.registry.files.reading.os.fstat", lambda _: size)
    assert read_bytes(path, 10) == b"0123456789"
    with pytest.raises(OSError, match="larger than 9 bytes"):
        read_bytes(path, 9)
