"""The dataset `table`: a row for each captioned image, in CSV, lines of JSON or Parquet."""

from __future__ import annotations

import os
from collections.abc import Sequence

from glidepath.core import PartError
from glidepath.plugins.train.data.configs import TableConfig
from glidepath.plugins.train.data.examples import Examples, finished, normal, raise_all
from glidepath.plugins.train.data.folder import FilePictures
from glidepath.plugins.train.data.listing import faults_in
from glidepath.plugins.train.data.pictured import ListedDataset, SizedPictures
from glidepath.plugins.train.data.rows import csv_rows, examples_of, json_rows
from glidepath.plugins.train.data.transform import Transform

_LINES = (".csv", ".jsonl")


class CaptionedTable(ListedDataset):
    """Every row once in an epoch, in an order that (seed, epoch) decide."""

    config: TableConfig

    def __init__(self, config: TableConfig, transforms: Sequence[Transform] = ()) -> None:
        """Read the rows.

        Raises:
            PartError: the table cannot be read, has no rows, or a row is not as the columns are to be.
        """
        examples, pictures = _read(config)
        if not examples:
            raise PartError(f"table: {config.file} has no rows")
        examples = finished(examples, config, str(config.file))
        super().__init__(config, config.file.parent, examples, (), pictures, transforms)


def _read(config: TableConfig) -> tuple[Examples, SizedPictures]:
    path, folder = config.file, config.file.parent
    suffix = path.suffix.lower()
    pictures: SizedPictures = FilePictures(folder)
    if suffix == ".parquet":
        from glidepath.plugins.train.data import parquet

        table = parquet.open_table(path)
        if parquet.holds_bytes(table, config, path):
            examples, problems = parquet.examples_with_bytes(table, config, path)
            raise_all(problems)
            return examples, parquet.ParquetPictures(path, config.image)
        rows = parquet.rows(table, config, path)
    elif suffix in _LINES:
        columns = {"data.image": config.image, "data.text": config.text}
        rows = csv_rows(path, columns) if suffix == ".csv" else json_rows(path)
    else:
        raise PartError(f"table: {path} is to end in {', '.join(_LINES)} or .parquet")

    def find(name: str) -> str:
        return name if os.path.isfile(os.path.join(folder, name)) else normal(name)

    examples, problems = examples_of(
        rows, config, folder, config.image, find, faults_in(folder), as_json=suffix == ".jsonl"
    )
    raise_all(problems)
    return examples, pictures
