"""Write the report of a study into a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from glidepath.plugins.studies.report import records
from glidepath.plugins.studies.report.contents import document
from glidepath.plugins.studies.report.document import Block, Document, Drawing, Gallery, Table
from glidepath.plugins.studies.report.latex import latex, table_file
from glidepath.plugins.studies.report.markdown import markdown
from glidepath.plugins.studies.report.page import page
from glidepath.plugins.studies.report.pictures import drawn
from glidepath.plugins.studies.report.style import rendered
from glidepath.plugins.studies.statistics.analysis import Analysis, compare
from glidepath.plugins.studies.statistics.results import StudyResults
from glidepath.registry import write_text, write_whole

#: Tables of raw numbers: the file's name, and what makes its rows.
RECORDS: Final[dict[str, Callable[[Analysis], Iterable[records.Record]]]] = {
    "scores": records.scores,
    "estimates": records.estimates,
    "comparisons": records.comparisons,
    "contrasts": records.contrasts,
    "trends": records.trends,
    "variance": records.variances,
    "interactions": records.interactions,
    "costs": records.costs,
    "failures": records.failures,
}


def write_report(results: StudyResults, folder: Path) -> Path:
    """Analyse a study and write its report; the page's path.

    The folder receives report.html, which stands alone, report.tex and report.md, and beside them figures/
    (PDF and PNG, the image grid with its cells as JSON), images/ (those of the grids, each with what made
    it), tables/ (LaTeX) and data/ (CSV). Files of an earlier report are replaced, each whole or not at all.

    Raises:
        MissingExtra: a package of the extra `studies` is not installed.
        CannotWrite: the folder cannot be written to.
        OSError: an image cannot be read.
    """
    analysis = compare(results)
    told = document(analysis)
    for name, make in RECORDS.items():
        text = records.csv_text(make(analysis))
        if text:
            write_text(folder / "data" / f"{name}.csv", text)
    return write_document(told, folder)


def write_document(told: Document, folder: Path) -> Path:
    """Write a document as HTML, LaTeX and Markdown, with its figures and tables; the page's path.

    The page is written last: where there is one, it has all that it is about beside it.

    Raises as `write_report` does.
    """
    figures, tables = folder / "figures", folder / "tables"
    for block in told.blocks:
        figure = _figure(block)
        if figure is not None:
            assert isinstance(block, Drawing | Gallery)
            _write_bytes(figures / f"{block.name}.pdf", rendered(figure, "pdf"))
            _write_bytes(figures / f"{block.name}.png", rendered(figure, "png"))
        if isinstance(block, Gallery):
            write_text(figures / f"{block.name}.json", _cells(block))
            _copy_images(block, folder / "images")
        if isinstance(block, Table):
            write_text(tables / f"{block.name}.tex", table_file(block))
    write_text(folder / "report.tex", latex(told))
    write_text(folder / "report.md", markdown(told))
    path = folder / "report.html"
    write_text(path, page(told))
    return path


def _figure(block: Block) -> Any:
    if isinstance(block, Drawing):
        return block.figure
    return drawn(block) if isinstance(block, Gallery) else None


def _copy_images(gallery: Gallery, folder: Path) -> None:
    """As they are: each carries what made it."""
    for _, tiles in gallery.rows:
        for tile in tiles:
            if tile.file is not None and tile.name:
                _write_bytes(folder / tile.name, tile.file.read_bytes())


def _write_bytes(path: Path, content: bytes) -> None:
    write_whole(path, lambda partial: partial.write_bytes(content))


def _cells(gallery: Gallery) -> str:
    cells = [
        {
            "row": title,
            "column": column,
            "file": f"images/{tile.name}" if tile.file else None,
            "note": tile.note,
        }
        for title, tiles in gallery.rows
        for column, tile in zip(gallery.columns, tiles, strict=True)
    ]
    return json.dumps(cells, indent=2, ensure_ascii=False) + "\n"
