"""The report as LaTeX: tables by booktabs, each in a file for papers to include, and a document of them."""

from __future__ import annotations

from typing import Final

from glidepath.plugins.studies.report.document import (
    Code,
    Document,
    Drawing,
    Gallery,
    Lines,
    Table,
)
from glidepath.registry import latex_table, latex_text

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


def table_file(table: Table) -> str:
    """A table for papers to include."""
    return latex_table(
        table.name,
        table.caption,
        [column.title for column in table.columns],
        [[cell.text for cell in row] for row in table.rows],
        align="".join(column.align[0] for column in table.columns),
        notes=table.notes,
    )


def latex(document: Document) -> str:
    """A document that compiles beside the folders tables/ and figures/."""
    parts = [
        _PREAMBLE,
        rf"\title{{{latex_text(document.title)}}}",
        r"\author{}",
        r"\date{}",
        r"\begin{document}",
        r"\maketitle",
    ]
    parts += [latex_text(document.question), "", rf"\textbf{{{latex_text(document.summary)}}}", ""]
    for section in document.sections:
        parts.append(rf"\section{{{latex_text(section.title)}}}")
        for block in section.blocks:
            if isinstance(block, str):
                parts += [latex_text(block), ""]
            elif isinstance(block, Lines):
                items = [rf"\item {latex_text(item.text)}" for item in block.items]
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


def _typed(line: str) -> str:
    """A line of code: its indentation stays, and two hyphens are no dash."""
    start = len(line) - len(line.lstrip())
    return r"\ " * start + latex_text(line).replace("--", "-{}-")


def _figure(block: Drawing | Gallery) -> str:
    return "\n".join(
        [
            r"\begin{figure}",
            r"\centering",
            rf"\includegraphics[width=\linewidth,height=0.6\textheight,keepaspectratio]{{figures/{block.name}.pdf}}",
            rf"\caption{{{latex_text(block.caption)}}}",
            rf"\label{{fig:{block.name}}}",
            r"\end{figure}",
        ]
    )
