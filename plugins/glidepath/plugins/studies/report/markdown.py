"""The report as Markdown, with its figures as PNG beside it."""

from __future__ import annotations

import re

from glidepath.plugins.studies.report.document import Code, Document, Drawing, Gallery, Lines, Table


def markdown(document: Document) -> str:
    """A page that reads well as it is, and on a code host."""
    parts = [f"# {_text(document.title)}", _text(document.question), f"**{_text(document.summary)}**"]
    for section in document.sections:
        parts.append(f"## {_text(section.title)}")
        for block in section.blocks:
            if isinstance(block, str):
                parts.append(_text(block))
            elif isinstance(block, Lines):
                parts.append("\n".join(f"- {_text(item.text)}" for item in block.items))
            elif isinstance(block, Table):
                parts.append(markdown_table(block))
            elif isinstance(block, Drawing | Gallery):
                parts.append(
                    f"![{_text(block.caption)}](figures/{block.name}.png)\n\n*{_text(block.caption)}*"
                )
            elif isinstance(block, Code):
                # indented: no text can end it
                parts.append("\n".join(f"    {line}" for line in block.text.splitlines()))
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_table(table: Table) -> str:
    """Caption, rows and notes."""
    heads = [_cell(column.title) for column in table.columns]
    rule = ["---" if column.align == "left" else "---:" for column in table.columns]
    rows = [[_cell(cell.text) for cell in row] for row in table.rows]
    lines = [f"| {' | '.join(row)} |" for row in (heads, rule, *rows)]
    parts = [f"*{_text(table.caption)}*", "\n".join(lines), _text(table.notes)]
    return "\n\n".join(part for part in parts if part)


def _text(text: str) -> str:
    """Plain text: what Markdown or HTML would read as a sign is escaped."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(text.split()))


def _cell(text: str) -> str:
    return _text(text) or " "
