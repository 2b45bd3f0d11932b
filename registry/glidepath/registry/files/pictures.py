"""The one reader of pictures: which files are pictures, and what is seen of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageChops, ImageColor, ImageOps, UnidentifiedImageError

from glidepath.core.errors import GlidepathError
from glidepath.registry.files.reading import read_bytes

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "AVIF")
"""The formats that are read, as Pillow calls them. None of their decoders starts another program."""

PICTURE_SUFFIXES = frozenset(
    {
        *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg"),
        *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    }
)
"""How the names of such files end."""

MOST_PIXELS = 2**26
"""A picture of more pixels is refused before it is decoded."""

_MOST_BYTES = 2**28
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # of TIFF
_ORIENTATION = 0x0112  # of EXIF; from 5 on width and height are exchanged
_DEPTH = 24  # where the header of a PNG has the bits of a sample


class ImageError(GlidepathError):
    """An image file cannot be read, or does not carry what is looked for."""


def read_picture(path: Path) -> Image.Image:
    """A picture as it is meant to be seen: see `decode_picture`.

    Raises:
        ImageError: it is not there, or cannot be read as an image.
    """
    return decode_picture(picture_bytes(path), str(path))


def picture_bytes(path: Path) -> bytes:
    """The bytes of a picture's file.

    Raises:
        ImageError: it is not there, is no file, or is too large.
    """
    try:
        return read_bytes(path, _MOST_BYTES)
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {path}") from error
    except OSError as error:
        raise ImageError(f"cannot read {path} as an image: {error.strerror or error}") from error


def decode_picture(
    data: bytes,
    name: str,
    background: str = "white",
    *,
    formats: tuple[str, ...] = FORMATS,
    most: int = MOST_PIXELS,
) -> Image.Image:
    """The first frame of a picture in RGB of 8 bits, turned as its EXIF says; `info` is what it carries.

    Greys of 16 bits are divided by 257. Floating-point greys are black at 0 and white at 1.

    name: as messages call it. background: the colour that shows where it is transparent, as Pillow names it.
    formats: those it may have, of `FORMATS`. most: how many pixels it may have.

    Raises:
        ImageError: it is damaged, has too many pixels, or is of another format or a depth without a white.
    """
    try:
        with Image.open(io.BytesIO(data), formats=formats) as picture:
            if picture.width * picture.height > most:
                raise ValueError(
                    f"it is {picture.width}x{picture.height}, and at most {most:,} pixels are read"
                )
            ImageOps.exif_transpose(picture, in_place=True)
            return _in_rgb(picture, data, background)
    except UnidentifiedImageError as error:
        what = f"it is damaged, or none of {', '.join(formats)}"
        raise ImageError(f"cannot read {name} as an image: {what}") from error
    except Exception as error:  # decoders raise whatever they run into
        raise ImageError(f"cannot read {name} as an image: {str(error) or type(error).__name__}") from error


def picture_sides(file: BinaryIO, name: str) -> tuple[int, int]:
    """Width and height of a picture, turned as its EXIF says, without decoding it.

    Raises:
        ImageError: its header cannot be read.
    """
    try:
        with Image.open(file, formats=FORMATS) as picture:
            turned = picture.getexif().get(_ORIENTATION, 1) >= 5
            return (picture.height, picture.width) if turned else picture.size
    except Exception as error:
        raise ImageError(f"cannot read {name} as an image: {str(error) or type(error).__name__}") from error


def _in_rgb(picture: Image.Image, data: bytes, background: str) -> Image.Image:
    info = picture.info
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = Image.fromarray(_grey(picture, ImageColor.getcolor(background, "L")))
    elif picture.has_transparency_data:
        if picture.format == "PNG" and "transparency" in info:
            info["transparency"] = _transparent(info["transparency"], data[_DEPTH])
        picture = picture.convert("RGBA")
        picture.paste(background, mask=ImageChops.invert(picture.getchannel("A")))
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    picture.info = info
    return picture


def _grey(picture: Image.Image, background: object) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """[H, W] uint8 of greys of more than 8 bits."""
    tags = getattr(picture, "tag_v2", {})
    values = np.asarray(picture)
    if picture.mode == "F":
        if not (values.min() >= 0 and values.max() <= 1):  # NaN is neither
            raise ValueError(
                f"its greys of 32-bit floating point go from {values.min():g} to {values.max():g}; 0 is "
                "black, and 1 is white"
            )
        grey = np.rint(values * 255).astype(np.uint8)
    elif picture.mode == "I" and picture.format == "TIFF":
        raise ValueError(f"no white is known of its greys of {tags.get(_BITS, (32,))[0]}-bit integers")
    else:
        white = 2.0 ** tags.get(_BITS, (16,))[0] - 1
        table = np.rint(np.minimum(np.arange(2**16) / white, 1) * 255).astype(np.uint8)
        if isinstance(transparent := picture.info.get("transparency"), int):
            table[transparent] = background
        grey = table[values]
    return np.asarray(255 - grey if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey)


def _transparent(colour: object, depth: int) -> object:
    """A PNG's transparent colour in 8 bits, as its pixels are; Pillow has it as it is written."""
    if isinstance(colour, tuple) and depth == 16:
        return tuple(value >> 8 for value in colour)
    return colour * 255 // (2**depth - 1) if isinstance(colour, int) and depth < 8 else colour
