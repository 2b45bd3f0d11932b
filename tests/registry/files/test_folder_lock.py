"""One process at a time holds a folder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glidepath.registry.files import folder_lock
from glidepath.registry.files.folder_lock import FolderInUse, lock_file, lock_folder
from glidepath.registry.files.writing import CannotWrite

HOLD = (
    "import pathlib, sys, glidepath.registry.files.folder_lock as it\n"
    "with it.lock_folder(pathlib.Path(sys.argv[1]), str): print('held', flush=True); sys.stdin.read()"
)


def test_a_second_process_is_refused_and_told_who_has_the_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        said = f"^process {other.pid} is at work here$" if os.name == "posix" else "^another process is"
        with (
            pytest.raises(FolderInUse, match=said),
            lock_folder(tmp_path, lambda holder: f"{holder} is at work here"),
        ):
            pass
        other.kill()
        other.wait()
        with lock_folder(tmp_path, str):  # the lock died with its holder
            assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_file_that_a_dead_process_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("1234567890\n")
    with lock_folder(tmp_path, str):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_is_released_and_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            lock_folder(tmp_path / "new", str),
            pytest.raises(FolderInUse),
            lock_folder(tmp_path / "new", str),
        ):
            pass


@pytest.mark.parametrize("written", ["", "who knows"])
def test_a_holder_that_left_no_number_is_another_process(written: str, tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text(written)
    descriptor = lock_file(tmp_path / ".lock")
    assert descriptor is not None
    with pytest.raises(FolderInUse, match=r"^another process$"), lock_folder(tmp_path, str):
        pass
    os.close(descriptor)


def test_a_lock_file_that_nobody_may_read_is_held_by_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows none that is locked may be."""

    def refuse(*_arguments: object, **_named: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    with (
        lock_folder(tmp_path, str),
        pytest.raises(FolderInUse, match=r"^another process$"),
        lock_folder(tmp_path, str),
    ):
        pass


def test_the_lock_of_a_file_is_held_while_its_descriptor_is_open(tmp_path: Path) -> None:
    held = lock_file(tmp_path / "new" / "a")
    assert held is not None
    assert lock_file(tmp_path / "new" / "a") is None
    other = lock_file(tmp_path / "new" / "b")
    assert other is not None
    os.close(held)
    again = lock_file(tmp_path / "new" / "a")
    assert again is not None
    os.close(other)
    os.close(again)


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        with (
            pytest.raises(CannotWrite, match=f"^cannot write .*{path}/.lock: "),
            lock_folder(tmp_path / path, str),
        ):
            pass


def test_a_file_system_without_locks_is_told_and_nothing_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def none(descriptor: int, *, blocking: bool) -> bool:
        asked.append(descriptor)
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock, "lock_descriptor", none)
    with pytest.raises(CannotWrite, match=r"\.lock: No locks available$"):
        lock_file(tmp_path / ".lock")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(asked[0])


def test_a_full_disk_is_told_with_the_name_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with (
        pytest.raises(CannotWrite, match=r"^cannot write .*\.lock: No space left on device$"),
        lock_folder(tmp_path, str),
    ):
        pass
