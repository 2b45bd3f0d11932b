"""The tracker `csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from glidepath.plugins.trackers.configs import CsvConfig
from glidepath.plugins.trackers.tracker import Tracker
from glidepath.registry import write_text

_STEP = "step"


class CsvTracker(Tracker):
    """A line for each step that has figures. A figure that comes later gets a column at the end."""

    def __init__(self, config: CsvConfig) -> None:
        self.config = config
        self._columns: list[str] = [_STEP]

    @property
    def path(self) -> Path:
        """The file."""
        return self.subject.folder / self.config.file

    def begin(self, step: int) -> None:
        """Drop what comes after `step`."""
        rows = [row for row in self._rows() if int(row[_STEP]) <= step] if step else []
        self._columns = list(dict.fromkeys([_STEP, *(name for row in rows for name in row)]))
        self._write(rows)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Add a line."""
        row = {_STEP: step, **values}
        new = [name for name in row if name not in self._columns]
        if new:
            rows: list[Mapping[str, object]] = [*self._rows()]
            self._columns += new
            self._write([*rows, row])
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, restval="").writerow(row)

    def _rows(self) -> list[dict[str, str]]:
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                return [row for row in csv.DictReader(file) if (row.get(_STEP) or "").isdecimal()]
        except OSError:
            return []

    def _write(self, rows: Iterable[Mapping[str, object]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())
