"""Shards: tar files of pictures and what is said of them, here or wherever fsspec reads from."""

from __future__ import annotations

import glob
import hashlib
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO, cast

import attrs

from glidepath.core import PartError
from glidepath.plugins.train.data.examples import held_by_name
from glidepath.registry import PICTURE_SUFFIXES, ImageError, list_names, open_file

PICTURE = "picture"
"""What stands for any ending of a picture among the members of a sample."""

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_BYTES = 2**28


@attrs.frozen
class Member:
    """Where the bytes of one file of a sample lie in its shard."""

    offset: int
    size: int


@attrs.frozen
class Sample:
    """The files of one name in a shard, by their endings; that of the picture is `PICTURE`."""

    key: str
    members: Mapping[str, Member]


def shards_of(patterns: Sequence[str]) -> list[str]:
    """The shards that patterns name: {000..099} stands for numbers, * for any letters.

    Raises:
        PartError: a pattern names none, or fsspec is needed and not installed.
    """
    found: list[str] = []
    for pattern in patterns:
        for spelt in _spelt_out(pattern):
            if is_remote(spelt):
                system, path = _system(spelt)
                start = spelt[: len(spelt) - len(path)] if spelt.endswith(path) else ""
                named = [start + name for name in sorted(system.glob(path))] if "*" in path else [spelt]
            else:
                named = sorted(glob.glob(spelt))
            if not named:
                raise PartError(f"webdataset: there is no shard {spelt}")
            found += named
    return found


def is_remote(shard: str) -> bool:
    """Whether a shard is an address of fsspec's and no path."""
    return "://" in shard


def open_shard(shard: str) -> BinaryIO:
    """Open a shard to be read anywhere in it.

    Raises:
        OSError: it cannot be opened.
    """
    if not is_remote(shard):
        return open_file(shard)
    system, path = _system(shard)
    return cast(BinaryIO, system.open(path, "rb"))


def samples_of(shard: str) -> Iterator[Sample]:
    """The samples of a shard that have a picture, in their order: members that follow one another, of one
    name up to its first dot.

    Raises:
        PartError: it cannot be read, or is no tar file.
    """
    key = ""
    members: dict[str, Member] = {}
    try:
        with open_shard(shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it would remember them all
                if not member.isreg():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, _, ending = name.partition(".")
                this = f"{folder}/{stem}" if folder else stem
                if this != key:
                    if PICTURE in members:
                        yield Sample(key, members)
                    key, members = this, {}
                kind = PICTURE if f".{ending.lower()}" in PICTURE_SUFFIXES else ending.lower()
                members[kind] = Member(member.offset_data, member.size)
            if PICTURE in members:
                yield Sample(key, members)
    except (OSError, tarfile.TarError) as error:
        raise PartError(f"cannot read shard {shard}: {error}") from error


def identity(shard: str) -> tuple[str, tuple[int, ...]]:
    """The stamp of a shard by which its hash is known again, after a hash if that costs no reading: what the
    system of an address says of the file.

    Raises:
        OSError: it is not there.
    """
    if is_remote(shard):
        system, path = _system(shard)
        return hashlib.sha256(str(system.ukey(path)).encode()).hexdigest(), ()
    stat = Path(shard).stat()
    return "", (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


class OpenShards:
    """Reads members; a few shards stay open, with what lies where in them."""

    def __init__(self, shards: Sequence[str], most: int, share: float, held: bool) -> None:
        """share: of the samples that is held out. held: whether these are read, or the others."""
        self.shards, self._most, self._share, self._held = shards, most, share, held
        self._open: dict[int, tuple[list[Sample], BinaryIO]] = {}
        self._lock = RLock()  # files have one position, and are closed for others to be opened

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.shards, self._most, self._share, self._held)

    def samples(self, shard: int) -> Iterator[Sample]:
        """Those of a shard that are read, in their order."""
        found = samples_of(self.shards[shard])
        return (it for it in found if held_by_name(it.key, self._share) == self._held)

    def sample(self, shard: int, row: int) -> Sample:
        """One of them, by its number."""
        return self._opened(shard)[0][row]

    def read(self, shard: int, member: Member) -> bytes:
        """The bytes of a member.

        Raises:
            ImageError: the shard is cut short, or the member is too large.
        """
        name = self.shards[shard]
        if member.size > _MOST_BYTES:
            raise ImageError(f"{name} holds a file of {member.size:,} bytes: {_MOST_BYTES:,} are the most")
        try:
            with self._lock:
                file = self._opened(shard)[1]
                file.seek(member.offset)
                data = file.read(member.size)
        except OSError as error:
            raise ImageError(f"cannot read {name}: {error}") from error
        if len(data) < member.size:
            raise ImageError(f"{name} is cut short")
        return data

    def _opened(self, shard: int) -> tuple[list[Sample], BinaryIO]:
        with self._lock:
            if shard not in self._open:
                while len(self._open) >= self._most:
                    self._open.pop(next(iter(self._open)))[1].close()
                self._open[shard] = [*self.samples(shard)], open_shard(self.shards[shard])
            return self._open[shard]


def _spelt_out(pattern: str) -> Iterator[str]:
    """The names of a pattern with ranges of numbers, which are padded as the first is."""
    parts = _RANGE.split(pattern)
    texts, firsts, lasts = parts[::3], parts[1::3], parts[2::3]
    ranges = [
        [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
        for first, last in zip(firsts, lasts, strict=True)
    ]
    if not all(ranges):
        raise PartError(f"webdataset: a range of {pattern} ends before it begins")
    for numbers in product(*ranges):
        yield texts[0] + "".join(number + text for number, text in zip(numbers, texts[1:], strict=True))


def _system(shard: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise PartError(
            f"{shard} is read by fsspec, which is not installed: pip install 'glidepath-diffusion[remote]'"
        ) from error
    try:
        system, path = fsspec.core.url_to_fs(shard)
    except (ImportError, ValueError) as error:
        raise PartError(f"fsspec cannot read {list_names([shard])}: {error}") from error
    return system, path
