"""A report as text, as Markdown, and as one HTML page that refers to nothing outside itself."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path

from glidepath.plugins.judge.analysis.analysis import Analysis
from glidepath.plugins.judge.report.contents import Document, Forest, Table, as_json, document
from glidepath.registry import latex_table, text_table, write_text

_STYLE = Path(__file__).with_name("page.css")
_WIDE, _HIGH = 420, 40
"""Of the scale of a forest, and of each of its rows, in pixels: a phone shows them nearly as they are."""

_LONGEST = 62


def write_report(analysis: Analysis, folder: Path) -> Path:
    """Write report.json, report.md, tables/ (LaTeX) and report.html, which is last; the page's path.

    Raises:
        CannotWrite: the folder cannot be written to.
    """
    told = document(analysis)
    written = json.dumps(as_json(analysis), ensure_ascii=False, indent=1)
    write_text(folder / "report.json", written + "\n")
    write_text(folder / "report.md", as_markdown(told))
    for name, text in as_latex(told).items():
        write_text(folder / "tables" / f"{name}.tex", text)
    page = folder / "report.html"
    write_text(page, as_html(told))
    return page


def as_text(told: Document) -> str:
    """For a terminal."""

    def lines() -> Iterator[str]:
        yield f"{told.title}: {told.question}\n"
        yield textwrap.fill(told.summary, 110)
        for section in told.sections:
            yield f"\n{section.title}\n{'-' * len(section.title)}"
            for block in section.blocks:
                if isinstance(block, str):
                    yield textwrap.fill(block, 110)
                elif isinstance(block, Table):
                    yield text_table([block.columns, *block.rows])

    return "\n".join(lines())


def as_markdown(told: Document) -> str:
    """A page that reads well as it is, and on a code host."""

    def parts() -> Iterator[str]:
        yield f"# {_plain(told.title)}"
        yield _plain(told.question)
        yield f"**{_plain(told.summary)}**"
        for section in told.sections:
            yield f"## {_plain(section.title)}"
            for block in section.blocks:
                if isinstance(block, str):
                    yield _plain(block)
                elif isinstance(block, Table):
                    rows = [block.columns, ["---"] * len(block.columns), *block.rows]
                    lines = [f"| {' | '.join(_plain(it) or ' ' for it in row)} |" for row in rows]
                    yield f"*{_plain(block.caption)}*"
                    yield "\n".join(lines)

    return "\n\n".join(parts()) + "\n"


def as_latex(told: Document) -> dict[str, str]:
    """Each table for papers to include, by booktabs, under a name of its section and number."""
    found = {}
    for section in told.sections:
        tables = [block for block in section.blocks if isinstance(block, Table)]
        for number, table in enumerate(tables, 1):
            name = re.sub(r"[^a-z0-9]+", "-", f"{section.title} {number}".lower()).strip("-")
            found[name] = latex_table(name, table.caption, table.columns, table.rows)
    return found


def as_html(told: Document) -> str:
    """Without a script; every text is escaped."""

    def body() -> Iterator[str]:
        yield f"<h1>{escape(told.title)}</h1>"
        yield f'<p class="question">{escape(told.question)}</p><p class="summary">{escape(told.summary)}</p>'
        for section in told.sections:
            yield f"<section><h2>{escape(section.title)}</h2>"
            for block in section.blocks:
                if isinstance(block, Table):
                    yield _table(block)
                elif isinstance(block, Forest):
                    yield _forest(block)
                else:
                    yield f"<p>{escape(block)}</p>"
            yield "</section>"

    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(told.title)}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        + "\n".join(body())
        + "\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(it)}</{tag}>" for it in cells) + "</tr>"

    rows = "\n".join(row(cells, "td") for cells in table.rows)
    written = (
        f'<div class="wide"><table><caption>{escape(table.caption)}</caption>'
        f"<thead>{row(table.columns, 'th')}</thead><tbody>{rows}</tbody></table></div>"
    )
    return (
        f"<details><summary>All {len(table.rows)}</summary>{written}</details>" if table.folded else written
    )


def _forest(forest: Forest) -> str:
    high, edge = _HIGH * len(forest.rows) + 26, 18
    middle = edge + _WIDE / 2
    drawn = [f'<line class="axis" x1="{middle}" x2="{middle}" y1="0" y2="{high - 22}"/>']
    for number, (title, rate) in enumerate(forest.rows):
        y = _HIGH * number + 28
        low, value, top = (edge + _WIDE * it for it in (rate.low, rate.value, rate.high))
        shown = title if len(title) <= _LONGEST else title[: _LONGEST - 1] + "…"
        drawn.append(
            f'<text x="{edge}" y="{y - 12}">{escape(shown)}<title>{escape(title)}</title></text>'
            f'<line x1="{low:.1f}" x2="{top:.1f}" y1="{y}" y2="{y}"/>'
            f'<circle cx="{value:.1f}" cy="{y}" r="4"/>'
        )
    for share in (0.0, 0.5, 1.0):
        x = edge + _WIDE * share
        drawn.append(f'<text x="{x}" y="{high - 6}" text-anchor="middle">{share:.0%}</text>')
    width = _WIDE + 2 * edge
    return (
        f'<figure><svg viewBox="0 0 {width} {high}" width="{width}" height="{high}" role="img" '
        f'aria-label="{escape(forest.caption)}">{"".join(drawn)}</svg>'
        f"<figcaption>{escape(forest.caption)}</figcaption></figure>"
    )


def _plain(text: str) -> str:
    """Plain text: what Markdown or HTML would read as a sign is escaped."""
    return text if text == "---" else re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(text.split()))
