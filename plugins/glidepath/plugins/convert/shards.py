"""The checkpoints among the files that are to be converted; those in several files are put together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core import GlidepathError
from glidepath.registry import is_index, list_names, read_index, read_state_dicts, read_together

if TYPE_CHECKING:
    from torch import Tensor

_SHARD = re.compile(r"(.+?)[-_.](\d+)[-_.]of[-_.](\d+)(\.\w+)")


def read_files(paths: Iterable[Path]) -> Iterator[tuple[Path, Mapping[str, Mapping[str, Tensor]]]]:
    """The state dicts of each checkpoint, by where they are, and its path; shards are put together.

    Raises:
        GlidepathError: a file cannot be read, or shards are missing.
    """
    given = list(dict.fromkeys(paths))
    indexes = {path: read_index(path) for path in given if is_index(path.name)}
    indexed = {path.parent / name for path, files in indexes.items() for name in files}
    shards: dict[Path, dict[int, Path]] = {}
    for path in given:
        if path in indexes:
            whole = path.with_name(path.name.rpartition(".index.")[0])
            files = {path.parent / name: keys for name, keys in indexes[path].items()}
            yield whole, {"": read_together(files)}
        elif path not in indexed and (found := _SHARD.fullmatch(path.name)) and int(found[3]) > 1:
            shards.setdefault(path.with_name(f"{found[1]}{found[4]}"), {})[int(found[2])] = path
        elif path not in indexed:
            if not path.is_file():
                is_folder = f"{path} is a folder; name the checkpoint in it"
                raise GlidepathError(is_folder if path.is_dir() else f"there is no file {path}")
            yield path, read_state_dicts(path, lists=True)
    for whole, numbered in shards.items():
        _require_all(numbered)
        yield whole, {"": read_together(dict.fromkeys(numbered.values(), ()))}


def _require_all(numbered: Mapping[int, Path]) -> None:
    number, path = next(iter(numbered.items()))
    match = _SHARD.fullmatch(path.name)
    assert match is not None  # how it was found
    missing = [it for it in range(1, int(match[3]) + 1) if it not in numbered]
    if missing:
        raise GlidepathError(
            f"{path} is file {number} of {int(match[3])} of one checkpoint, and without "
            f"{list_names([f'file {it}' for it in missing])} there is none; give all of them, or their index"
        )
