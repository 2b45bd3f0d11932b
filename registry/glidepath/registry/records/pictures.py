"""The pictures that an image starts from: read, fitted to a model, carried by what is made of them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from PIL import Image

from glidepath.core.errors import GlidepathError
from glidepath.core.size import sides
from glidepath.registry.files.pictures import ImageError, decode_picture, picture_bytes
from glidepath.registry.records.filenames import picture_option
from glidepath.registry.records.images import middle, resized, to_pil, to_tensor

if TYPE_CHECKING:
    from torch import Tensor

    from glidepath.core.request import Input

MOST_CARRIED = 1_000_000
"""How many characters of pictures an image carries at most, base64 and all of them together."""

_MOST_PIXELS = 2**24
"""Of a picture that is carried: 4096 x 4096, more than any model sees."""


@attrs.frozen
class Carried:
    """A picture as a manifest holds it.

    sha256: of the file that was given.
    png: a PNG of what the model saw of it, in base64; None where that would be too much to carry. In a mask
        white is what is painted.
    """

    sha256: str
    png: str | None


@attrs.frozen(eq=False)
class Picture:
    """A picture as a model sees it.

    pixels: [1, 3, H, W] uint8; of a mask [1, 1, H, W] uint8, 1 where the image is known.
    sha256: of the file that it came from.
    """

    pixels: Tensor
    sha256: str


@attrs.frozen(eq=False, kw_only=True)
class Inputs:
    """What an image starts from beside its prompt.

    pictures: by their names in `Request.inputs`. strength: how far towards noise the walk from the image
        begins. size: (H, W) in pixels, where it is not the model's own.
    """

    pictures: Mapping[str, Picture] = attrs.field(factory=dict)
    strength: float | None = None
    size: tuple[int, ...] | None = None

    def carried(self) -> dict[str, Carried]:
        """As a manifest holds them: the smaller ones first, as long as there is room."""
        texts = {name: _png(picture.pixels, name) for name, picture in self.pictures.items()}
        room, kept = MOST_CARRIED, set()
        for name in sorted(texts, key=lambda name: len(texts[name])):
            room -= len(texts[name])
            if room >= 0:
                kept.add(name)
        return {
            name: Carried(picture.sha256, texts[name] if name in kept else None)
            for name, picture in self.pictures.items()
        }


@attrs.frozen(eq=False)
class Opened:
    """Pictures as their files hold them, before they are fitted to a model."""

    files: Mapping[str, tuple[str, Image.Image, str]]

    def fitted(self, size: Sequence[int], wanted: Mapping[str, Input]) -> dict[str, Picture]:
        """What a model that makes images of a size (H, W) in pixels sees of them: their middles.

        wanted: the pictures that the model takes. Those that are to have the size of its images are resized,
        and so is the mask; a pixel is known where all that it covers is. Others keep their own size.

        Raises:
            ImageError: a picture to enlarge is no smaller than what is to be made of it, or a mask is black.
        """
        fitted: dict[str, Picture] = {}
        for name, (path, whole, sha256) in self.files.items():
            part = middle(whole, size)
            if name == "mask":
                pixels = _known(part, size)
                if pixels.all():
                    raise ImageError(f"the middle of the mask {path}, which is all that counts, is black")
            elif name in wanted and wanted[name].size == "image":
                pixels = resized(part, size)
            elif name != "low_res":
                pixels = to_tensor(whole)
            elif part.width >= size[1]:
                raise ImageError(
                    f"{path} is {whole.width}x{whole.height} pixels, and this model makes images of "
                    f"{sides(size)} from smaller ones; there is nothing to enlarge"
                )
            else:
                pixels = to_tensor(part)
            fitted[name] = Picture(pixels, sha256)
        return fitted


def open_pictures(paths: Mapping[str, Path]) -> Opened:
    """Read the files of pictures by name. What is transparent is white; of the mask it is black.

    Of the "mask", white is what is painted, black what is kept; it has the size of "image".

    Raises:
        ImageError: a file cannot be read as an image, or the mask does not fit the image.
    """
    return decode_pictures({name: (str(path), picture_bytes(path)) for name, path in paths.items()})


def decode_pictures(given: Mapping[str, tuple[str, bytes]]) -> Opened:
    """The same of the bytes of files, each behind the name that messages have for it."""
    files = {name: _read(path, data, name) for name, (path, data) in given.items()}
    if "mask" in files and "image" in files:
        _check_mask(files["mask"][1], files["mask"][0], files["image"][1], files["image"][0])
    return Opened(files)


def carried_pictures(carried: Mapping[str, Carried]) -> dict[str, Picture]:
    """The pictures that a manifest carries, to make its images again.

    Raises:
        GlidepathError: one is not carried, or is no picture.
    """
    absent = [name for name in carried if carried[name].png is None]
    if absent:
        told = ", ".join(f"{picture_option(name)} (sha256 {carried[name].sha256})" for name in absent)
        raise GlidepathError(
            f"the image was made from a picture that is too large for it to carry, that of {told}; it cannot "
            "be replayed from its own file: run `glidepath sample` again with that picture"
        )
    return {name: Picture(_pixels(it.png or "", name), it.sha256) for name, it in carried.items()}


def _read(path: str, data: bytes, name: str) -> tuple[str, Image.Image, str]:
    whole = decode_picture(data, path, "black" if name == "mask" else "white")
    return path, whole, hashlib.sha256(data).hexdigest()


def _check_mask(mask: Image.Image, path: str, image: Image.Image, image_path: str) -> None:
    if mask.size != image.size:
        sizes = "x".join(map(str, mask.size)), "x".join(map(str, image.size))
        raise ImageError(
            f"the mask {path} is {sizes[0]} pixels, and {image_path} is {sizes[1]}; make them equal"
        )
    if not _is_painted(mask).getbbox():
        raise ImageError(
            f"the mask {path} has no white pixel, and white is what is painted (what is transparent is not); "
            f"its brightest grey is {mask.convert('L').getextrema()[1]} of 255; invert it if black was meant"
        )


def _is_painted(mask: Image.Image) -> Image.Image:
    """255 where a mask is at least half white, else 0."""
    return mask.convert("L").point(lambda value: 255 if value >= 128 else 0)


def _known(mask: Image.Image, size: Sequence[int]) -> Tensor:
    """[1, 1, H, W] uint8: 1 where nothing of what a pixel covers is to be painted."""
    import torch.nn.functional as F

    painted = to_tensor(_is_painted(mask))[:, :1].float() / 255
    known: Tensor = 1 - F.adaptive_max_pool2d(painted, tuple(size))
    return known.byte()


def _png(pixels: Tensor, name: str) -> str:
    picture = to_pil((1 - pixels[0]) * 255).convert("1") if name == "mask" else to_pil(pixels[0])
    written = io.BytesIO()
    picture.save(written, format="PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode("ascii")


def _pixels(text: str, name: str) -> Tensor:
    try:
        data = base64.b64decode(text, validate=True)
        whole = decode_picture(
            data, f"the picture of {picture_option(name)}", formats=("PNG",), most=_MOST_PIXELS
        )
    except (ImageError, binascii.Error, ValueError) as error:
        raise GlidepathError(f"the manifest is damaged: {error}") from error
    return _known(whole, (whole.height, whole.width)) if name == "mask" else to_tensor(whole)
