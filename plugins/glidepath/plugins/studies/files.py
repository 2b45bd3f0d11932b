"""Files that are there whole or not at all, and a folder that one process at a time writes to."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from glidepath.core.errors import GlidepathError


class StoreError(GlidepathError):
    """The folder of a study cannot be written to, or is in use; what is in it stays readable."""


def write_json(path: Path, value: object) -> None:
    """Write a JSON file, in place of what was there."""
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n"
    write_whole(path, lambda file: file.write(text.encode("utf-8", "surrogatepass")))


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write under another name, flush to the disk, rename.

    Raises:
        StoreError: the disk is full, or the folder cannot be written to.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where there is none, or not a whole one."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock. The operating system lets go of it when the process dies, however it dies.

    Raises:
        StoreError: another process holds it, or the folder cannot be written to.
    """
    descriptor = take_lock(folder / ".lock")
    if descriptor is None:
        raise StoreError(
            f"another process runs the study in {folder}: see `glidepath study status`, or stop it with "
            "`glidepath study stop`"
        )
    try:
        yield
    finally:
        os.close(descriptor)


def take_lock(path: Path) -> int | None:
    """A descriptor that holds the lock of a file while it is open, None when another process holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    if _take(descriptor):
        return descriptor
    os.close(descriptor)
    return None


if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _take(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
