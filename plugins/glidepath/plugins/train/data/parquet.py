"""Tables in Parquet: rows that name pictures, or hold their bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from glidepath.core import PartError
from glidepath.plugins.train.data.examples import Example, Examples, RowError, listed_example_of
from glidepath.plugins.train.data.rows import Row
from glidepath.registry import ImageError, list_names, picture_sides

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import ListedConfig, TableConfig

_KEPT = 12  # groups of rows whose pictures are in memory


def open_table(path: Path) -> Any:
    """A table in Parquet.

    Raises:
        PartError: it cannot be read, or pyarrow is not installed.
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise PartError(
            f"{path} is read by pyarrow, which is not installed: pip install 'glidepath-diffusion[parquet]'"
        ) from error
    try:
        return parquet.ParquetFile(path, memory_map=True)
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        raise PartError(f"cannot read {path} as Parquet: {error}") from error


def holds_bytes(table: Any, config: TableConfig, path: Path) -> bool:
    """Whether the column of pictures holds them, and not their names.

    Raises:
        PartError: a column is missing, or that of pictures is of another type.
    """
    from pyarrow import types

    schema = table.schema_arrow
    absent = [name for name in _columns(config, config.image) if name not in schema.names]
    if absent:
        raise PartError(f"{path} has no column {list_names(absent)}; it has {list_names(schema.names)}")
    kind = schema.field(config.image).type
    if types.is_struct(kind) and {"bytes"} <= {field.name for field in kind}:
        return True
    if types.is_binary(kind) or types.is_large_binary(kind):
        return True
    if types.is_string(kind) or types.is_large_string(kind):
        return False
    raise PartError(f"{path}: column {config.image} is {kind}, and no names of pictures or their bytes")


def rows(table: Any, config: TableConfig, path: Path) -> Iterator[tuple[str, Row | RowError]]:
    """The rows of a table that names pictures."""
    number = 0
    for batch in table.iter_batches(columns=_columns(config, config.image)):
        for row in batch.to_pylist():
            yield f"{path.name}:{(number := number + 1)}", row


def examples_with_bytes(table: Any, config: TableConfig, path: Path) -> tuple[Examples, list[str]]:
    """The rows of a table that holds pictures, without these, and what is wrong with them."""
    examples, problems = Examples(), list[str]()
    number = 0
    for group in range(table.num_row_groups):
        for row in table.read_row_group(group, columns=_columns(config)).to_pylist():
            place = f"{path.name}:{(number := number + 1)}"
            try:
                examples.append(listed_example_of(row, config, place, place, group))
            except RowError as error:
                problems.append(f"{path.parent / place}: {error}")
    return examples, problems


class ParquetPictures:
    """Pictures whose bytes stand in a column; those of a group of rows are read together."""

    def __init__(self, path: Path, column: str) -> None:
        self.path, self.column = path, column
        self._table = open_table(path)
        counts = [self._table.metadata.row_group(it).num_rows for it in range(self._table.num_row_groups)]
        self._firsts = [sum(counts[:group]) for group in range(len(counts))]
        self._groups: dict[int, Any] = {}
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.column)

    def place(self, example: Example) -> str:
        """Its row."""
        return str(self.path.parent / example.place)

    def stamp(self, example: Example) -> tuple[int, ...]:
        """Size and times of the table."""
        stat = self.path.stat()
        return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

    def read(self, example: Example) -> bytes:
        """The bytes in its row."""
        row = int(example.place.rpartition(":")[2]) - 1 - self._firsts[example.chunk]
        try:
            with self._lock:
                value = self._group(example.chunk)[row].as_py()
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot read {self.place(example)}: {error}") from error
        data = value.get("bytes") if isinstance(value, dict) else value
        if data is None:
            raise ImageError(f"{self.place(example)} holds no picture in column {self.column}")
        return bytes(data)

    def sides(self, example: Example) -> tuple[int, int]:
        """Its width and height."""
        return picture_sides(io.BytesIO(self.read(example)), self.place(example))

    def _group(self, group: int) -> Any:
        if group not in self._groups:
            while len(self._groups) >= _KEPT:
                del self._groups[next(iter(self._groups))]
            self._groups[group] = self._table.read_row_group(group, columns=[self.column])[self.column]
        return self._groups[group]


def _columns(config: ListedConfig, *more: str) -> list[str]:
    named = (*more, config.text, config.weight, config.label, config.held_out, *config.facts)
    return [*dict.fromkeys(filter(None, named))]
