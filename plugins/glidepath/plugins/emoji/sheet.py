"""Contact sheets: pictures with what they are said to show, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw
from torch import Tensor

from glidepath.plugins.emoji.table import HELD, Listing, Table
from glidepath.registry import write_whole

_CELL: Final = 104
_PICTURE: Final = 64
_LINE: Final = 11
_LINES: Final = 3
_LETTERS: Final = 17
_COLUMNS: Final = 12
_ROWS: Final = 12


def write_sheets(table: Table, folder: Path) -> Iterator[Path]:
    """All pictures of a table, some 144 to a sheet; those that are held out say why. Gives the files.

    Raises:
        CannotWrite: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    each = _COLUMNS * _ROWS
    listing = table.listing
    for number, first in enumerate(range(0, len(listing), each), start=1):
        rows = range(first, min(first + each, len(listing)))
        path = folder / f"sheet-{number:03}.png"
        write_sheet(path, table.pictures[list(rows)], [_label(listing, row) for row in rows])
        yield path


def write_sheet(path: Path, pictures: Tensor, captions: Sequence[str], columns: int = _COLUMNS) -> None:
    """Pictures [N, 3, S, S] uint8 in rows, each enlarged, with its caption below it.

    Raises:
        CannotWrite: the file cannot be written.
    """
    sheet = contact_sheet(pictures, captions, columns)
    write_whole(path, lambda partial: sheet.save(partial, format="PNG"))


def contact_sheet(pictures: Tensor, captions: Sequence[str], columns: int = _COLUMNS) -> Image.Image:
    """Pictures [N, 3, S, S] uint8 in rows, each enlarged, with its caption below it."""
    height = _PICTURE + _LINE * _LINES + 6
    sheet = Image.new("RGB", (columns * _CELL, -(-len(captions) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, text) in enumerate(zip(pictures, captions, strict=True)):
        left, top = index % columns * _CELL, index // columns * height
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
        large = image.resize((_PICTURE, _PICTURE), Image.Resampling.NEAREST)
        sheet.paste(large, (left + (_CELL - _PICTURE) // 2, top))
        for number, line in enumerate(_lines(text)[:_LINES]):
            draw.text((left + 2, top + _PICTURE + 1 + number * _LINE), line, fill="black")
    return sheet


def _label(listing: Listing, row: int) -> str:
    why = HELD[int(listing.held[row])]
    return f"{listing.caption(row)} [{why}]" if why else listing.caption(row)


def _lines(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _LETTERS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
