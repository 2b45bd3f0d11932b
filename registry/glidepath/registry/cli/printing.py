"""What commands print: tables, JSON, and on the standard error warnings and errors."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from glidepath.registry.files.streams import output
from glidepath.registry.text.problems import WIDTH

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue


def text_table(rows: Iterable[Sequence[str]], *, wrap: bool = False) -> str:
    """Rows as text, columns aligned.

    wrap: break the last column into lines, of 40 characters at least.
    """
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    before = sum(width + 2 for width in widths[:-1])
    room = max(40, WIDTH - before)
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        pieces = [" ".join(row[-1].splitlines()).strip()]
        if wrap:
            pieces = textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
        lines.append("  ".join([*cells, pieces[0]]).rstrip())
        lines += [" " * before + piece for piece in pieces[1:]]
    return "\n".join(lines)


def shorten(text: str, width: int = 60) -> str:
    """A text that fits into a cell of a table: its beginning, with "..." where something is left out."""
    return text if len(text) <= width else f"{text[: width - 4]} ..."


def indent(text: str) -> str:
    """Every line that is not empty, two columns to the right."""
    return textwrap.indent(text, "  ")


def print_json(document: object) -> None:
    """Print one JSON document on the standard output; what JSON has no form for is written as text."""
    import json

    from glidepath.registry.plan.resolved import plain_value

    out = output()
    # elsewhere the letters that an encoding lacks are escaped, and not as JSON does
    in_utf_8 = (out.encoding or "utf-8").lower().replace("-", "") == "utf8"
    print(json.dumps(plain_value(document), indent=2, ensure_ascii=not in_utf_8), file=out)


@cache
def warn_once(text: str) -> None:
    """Print a warning on the standard error, once however often its cause is met in one command."""
    print(f"glidepath: warning: {text}", file=sys.stderr)


def print_error(error: Exception) -> None:
    """Print an error with its notes on the standard error."""
    lines = [f"glidepath: error: {error}", *getattr(error, "__notes__", ())]
    print("\n    ".join(lines), file=sys.stderr)


def note_failures(catalogue: Catalogue) -> None:
    """Say on the standard error which installed plugins do not work, if there are any."""
    count = len(catalogue.failures)
    if count:
        plugins = "1 plugin has problems" if count == 1 else f"{count} plugins have problems"
        named = [f"{record.title}: {record.stage}: {shorten(record.error)}" for record in catalogue.failures]
        note = "\n    ".join([f"glidepath: note: {plugins}; `glidepath plugins` tells more", *named])
        print(note, file=sys.stderr)
