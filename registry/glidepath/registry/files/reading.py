"""Files that are read: regular ones only, and no more bytes of them than are meant."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO


def open_file(path: str | Path) -> BinaryIO:
    """Open a file to read its bytes. A pipe would wait for ever, and a device has no end: they are refused.

    Raises:
        OSError: it is not there, or is no regular file.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(open(path, "rb", opener=_without_waiting))
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError("it is not a file")
        stack.pop_all()
        return stream


def read_bytes(path: str | Path, most: int) -> bytes:
    """The bytes of a file, as `open_file` opens it.

    Raises:
        OSError: it is not there, is no regular file, or has more than `most` bytes.
    """
    with open_file(path) as stream:
        size = min(os.fstat(stream.fileno()).st_size, most)
        data = stream.read(size + 1)  # memory for all that it may have would take longer than reading it
        if len(data) > size:  # it grows, or does not tell its size
            data += stream.read(most + 1 - len(data))
    if len(data) > most:
        raise OSError(f"it is larger than {most:,} bytes")
    return data


def files_of(path: Path) -> dict[str, Path]:
    """A file as {"": path}; all files below a folder by their relative names; {} for what is not there.

    Names that begin with a dot are left out: they hold what programs note for themselves.
    """
    if os.path.isfile(path):
        return {"": path}
    found = {}
    for base, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(base, name)
            if not name.startswith(".") and os.path.isfile(file):
                found[file.relative_to(path).as_posix()] = file
    return found


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
