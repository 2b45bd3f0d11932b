"""The report as LaTeX: tables by booktabs, each in a file for papers to include, and a document of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from glidepath.plugins.studies.report.document import (
    Cell,
    Code,
    Document,
    Drawing,
    Gallery,
    Lines,
    Table,
)

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
_PREAMBLE: Final = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage[margin=2cm]{geometry}
\usepackage{amssymb}
\usepackage{booktabs}
\usepackage{float}
\usepackage{graphicx}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
% tables and figures stand near where they are told of, and leave no page half white
\floatplacement{table}{!htbp}
\floatplacement{figure}{!htbp}
\renewcommand{\topfraction}{0.9}
\renewcommand{\bottomfraction}{0.8}
\renewcommand{\textfraction}{0.05}
\renewcommand{\floatpagefraction}{0.75}
\setcounter{topnumber}{4}
\setcounter{bottomnumber}{4}
\setcounter{totalnumber}{8}
"""
_LONG: Final = 56
"""Rows; a table of more is continued in another."""
_WIDE: Final = 9
"""Columns; with more of them a table has them closer together."""


def escaped(text: str) -> str:
    """Plain text as LaTeX, in one line. A sign that pdflatex does not have is named: [U+732B]."""
    made = _PATTERN.sub(lambda found: _ESCAPES[found[0]], " ".join(text.split()))
    return _UNKNOWN.sub(lambda found: f"[U+{ord(found[0]):04X}]", made)


def latex_table(table: Table) -> str:
    """A table float; wider ones are shrunk to the width of the text. Needs booktabs, graphicx, amssymb.

    What is longer than a page is continued in further floats.
    """
    pieces = [table.rows[first : first + _LONG] for first in range(0, len(table.rows), _LONG)] or [()]
    floats = []
    for number, rows in enumerate(pieces):
        caption = escaped(table.caption) + (" (continued)" if number else "")
        label = "" if number else rf"\label{{tab:{table.name}}}"
        floats.append(_float(table, rows, rf"\caption{{{caption}}}{label}", last=rows is pieces[-1]))
    return "".join(floats)


def _float(table: Table, rows: Sequence[tuple[Cell, ...]], head: str, *, last: bool) -> str:
    align = "".join("l" if column.align == "left" else "r" for column in table.columns)
    close = r"\setlength{\tabcolsep}{3pt}" if len(table.columns) > _WIDE else ""
    notes = [rf"\par\smallskip\footnotesize {escaped(table.notes)}"] if table.notes and last else []
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            head,
            # measured first, so that a narrow table keeps its size
            rf"\sbox0{{\small{close}",
            rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}",
            r"\toprule",
            _row([Cell(column.title) for column in table.columns]),
            r"\midrule",
            *map(_row, rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            *notes,
            r"\end{table}",
            "",
        ]
    )


def latex(document: Document) -> str:
    """A document that compiles beside the folders tables/ and figures/."""
    parts = [
        _PREAMBLE,
        rf"\title{{{escaped(document.title)}}}",
        r"\author{}",
        r"\date{}",
        r"\begin{document}",
        r"\maketitle",
    ]
    parts += [escaped(document.question), "", rf"\textbf{{{escaped(document.summary)}}}", ""]
    for section in document.sections:
        parts.append(rf"\section{{{escaped(section.title)}}}")
        for block in section.blocks:
            if isinstance(block, str):
                parts += [escaped(block), ""]
            elif isinstance(block, Lines):
                items = [rf"\item {escaped(item.text)}" for item in block.items]
                parts += [r"\begin{itemize}", *items, r"\end{itemize}"]
            elif isinstance(block, Table):
                parts.append(rf"\input{{tables/{block.name}.tex}}")
            elif isinstance(block, Drawing | Gallery):
                parts.append(_figure(block))
            elif isinstance(block, Code):
                # a verbatim text could end its environment; so it is written as lines of typewriter
                lines = [rf"\texttt{{{_typed(line)}}}\\" for line in block.text.splitlines() if line.strip()]
                parts += [r"{\footnotesize\raggedright\noindent", *lines, "}", ""]
    return "\n".join([*parts, r"\end{document}", ""])


def _row(cells: list[Cell] | tuple[Cell, ...]) -> str:
    # braces keep a cell that begins with a bracket or star from being read as an option of \\
    return " & ".join("{}" + escaped(cell.text) for cell in cells) + r" \\"


def _typed(line: str) -> str:
    """A line of code: its indentation stays, and two hyphens are no dash."""
    start = len(line) - len(line.lstrip())
    return r"\ " * start + escaped(line).replace("--", "-{}-")


def _figure(block: Drawing | Gallery) -> str:
    return "\n".join(
        [
            r"\begin{figure}",
            r"\centering",
            rf"\includegraphics[width=\linewidth,height=0.6\textheight,keepaspectratio]{{figures/{block.name}.pdf}}",
            rf"\caption{{{escaped(block.caption)}}}",
            rf"\label{{fig:{block.name}}}",
            r"\end{figure}",
        ]
    )
