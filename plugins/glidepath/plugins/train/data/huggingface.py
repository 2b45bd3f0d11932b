"""The dataset `huggingface`: what the package datasets has saved."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from glidepath.core import PartError
from glidepath.plugins.train.data.examples import (
    Example,
    Examples,
    RowError,
    finished,
    listed_example_of,
    raise_all,
)
from glidepath.plugins.train.data.pictured import ListedDataset
from glidepath.plugins.train.data.transform import Transform
from glidepath.registry import ImageError, list_names, picture_bytes, picture_sides

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import HuggingfaceConfig


class HuggingfaceDataset(ListedDataset):
    """Every row once in an epoch, in an order that (seed, epoch) decide."""

    config: HuggingfaceConfig

    def __init__(self, config: HuggingfaceConfig, transforms: Sequence[Transform] = ()) -> None:
        """Read all columns but that of the pictures.

        Raises:
            PartError: the package datasets is not installed, or the folder is not what it writes, or a row is
                not as the columns are to be.
        """
        rows = _opened(config)
        examples, problems = Examples(), list[str]()
        for number, row in enumerate(rows.remove_columns(config.image)):
            try:
                name = str(number)
                examples.append(listed_example_of(row, config, name, name))
            except RowError as error:
                problems.append(f"{config.folder}, row {number}: {error}")
        raise_all(problems)
        if not examples:
            raise PartError(f"huggingface: {config.folder} has no rows")
        examples = finished(examples, config, str(config.folder))
        super().__init__(config, config.folder, examples, (), HuggingfacePictures(config), transforms)


class HuggingfacePictures:
    """Pictures in a column."""

    def __init__(self, config: HuggingfaceConfig) -> None:
        from datasets import Image

        self.config = config
        self._rows = _opened(config).select_columns(config.image)
        self._rows = self._rows.cast_column(config.image, Image(decode=False))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.config,)

    def place(self, example: Example) -> str:
        """Its row."""
        return f"{self.config.folder}, row {example.name}"

    def stamp(self, example: Example) -> tuple[int, ...]:
        """Of the data's fingerprint: it changes with them."""
        return (int(self._rows._fingerprint, 16),)

    def read(self, example: Example) -> bytes:
        """The bytes in its row, or of the file that it names."""
        value = self._rows[int(example.name)][self.config.image] or {}
        if value.get("bytes") is not None:
            return bytes(value["bytes"])
        if value.get("path") is None:
            raise ImageError(f"{self.place(example)} holds no picture in column {self.config.image}")
        return picture_bytes(value["path"])

    def sides(self, example: Example) -> tuple[int, int]:
        """Its width and height."""
        return picture_sides(io.BytesIO(self.read(example)), self.place(example))


def _opened(config: HuggingfaceConfig) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise PartError(
            f"{config.folder} is read by the package datasets, which is not installed: "
            "pip install 'glidepath-diffusion[datasets]'"
        ) from error
    try:
        found = datasets.load_from_disk(str(config.folder))
    except (OSError, ValueError) as error:
        raise PartError(f"cannot read {config.folder} as a dataset: {error}") from error
    if isinstance(found, datasets.DatasetDict):
        if config.split not in found:
            raise PartError(f"{config.folder} has no split {config.split!r}; it has {list_names([*found])}")
        found = found[config.split]
    wanted = (config.image, config.text, config.weight, config.label, config.held_out, *config.facts)
    absent = [name for name in filter(None, wanted) if name not in found.column_names]
    if absent:
        there = list_names(found.column_names)
        raise PartError(f"{config.folder} has no column {list_names(absent)}; it has {there}")
    return found
