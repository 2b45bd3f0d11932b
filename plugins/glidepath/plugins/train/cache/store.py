"""Tensors by a hash of what they are made of, in safetensors files that are only added to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.registry import utf_8_name, write_tensors

FORMAT = "glidepath-cache-1"

_KEYS = "keys"
_BYTES = 16  # of each key
_MOST = 2**26  # bytes of rows that are gathered before a file is written

Row = Mapping[str, Tensor]


class CacheError(GlidepathError):
    """A cache cannot be used; the message says which, and why."""


class Store:
    """Rows of tensors by their keys, each a hash.

    A file holds rows whose tensors have the same names, shapes and types: `keys` [N, 16] uint8, and each
    tensor [N, ...]. What is remembered of a row is its key and its place, 24 bytes.
    """

    def __init__(self, folder: Path) -> None:
        """Read which keys there are.

        Raises:
            CacheError: a file is damaged, or none of this version.
        """
        self.folder = folder
        self._files = sorted(folder.glob("*.safetensors"))
        self._open: dict[int, Any] = {}
        self._waiting: dict[tuple[Any, ...], dict[bytes, Row]] = {}
        keys, places = [np.empty((0, _BYTES), np.uint8)], [np.empty((0, 2), np.int32)]
        for number in range(len(self._files)):
            found = self._file(number).get_tensor(_KEYS).numpy()
            keys.append(found)
            places.append(np.stack([np.full(len(found), number), np.arange(len(found))], 1).astype(np.int32))
        packed = np.concatenate(keys).view(np.uint64)
        order = np.argsort(packed[:, 0], kind="stable")
        self._keys, self._places = packed[order], np.concatenate(places)[order]
        self._new: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._keys) + len(self._new)

    def __contains__(self, key: bytes) -> bool:
        return key[:_BYTES] in self._new or self._place(key) is not None

    def row(self, key: bytes) -> Row | None:
        """The tensors of a key, each without its first dimension; None where there are none."""
        place = self._place(key)
        if place is None:
            return None
        file = self._file(place[0])
        return {
            name: file.get_slice(name)[place[1] : place[1] + 1][0]
            for name in file.keys()  # noqa: SIM118 - not a mapping
            if name != _KEYS
        }

    def add(self, key: bytes, row: Row) -> None:
        """Keep a row; it is read from the next opening on.

        Raises:
            CannotWrite: the file cannot be written.
        """
        if key in self:
            return
        like = tuple((name, tuple(it.shape), str(it.dtype)) for name, it in sorted(row.items()))
        waiting = self._waiting.setdefault(like, {})
        waiting[key[:_BYTES]] = {name: it.detach().cpu() for name, it in row.items()}
        self._new.add(key[:_BYTES])
        if len(waiting) * sum(it.nbytes for it in row.values()) >= _MOST:
            self._write(self._waiting.pop(like))

    def flush(self) -> None:
        """Write what waits to be written."""
        for rows in self._waiting.values():
            self._write(rows)
        self._waiting = {}

    def _write(self, rows: Mapping[bytes, Row]) -> None:
        names = next(iter(rows.values())).keys()
        keys = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, _BYTES).copy()
        tensors = {name: torch.stack([row[name] for row in rows.values()]) for name in names}
        path = self.folder / f"{next(iter(rows)).hex()}.safetensors"
        write_tensors(path, {_KEYS: torch.from_numpy(keys), **tensors}, {"format": FORMAT})

    def _place(self, key: bytes) -> tuple[int, int] | None:
        wanted = np.frombuffer(key[:_BYTES], np.uint64)
        first, last = (int(np.searchsorted(self._keys[:, 0], wanted[0], side)) for side in ("left", "right"))
        for at in range(first, last):  # one, but that two keys may begin alike
            if self._keys[at, 1] == wanted[1]:
                return int(self._places[at, 0]), int(self._places[at, 1])
        return None

    def _file(self, number: int) -> Any:
        if number not in self._open:
            path = self._files[number]
            try:
                with utf_8_name(path) as name:
                    file: Any = safe_open(name, framework="pt")
                if (file.metadata() or {}).get("format") != FORMAT:
                    raise CacheError(f"{path} is no file of a cache that this version reads ({FORMAT})")
            except (OSError, SafetensorError) as error:
                raise CacheError(f"{path} cannot be read ({error}); delete it, and cache again") from error
            self._open[number] = file
        return self._open[number]


def stacked(rows: Sequence[Row]) -> dict[str, Tensor]:
    """Rows of the same names and shapes as one batch."""
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
