"""Images as people see them: grids, strips, and PNG files that carry what made them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from glidepath.registry.files.pictures import (
    MOST_PIXELS,
    ImageError,
    decode_picture,
    picture_bytes,
    read_picture,
)
from glidepath.registry.files.writing import write_whole
from glidepath.registry.text.canonical_json import json_text, read_json

if TYPE_CHECKING:
    from torch import Tensor

KEY = "glidepath"
"""The PNG text chunk that holds the manifest."""

_MOST_TEXT = 4 * 2**20
_GAP = 4


def to_pil(image: Tensor, scale: int = 1) -> Image.Image:
    """[3, H, W] or [1, H, W] uint8 as an image of PIL, each pixel `scale` pixels wide."""
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().cpu().numpy()
    height, width = pixels.shape[:2]
    picture = Image.frombytes("RGB", (width, height), pixels.tobytes())
    return picture.resize((width * scale, height * scale), Image.Resampling.NEAREST) if scale > 1 else picture


def grid(images: Sequence[Tensor], columns: int, scale: int = 1) -> Image.Image:
    """Pictures of one size in rows of `columns`, on white with a narrow gap; a single one stands alone."""
    pictures = [to_pil(image, scale) for image in images]
    if len(pictures) == 1:
        return pictures[0]
    width, height = pictures[0].size
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = Image.new(
        "RGB", (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP), (255, 255, 255)
    )
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % columns * (width + _GAP), index // columns * (height + _GAP)))
    return sheet


def grid_columns(prompts: int, count: int) -> int:
    """A row for each prompt where each has several images; else a grid about as wide as high."""
    if prompts > 1 and count > 1:
        return count
    return max(1, round(math.sqrt(prompts * count) + 0.25))


def default_scale(size: int, count: int = 1) -> int:
    """How much an image with a longer side of `size` is enlarged to be looked at: to 256 pixels or less.

    Less where `count` of them would not fit into a picture that is read again.
    """
    side = math.isqrt(MOST_PIXELS // max(1, count)) - _GAP
    return max(1, min(256, side) // size)


def save_png(picture: Image.Image, path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a PNG with its manifest, whole or not at all.

    Raises:
        CannotWrite: that cannot be.
    """
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEY, json_text(dict(manifest)))
    write_whole(path, lambda partial: picture.save(partial, format="PNG", pnginfo=info))


def read_manifest(path: Path) -> tuple[Image.Image, dict[str, Any]]:
    """The image in a PNG that glidepath wrote, and the manifest that it carries, as JSON has it.

    Raises:
        ImageError: the file is not a PNG that glidepath made.
    """
    return manifest_in(picture_bytes(path), str(path))


def manifest_in(data: bytes, path: str) -> tuple[Image.Image, dict[str, Any]]:
    """The same of the bytes of a file. path: as messages call it."""
    picture = decode_picture(data, path, formats=("PNG",))
    text = picture.info.get(KEY)
    if not isinstance(text, str):
        raise ImageError(
            f"{path} carries no manifest of glidepath: it was not made by `glidepath sample`, "
            "or a program that saved it again dropped its text"
        )
    try:
        if len(text) > _MOST_TEXT:
            raise ValueError("it is too long")
        manifest = read_json(text)
        if not isinstance(manifest, dict):
            raise ValueError("it is not a mapping")
    except ValueError as error:
        raise ImageError(f"the manifest in {path} cannot be read: {error}") from error
    return picture, manifest


def load_image(path: Path, size: Sequence[int]) -> Tensor:
    """A picture, its middle resized to a size (H, W): [1, 3, H, W] uint8.

    Raises:
        ImageError: the file cannot be read as an image.
    """
    return resized(middle(read_picture(path), size), size)


def middle(picture: Image.Image, size: Sequence[int]) -> Image.Image:
    """The largest part in the middle of a picture that has the proportions of a size (H, W)."""
    height, width = size
    crop_width = min(picture.width, max(1, round(picture.height * width / height)))
    crop_height = min(picture.height, max(1, round(picture.width * height / width)))
    if (crop_width, crop_height) == picture.size:
        return picture
    left, top = (picture.width - crop_width) // 2, (picture.height - crop_height) // 2
    return picture.crop((left, top, left + crop_width, top + crop_height))


def resized(picture: Image.Image, size: Sequence[int]) -> Tensor:
    """A picture in a size (H, W), as [1, 3, H, W] uint8."""
    height, width = size
    return to_tensor(picture.resize((width, height), Image.Resampling.LANCZOS))


def to_tensor(picture: Image.Image) -> Tensor:
    """A picture as [1, 3, H, W] uint8."""
    import numpy as np
    import torch

    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].contiguous()
