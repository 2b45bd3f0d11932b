"""The JSON files of a study, and the lock of its folder, which one process at a time writes to."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from glidepath.core import GlidepathError
from glidepath.registry import lock_folder, read_bytes, write_whole

_MOST_BYTES = 2**28


class StoreError(GlidepathError):
    """The folder of a study does not serve: what should be in it is not, or something else works in it."""


def write_json(path: Path, value: object) -> None:
    """Write a JSON file, in place of what was there.

    Raises:
        CannotWrite: the disk is full, or the folder cannot be written to.
    """
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n"
    write_whole(path, lambda partial: partial.write_bytes(text.encode("utf-8", "surrogatepass")))


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where there is none, or not a whole one."""
    try:
        return json.loads(read_bytes(path, _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def lock_study(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a study's folder. A process that dies lets go of it.

    Raises:
        FolderInUse: another process holds it.
        CannotWrite: the folder cannot be written to.
    """

    def refusal(_holder: str) -> str:  # its number may be one of another machine
        return (
            f"another process runs the study in {folder}: see `glidepath study status`, or stop it with "
            "`glidepath study stop`"
        )

    return lock_folder(folder, refusal)
