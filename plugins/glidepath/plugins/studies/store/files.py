"""The JSON files of a study, and the lock of its folder, which one process at a time writes to."""

from __future__ import annotations

import json
import tokenize
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core import GlidepathError
from glidepath.plugins.studies.store.shapes import fits
from glidepath.registry import lock_folder, read_bytes, write_whole

_MOST_BYTES = 2**28

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

IMAGES = "images.npy"


class StoreError(GlidepathError):
    """The folder of a study does not serve: what should be in it is not, or something else works in it."""


def write_json(path: Path, value: object) -> None:
    """Write a JSON file, in place of what was there.

    Raises:
        CannotWrite: the disk is full, or the folder cannot be written to.
    """
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n"
    write_whole(path, lambda partial: partial.write_bytes(text.encode("utf-8", "surrogatepass")))


def read_json(path: Path, shape: Any = dict) -> Any:
    """What a JSON file holds; None where there is none, or one that is damaged: of another shape (`fits`).

    Raises:
        StoreError: it is there, and may not be read.
    """
    try:
        found = json.loads(read_bytes(path, _MOST_BYTES))
    except PermissionError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, ValueError, RecursionError):
        return None
    return found if fits(found, shape) else None


def load_images(folder: Path) -> npt.NDArray[np.uint8]:
    """The images [N, 3, H, W] that a `sample` has left in its folder.

    Raises:
        StoreError: they are not there, or damaged.
    """
    import numpy as np

    path = folder / IMAGES
    try:
        found: npt.NDArray[np.uint8] = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        raise StoreError(f"{path} is damaged, or is not there any more: {error}") from error
    if found.dtype != np.uint8 or found.ndim != 4 or found.shape[1] != 3:
        raise StoreError(f"{path} is damaged: it holds no images")
    return found


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
