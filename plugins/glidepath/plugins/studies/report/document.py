"""What a report consists of, before it is HTML, LaTeX or Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

Tone = Literal["better", "worse", "equivalent", "undecided", "given", ""]


@attrs.frozen
class Cell:
    """A cell of a table: its text, and the verdict that colours it."""

    text: str
    tone: Tone = ""


@attrs.frozen
class Column:
    """A column of a table. Numbers are aligned right."""

    title: str
    align: Literal["left", "right"] = "right"


@attrs.frozen(kw_only=True)
class Table:
    """A table; name is that of its files. notes explain signs in it. Each row has a cell for each column."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: str = ""


@attrs.frozen(kw_only=True, eq=False)
class Drawing:
    """A figure; name is that of its files. figure: of matplotlib."""

    name: str
    caption: str
    figure: Any


@attrs.frozen
class Tile:
    """An image among others, with what is written under it; file None: it is missing.

    name: of the copy that the report keeps, below images/.
    """

    file: Path | None
    note: str = ""
    name: str = ""


@attrs.frozen(kw_only=True)
class Gallery:
    """Images in rows and columns. rows: a title (a prompt), and a tile for each column."""

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]


@attrs.frozen
class Lines:
    """A list of short statements, each with a tone."""

    items: tuple[Cell, ...]


@attrs.frozen
class Code:
    """Text that is shown as it is, such as a command or a difference of files."""

    text: str


Block = str | Table | Drawing | Gallery | Lines | Code


@attrs.frozen(eq=False)
class Section:
    """A part of the report; a string among the blocks is a paragraph."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@attrs.frozen(eq=False)
class Document:
    """A report. summary: the verdict in a sentence."""

    title: str
    question: str
    summary: str
    sections: tuple[Section, ...]

    @property
    def blocks(self) -> list[Block]:
        """All blocks in order."""
        return [block for section in self.sections for block in section.blocks]


def table(
    name: str,
    caption: str,
    columns: str | Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    notes: str = "",
) -> Table:
    """A table from plain strings.

    columns: titles, in a list or separated by " | "; one that begins with "< " is of text, others of numbers.
    """
    titles = columns.split(" | ") if isinstance(columns, str) else columns
    return Table(
        name=name,
        caption=caption,
        columns=tuple(
            Column(it.removeprefix("< "), "left" if it.startswith("< ") else "right") for it in titles
        ),
        rows=tuple(tuple(it if isinstance(it, Cell) else Cell(it) for it in row) for row in rows),
        notes=notes,
    )


def file_name(text: str) -> str:
    """Text as the name of a file that LaTeX and every file system takes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() or "unnamed"
