"""The report as LaTeX: tables by booktabs, each in a file to be included, and a document that includes "
"all."""

from __future__ import annotations

import re
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
_PREAMBLE: Final = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage[margin=2cm]{geometry}
\usepackage{amssymb}
\usepackage{booktabs}
\usepackage{graphicx}
"""


def escaped(text: str) -> str:
    """Plain text as LaTeX."""
    return _PATTERN.sub(lambda found: _ESCAPES[found[0]], text)


def latex_table(table: Table) -> str:
    """A table float; wider ones are shrunk to the width of the text. Needs booktabs, graphicx, amssymb."""
    align = "".join("l" if column.align == "left" else "r" for column in table.columns)
    rows = [_row([Cell(column.title) for column in table.columns]), r"\midrule", *map(_row, table.rows)]
    notes = [rf"\par\smallskip\footnotesize {escaped(table.notes)}"] if table.notes else []
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escaped(table.caption)}}}",
            rf"\label{{tab:{table.name}}}",
            # measured first, so that a narrow table keeps its size
            r"\sbox0{\small",
            rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}",
            r"\toprule",
            *rows,
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
                lines = [rf"\texttt{{{escaped(line)}}}\\" for line in block.text.splitlines() if line.strip()]
                parts += [r"{\footnotesize\raggedright\noindent", *lines, "}", ""]
        parts.append(r"\clearpage")
    return "\n".join([*parts, r"\end{document}", ""])


def _row(cells: list[Cell] | tuple[Cell, ...]) -> str:
    # braces keep a cell that begins with a bracket or star from being read as an option of \\
    return " & ".join("{}" + escaped(cell.text) for cell in cells) + r" \\"


def _figure(block: Drawing | Gallery) -> str:
    return "\n".join(
        [
            r"\begin{figure}[htbp]",
            r"\centering",
            rf"\includegraphics[width=\linewidth,height=0.85\textheight,keepaspectratio]{{figures/{block.name}.pdf}}",
            rf"\caption{{{escaped(block.caption)}}}",
            rf"\label{{fig:{block.name}}}",
            r"\end{figure}",
        ]
    )
