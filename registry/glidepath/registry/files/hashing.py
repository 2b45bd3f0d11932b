"""SHA-256 of files, and of several together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; remembered while the file does not change."""
    return _sha256(path, identity(path))


def together_sha256(hashes: Mapping[str, str]) -> str:
    """The SHA-256 that stands for files: of one its own, of several that of the lines "NAME SHA-256", sorted.

    hashes: the SHA-256 of each by its name.
    """
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{name} {hash_}\n" for name, hash_ in sorted(hashes.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def identity(path: Path) -> tuple[int, ...]:
    """What changes where a file does or another takes its place: ctime too, which no copy keeps."""
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@lru_cache(maxsize=4096)
def _sha256(path: Path, _identity: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
