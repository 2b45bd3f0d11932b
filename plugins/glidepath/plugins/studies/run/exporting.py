"""Every score of a study as a file for other programs: CSV, or Parquet with the extra `parquet`."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import IO, Literal

from glidepath.plugins.studies.store.summary import Summary
from glidepath.registry import UsageError, needed, write_whole

Format = Literal["csv", "parquet"]

_ENDINGS: dict[str, Format] = {".csv": "csv", ".parquet": "parquet"}

COLUMNS = ("arm", "train_seed", "sample_seed", "metric", "prompt", "value")
"""Seeds and prompts by their places in the study's lists; a trial without a score has no row."""


def format_of(out: Path | None, stated: Format | None) -> Format:
    """What to write: as stated, else by the ending of the file; on the standard output CSV.

    Raises:
        GlidepathError: the ending is that of none of the formats.
    """
    if stated is not None:
        return stated
    if out is None:
        return "csv"
    if out.suffix.lower() not in _ENDINGS:
        raise UsageError(
            f"--out {out}: scores are written as CSV or Parquet; name a file that ends in "
            f"{' or '.join(_ENDINGS)}, or say which with --format"
        )
    return _ENDINGS[out.suffix.lower()]


def write_csv(summary: Summary, file: IO[str]) -> int:
    """Write the scores as CSV; returns how many. One that is no number is empty."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    rows = list(summary.scores())
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return len(rows)


def write_file(summary: Summary, path: Path, chosen: Format) -> int:
    """Write the scores into a file, whole or not at all; returns how many.

    Raises:
        MissingExtra: Parquet is asked for, and pyarrow is not installed.
        CannotWrite: that cannot be.
    """
    if chosen == "parquet":
        return _write_parquet(summary, path)
    text = io.StringIO(newline="")
    count = write_csv(summary, text)
    write_whole(path, lambda partial: partial.write_bytes(text.getvalue().encode()))
    return count


def _write_parquet(summary: Summary, path: Path) -> int:
    arrow = needed("pyarrow", "Parquet files", extra="parquet")
    parquet = needed("pyarrow.parquet", "Parquet files", extra="parquet")
    rows = list(summary.scores())
    text, whole, number = arrow.string(), arrow.int64(), arrow.float64()
    types = dict(zip(COLUMNS, (text, whole, whole, text, whole, number), strict=True))
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    arrays = [arrow.array(list(column), kind) for column, kind in zip(columns, types.values(), strict=True)]
    made = arrow.Table.from_arrays(arrays, schema=arrow.schema(list(types.items())))
    write_whole(path, lambda partial: parquet.write_table(made, partial))
    return len(rows)
