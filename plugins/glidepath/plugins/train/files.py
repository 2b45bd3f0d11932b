"""Files that are there whole or not at all, whenever the process or the machine stops."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text, in place of what was there."""
    _write(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write a safetensors file, in place of what was there."""
    _write(path, lambda partial: save_file(_on_host(tensors), partial, dict(header)))


def remove_partial(folder: Path) -> None:
    """Delete what a process left that was killed while it wrote. No other may be writing."""
    for path in folder.glob(".*.partial"):
        path.unlink()


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write under another name, flush to the disk, rename; the name is on the disk too when this returns."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.chmod(0o666 & ~_umask())  # safetensors makes files that only their owner can read
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)  # a full disk is not to stay full
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened, and its entries need no flush
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _on_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as safetensors takes them: contiguous, and no two in one storage (tied weights are)."""
    whole: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        whole[name] = value.clone() if storage in seen else value
        seen.add(storage)
    return whole
