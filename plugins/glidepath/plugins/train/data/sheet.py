"""A contact sheet: pictures, each over its caption."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_ACROSS = 8
_CELL = 128
_LINES, _LINE = 3, 13
_MARGIN = 6
_LETTERS = 22
_POINTS = 11
_FONTS = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Arial Unicode.ttf", "msyh.ttc", "arial.ttf")


def contact_sheet(
    images: Sequence[Tensor], captions: Sequence[str], columns: int = _ACROSS, *, shrinks: bool = True
) -> Image.Image:
    """Images [3, H, W] of any sizes, uint8 or in [-1, 1], `columns` in a row.

    Small ones are enlarged by whole factors. shrinks: large ones are made smaller.
    """
    cell = _CELL if shrinks else max(_CELL, *(side for image in images for side in image.shape[1:]))
    letters = _LETTERS * cell // _CELL
    height = cell + _LINES * _LINE + _MARGIN
    across = min(columns, len(images))
    rows = -(-len(images) // across)
    sheet = Image.new(
        "RGB", (across * (cell + _MARGIN) + _MARGIN, rows * (height + _MARGIN) + _MARGIN), "white"
    )
    draw, font = ImageDraw.Draw(sheet), _font(captions)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(number, across)
        left, top = _MARGIN + column * (cell + _MARGIN), _MARGIN + row * (height + _MARGIN)
        picture = _in_cell(_picture(image), cell)
        sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
        lines = textwrap.wrap(caption, letters) or [""]
        if len(lines) > _LINES:
            lines = [*lines[: _LINES - 1], lines[_LINES - 1][: letters - 3] + "..."]
        for line, text in enumerate(lines):
            draw.text((left, top + cell + 2 + line * _LINE), text, fill="black", font=font)
    return sheet


def _font(captions: Sequence[str]) -> Any:
    """Pillow's own has the letters of ASCII; for others the first of some that systems have."""
    for name in _FONTS if any(not caption.isascii() for caption in captions) else ():
        with suppress(OSError):
            return ImageFont.truetype(name, _POINTS)
    return ImageFont.load_default(_POINTS)


def _picture(image: Tensor) -> Image.Image:
    levels = ((image + 1) * 127.5).round().clamp(0, 255) if image.is_floating_point() else image
    levels = levels.byte().cpu()
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def _in_cell(picture: Image.Image, cell: int) -> Image.Image:
    longest = max(picture.size)
    if longest <= cell:
        factor = cell // longest
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    return picture.resize(
        tuple(max(1, side * cell // longest) for side in picture.size),  # type: ignore[arg-type]
        Image.Resampling.LANCZOS,
    )
