"""Plain text and tables as LaTeX, by booktabs, for papers to include."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_ESCAPES: Final = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "≈": r"$\approx$",
    "▲": r"$\blacktriangle$",
    "▼": r"$\blacktriangledown$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "∞": r"$\infty$",
    "–": "--",
    "…": r"\ldots{}",
}
_PATTERN: Final = re.compile("|".join(map(re.escape, _ESCAPES)))
# What pdflatex has no sign for with the fonts of every installation: all but Latin, and a few of that.
_UNKNOWN: Final = re.compile("[^ -~\u00a0-\u017e]|[\u0126\u0127\u0138\u013f\u0140\u0149\u0166\u0167]")
_LONG: Final = 56
"""Rows; a table of more is continued in another."""
_WIDE: Final = 9
"""Columns; with more of them a table has them closer together."""


def latex_text(text: str) -> str:
    """Plain text as LaTeX, in one line. A sign that pdflatex does not have is named: [U+732B]."""
    made = _PATTERN.sub(lambda found: _ESCAPES[found[0]], " ".join(text.split()))
    return _UNKNOWN.sub(lambda found: f"[U+{ord(found[0]):04X}]", made)


def latex_table(
    name: str,
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    align: str = "",
    notes: str = "",
) -> str:
    """A table float; wider ones are shrunk to the width of the text. Needs booktabs, graphicx, amssymb.

    What is longer than a page is continued in further floats.

    name: of its label, tab:NAME. align: l or r for each column (default: all l). notes: below the last rows.
    """
    align = align or "l" * len(columns)
    pieces = [rows[first : first + _LONG] for first in range(0, len(rows), _LONG)] or [()]
    floats = []
    for number, some in enumerate(pieces):
        head = latex_text(caption) + (" (continued)" if number else "")
        label = "" if number else rf"\label{{tab:{name}}}"
        below = notes if number == len(pieces) - 1 else ""
        floats.append(_float(columns, some, rf"\caption{{{head}}}{label}", align, below))
    return "".join(floats)


def _float(columns: Sequence[str], rows: Sequence[Sequence[str]], head: str, align: str, notes: str) -> str:
    close = r"\setlength{\tabcolsep}{3pt}" if len(columns) > _WIDE else ""
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            head,
            # measured first, so that a narrow table keeps its size
            rf"\sbox0{{\small{close}",
            rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}",
            r"\toprule",
            _row(columns),
            r"\midrule",
            *map(_row, rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            *([rf"\par\smallskip\footnotesize {latex_text(notes)}"] if notes else []),
            r"\end{table}",
            "",
        ]
    )


def _row(cells: Sequence[str]) -> str:
    # braces keep a cell that begins with a bracket or star from being read as an option of \\
    return " & ".join("{}" + latex_text(cell) for cell in cells) + r" \\"
