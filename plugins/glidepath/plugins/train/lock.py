"""One process at a time in a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glidepath.core.errors import GlidepathError


class FolderInUse(GlidepathError):
    """Another process is training into the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock. The operating system lets go of it when the process dies, however it dies.

    So a `.lock` file that a killed process left is no obstacle, whatever process has its number by now.

    Raises:
        FolderInUse: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _take(descriptor):
            raise FolderInUse(f"{_holder(descriptor)} is training into {folder}; stop it, or choose another")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _holder(descriptor: int) -> str:
        return "another process"  # a locked file cannot be read there

else:
    import fcntl

    def _take(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _holder(descriptor: int) -> str:
        number = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        return f"process {number}" if number else "another process"
