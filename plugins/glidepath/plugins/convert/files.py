"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core.errors import GlidepathError

if TYPE_CHECKING:
    from torch import Tensor


class CannotWrite(GlidepathError):
    """A file cannot be written; nothing is left of it."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write a safetensors file, each tensor in its own precision.

    Raises:
        CannotWrite: the disk is full, say.
    """
    from safetensors.torch import save_file

    _write(path, lambda partial: save_file(_apart(tensors), partial, dict(header)))


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text.

    Raises:
        CannotWrite: the disk is full, say.
    """
    _write(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write under another name, flush to the disk, rename."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.chmod(0o666 & ~_umask())  # safetensors makes files that only their owner can read
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, Exception):
            raise CannotWrite(f"cannot write {path}: {error}") from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as safetensors takes them: contiguous, and no two in one storage."""
    whole: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.contiguous()
        storage = value.untyped_storage()
        alone = storage.nbytes() == value.numel() * value.element_size()
        whole[name] = value if alone and storage.data_ptr() not in seen else value.clone()
        seen.add(storage.data_ptr())
    return whole
