"""A contact sheet: pictures as they are trained on, each over its caption."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_ACROSS = 8
_CELL = 128
_LINES, _LINE = 3, 13
_MARGIN = 6
_LETTERS = 22


def contact_sheet(images: Sequence[Tensor], captions: Sequence[str]) -> Image.Image:
    """Images [3, H, W] in [-1, 1] of any sizes, eight in a row; small ones are enlarged by whole factors."""
    height = _CELL + _LINES * _LINE + _MARGIN
    rows = -(-len(images) // _ACROSS)
    across = min(_ACROSS, len(images))
    sheet = Image.new(
        "RGB", (across * (_CELL + _MARGIN) + _MARGIN, rows * (height + _MARGIN) + _MARGIN), "white"
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(number, _ACROSS)
        left, top = _MARGIN + column * (_CELL + _MARGIN), _MARGIN + row * (height + _MARGIN)
        picture = _in_cell(_picture(image))
        sheet.paste(picture, (left + (_CELL - picture.width) // 2, top + (_CELL - picture.height) // 2))
        lines = textwrap.wrap(caption, _LETTERS) or [""]
        if len(lines) > _LINES:
            lines = [*lines[: _LINES - 1], lines[_LINES - 1][: _LETTERS - 3] + "..."]
        for line, text in enumerate(lines):
            draw.text((left, top + _CELL + 2 + line * _LINE), text, fill="black", font=font)
    return sheet


def _picture(image: Tensor) -> Image.Image:
    levels = ((image + 1) * 127.5).round().clamp(0, 255).byte()
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def _in_cell(picture: Image.Image) -> Image.Image:
    longest = max(picture.size)
    if longest <= _CELL:
        factor = _CELL // longest
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    return picture.resize(
        tuple(max(1, side * _CELL // longest) for side in picture.size),  # type: ignore[arg-type]
        Image.Resampling.LANCZOS,
    )
