"""Checkpoints that lie in several files, and the index that says which tensor is in which."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core import GlidepathError
from glidepath.registry import list_names, read_bytes, read_state_dicts, read_tensors

if TYPE_CHECKING:
    from torch import Tensor

_SHARD = re.compile(r"(.+?)[-_.](\d+)[-_.]of[-_.](\d+)(\.\w+)")
_INDEX = ".index.json"
_LARGEST_INDEX = 64 * 2**20


def read_files(paths: Iterable[Path]) -> Iterator[tuple[Path, Mapping[str, Mapping[str, Tensor]]]]:
    """The state dicts of each checkpoint, by where they are, and its path; shards are put together.

    Raises:
        GlidepathError: a file cannot be read, or shards are missing.
    """
    given = list(dict.fromkeys(paths))
    indexes = {path: _index(path) for path in given if path.name.endswith(_INDEX)}
    indexed = {path.parent / name for path, files in indexes.items() for name in files}
    shards: dict[Path, dict[int, Path]] = {}
    for path in given:
        if path in indexes:
            whole = path.with_name(path.name.removesuffix(_INDEX))
            yield whole, {"": _joined({path.parent / name: keys for name, keys in indexes[path].items()})}
        elif path not in indexed and (found := _SHARD.fullmatch(path.name)) and int(found[3]) > 1:
            shards.setdefault(path.with_name(f"{found[1]}{found[4]}"), {})[int(found[2])] = path
        elif path not in indexed:
            _require_file(path)
            yield path, read_state_dicts(path, lists=True)
    for whole, numbered in shards.items():
        _require_all(numbered)
        yield whole, {"": _joined(dict.fromkeys(numbered.values()))}


def _index(path: Path) -> dict[str, set[str]]:
    """The files that an index names, beside it, with the tensors of each."""
    _require_file(path)
    files: dict[str, set[str]] = {}
    try:
        for key, name in json.loads(read_bytes(path, _LARGEST_INDEX))["weight_map"].items():
            if not isinstance(name, str) or name in ("", "..") or Path(name).name != name or "\\" in name:
                raise ValueError(f"{name!r} is not the name of a file beside it")
            files.setdefault(name, set()).add(key)
        if not files:
            raise ValueError("it names no file")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        what = f"it has no {error}" if isinstance(error, LookupError) else error
        raise GlidepathError(f"{path} is no index of a checkpoint: {what}") from error
    return files


def _joined(files: Mapping[Path, set[str] | None]) -> dict[str, Tensor]:
    """The tensors of all files; of those with names, these must be there."""
    joined: dict[str, Tensor] = {}
    for path, names in files.items():
        _require_file(path)
        tensors = read_tensors(path)
        if twice := joined.keys() & tensors.keys():
            raise GlidepathError(f"{path} holds what another of the files holds: {list_names(sorted(twice))}")
        if lacking := (names or set()) - tensors.keys():
            raise GlidepathError(f"{path} lacks what its index names: {list_names(sorted(lacking))}")
        joined |= tensors
    return joined


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


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise GlidepathError(f"{path} is a folder; name the checkpoint in it")
    if not path.exists():
        raise GlidepathError(f"there is no file {path}")
