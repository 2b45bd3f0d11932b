"""The files of a study, there whole or not at all, and its folder, which one process at a time writes to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from glidepath.core.errors import GlidepathError
from glidepath.registry import folder_lock, writing


class StoreError(GlidepathError):
    """The folder of a study cannot be written to, or is in use; what is in it stays readable."""


def write_json(path: Path, value: object) -> None:
    """Write a JSON file, in place of what was there."""
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n"
    write_whole(path, lambda file: file.write(text.encode("utf-8", "surrogatepass")))


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file, in place of what was there.

    Raises:
        StoreError: the disk is full, or the folder cannot be written to.
    """

    def opened(partial: Path) -> None:
        with partial.open("wb") as file:
            write(file)

    with _store_errors():
        writing.write_whole(path, opened)


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where there is none, or not a whole one."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a study's folder. A process that dies lets go of it.

    Raises:
        StoreError: another process holds it, or the folder cannot be written to.
    """

    def refusal(_holder: str) -> str:  # its number may be one of another machine
        return (
            f"another process runs the study in {folder}: see `glidepath study status`, or stop it with "
            "`glidepath study stop`"
        )

    with ExitStack() as stack:
        with _store_errors():
            stack.enter_context(folder_lock.locked(folder, refusal))
        yield


def take_lock(path: Path) -> int | None:
    """A descriptor that holds the lock of a file while it is open, None when another process holds it.

    Raises:
        StoreError: the file cannot be made.
    """
    with _store_errors():
        return folder_lock.take_lock(path)


@contextmanager
def _store_errors() -> Iterator[None]:
    """What cannot be written or locked is an error of the store."""
    try:
        yield
    except (writing.CannotWrite, folder_lock.FolderInUse) as error:
        raise StoreError(str(error)) from error
