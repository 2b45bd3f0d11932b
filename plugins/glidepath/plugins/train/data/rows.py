"""The rows of tables: CSV, lines of JSON, Parquet. Each has the place where it is written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from glidepath.core import PartError
from glidepath.plugins.train.data.examples import MOST, Examples, RowError, listed_example_of, missing
from glidepath.registry import read_lines, read_text

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import ListedConfig

Row = Mapping[str, Any]

_LONGEST = 2**20  # characters of a field of CSV


def csv_rows(
    path: Path, needed: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[str, Row | RowError]]:
    """The rows below the first, which names the columns.

    needed: columns, after the parameters that name them.

    Raises:
        PartError: it cannot be read, no columns are named, or one that is needed is not.
    """
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        csv.field_size_limit(_LONGEST)
        header = next(reader, [])
        if not header or len({*header}) < len(header):
            raise PartError(f"{path}: its first line names the columns, each once, and this is {header}")
        for parameter, column in needed.items():
            if column not in header:
                raise PartError(
                    f"{path}: there is no column {column!r} ({parameter}); its first line names "
                    f"{', '.join(header)}"
                )
        first = reader.line_num + 1
        for values in reader:
            place, first = f"{path.name}:{first}", reader.line_num + 1
            if values and len(values) != len(header):
                yield place, RowError(f"it has {len(values)} values, and there are {len(header)} columns")
            elif values:  # what is empty is absent
                yield place, {key: it for key, it in zip(header, values, strict=True) if it}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PartError(f"cannot read {path}: {error}") from error


def json_rows(path: Path) -> Iterator[tuple[str, Row | RowError]]:
    """The lines that are not empty, each an object of JSON.

    Raises:
        PartError: it cannot be read.
    """
    try:
        lines = read_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise PartError(f"cannot read captions from {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"{path.name}:{number}", _parsed(line)


def examples_of(
    rows: Iterator[tuple[str, Row | RowError]],
    config: ListedConfig,
    where: Path,
    column: str,
    find: Callable[[str], str],
    fault: Callable[[str], str],
    names: Sequence[str] = (),
    *,
    as_json: bool = True,
) -> tuple[Examples, list[str]]:
    """The pictures that rows name, and what is wrong with them.

    where: the folder of the rows' file. column: has the names. find: a name as it is on this system. fault:
    what keeps it from being a picture. names: of pictures, for who mistyped one. as_json: what a row
    is to be is told as a line of JSON.
    """
    form = ""
    if as_json:
        form = f'a line is {{"{column}": "a.png", "{config.text}": "a caption"}}: '
    examples, problems = Examples(), list[str]()
    for place, row in rows:
        try:
            if isinstance(row, RowError):
                raise row
            name = row.get(column)
            if not isinstance(name, str) or not name or "\0" in name:
                raise RowError(f"{column!r} is the name of a picture, and not {name!r}")
            example = listed_example_of(row, config, find(name), place)
        except RowError as error:
            problems.append(f"{where / place}: {form}{error}")
            continue
        what = missing(example.name, fault, names, len(problems) < MOST)
        if what:
            problems.append(f"{where / place}: {what}")
        else:
            examples.append(example)
    return examples, problems


def _parsed(line: str) -> Row | RowError:
    try:
        row = _JSON.decode(line)
        return row if isinstance(row, dict) else RowError("it is no object of JSON")
    except (ValueError, RecursionError) as error:
        return RowError(str(error))


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        raise ValueError("a key is there twice")
    return entry


_JSON = json.JSONDecoder(object_pairs_hook=_each_key_once)
