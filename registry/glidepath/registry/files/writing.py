"""Files that are there whole or not at all, whenever the process or the machine stops."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core.errors import GlidepathError

if TYPE_CHECKING:
    from torch import Tensor

_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP)


class CannotWrite(GlidepathError):
    """A file cannot be written; the message says which, and why."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file in place of what was there: under another name, flushed to the disk, then renamed.

    The folders above it are made. Others may read the file as they might read what was there; a new one, as
    the umask says. When this returns, content and name are on the disk; until then, and when it fails, what
    was there is there still. Several processes and threads may write one file at a time: the last to finish
    has it.

    write: writes to the path that it receives, which is an empty file in the same folder.

    Raises:
        CannotWrite: the disk is full, say, or the folder is not ours to write to, or no file is there but a
            folder, a device or a pipe.
    """
    with _beside(path) as (partial, mode):
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if stat.S_IMODE(partial.stat().st_mode) != mode:
            partial.chmod(mode)  # safetensors makes files that only their owner can read
        partial.replace(path)
        _flush_folder(path.parent)


def require_writable(path: Path) -> None:
    """Refuse a place where no file can be written, before the work whose result goes there.

    The folders above it are made.

    Raises:
        CannotWrite: as `write_whole`, but for what comes to light with the content: a disk without room.
    """
    with _beside(path):
        pass


@contextmanager
def free_place(paths: Iterable[Path]) -> Iterator[Path]:
    """The first of some paths where nothing is, taken at once: no other process gets it too.

    An empty file stands there until the block writes it; it goes when the block fails.

    Raises:
        CannotWrite: no file can be made there.
    """
    for path in paths:
        try:
            _make_folders(path)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        except OSError as error:
            raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error
        break
    try:
        yield path
    except BaseException:
        with contextlib.suppress(OSError):
            if not path.stat().st_size:
                path.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text, as `write_whole` does.

    What stands for the bytes of a file name that is no UTF-8 is written as JSON escapes it.

    Raises:
        CannotWrite: that cannot be.
    """
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write a safetensors file, as `write_whole` does, each tensor in its own precision.

    Tensors may be on any device, strided, and share memory, as tied weights do; each is written by itself.
    Equal tensors and headers give equal files.

    Raises:
        CannotWrite: that cannot be.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    def write(partial: Path) -> None:
        save_file(_apart(tensors), partial, dict(header))
        if len(header) > 1:
            _sort_metadata(partial)

    try:
        write_whole(path, write)
    except SafetensorError as error:  # its library says so of a full disk
        raise CannotWrite(f"cannot write {path}: {error}") from error


def remove_partial(folder: Path) -> None:
    """Delete what processes left that were killed while they wrote. No other may be writing there."""
    for path in folder.glob(".*.partial"):
        path.unlink()


@contextmanager
def _beside(path: Path) -> Iterator[tuple[Path, int]]:
    """An empty file in the folder of a path, with the mode for the file of that path. It does not stay."""
    try:
        _make_folders(path)
        there = _status(path)
        # its name is short: that of the path may be as long as the file system takes
        partial = path.with_name(f".{os.urandom(8).hex()}.partial")
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            mode = stat.S_IMODE((there or partial.stat()).st_mode)
            if there:
                partial.chmod(mode | stat.S_IWUSR)
            yield partial, mode
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()  # a full disk is not to stay full
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error


def _make_folders(path: Path) -> None:
    with contextlib.suppress(FileExistsError):  # no folder: what comes next says so
        path.parent.mkdir(parents=True, exist_ok=True)


def _status(path: Path) -> os.stat_result | None:
    """Of the file at a path, or None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, and no file")
    return status


def _sort_metadata(path: Path) -> None:
    """Put the metadata of a safetensors file in order: its library's differs from process to process."""
    with path.open("rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
        if len(text) == length:  # the library writes JSON as compactly, and escapes as little
            file.seek(8)
            file.write(text)


def _flush_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if os.name != "posix":  # elsewhere a folder cannot be opened, and its entries need no flush
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that one may write to, and not list
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:  # as some network file systems say
            raise
    finally:
        os.close(descriptor)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as safetensors takes them: on the host, contiguous, and no two in one storage."""
    whole: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        whole[name] = value.clone() if storage in seen else value
        seen.add(storage)
    return whole
