"""A lock that a process holds while it lives, so that one process at a time writes to a folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

from glidepath.core.errors import GlidepathError
from glidepath.registry.files.writing import CannotWrite


class FolderInUse(GlidepathError):
    """Another process holds the lock of a folder."""


@contextmanager
def lock_folder(folder: Path, refusal: Callable[[str], str]) -> Iterator[None]:
    """Hold a folder's lock: its file `.lock`, which then has the number of this process.

    The operating system lets go of it when the process dies, however it dies. So a `.lock` that a killed
    process left is no obstacle, whatever process has its number by now.

    refusal: what to say of a folder that is in use, given who holds it: "process 4711", or "another process".

    Raises:
        FolderInUse: another process holds it.
        CannotWrite: the folder cannot be made or written to.
    """
    path = folder / ".lock"
    descriptor = lock_file(path)
    if descriptor is None:
        raise FolderInUse(refusal(_holder(path)))
    try:
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except OSError as error:
            raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error
        yield
    finally:
        os.close(descriptor)


def lock_file(path: Path) -> int | None:
    """A descriptor that holds the lock of a file while it is open; None when another process holds it.

    The file, and the folders above it, are made.

    Raises:
        CannotWrite: they cannot be, or the file system has no locks.
    """
    try:
        with contextlib.suppress(FileExistsError):  # no folder: what comes next says so
            path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            taken = lock_descriptor(descriptor, blocking=False)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error
    if taken:
        return descriptor
    os.close(descriptor)
    return None


def _holder(path: Path) -> str:
    """Who holds a lock, as far as its file says."""
    try:
        number = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # on Windows nobody else can read a locked file
        number = ""
    return f"process {number}" if number.isdecimal() else "another process"
