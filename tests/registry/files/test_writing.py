"""Files are there whole or not at all, and on the disk once they are said to be."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from glidepath.registry.cli import main
from glidepath.registry.files.tensor_file import read_tensors
from glidepath.registry.files.writing import (
    CannotWrite,
    free_place,
    remove_partial,
    require_writable,
    write_tensors,
    write_text,
    write_whole,
)

posix = pytest.mark.skipif(os.name != "posix", reason="file modes and flushed folders are POSIX's")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_arguments: object) -> None:
        raise error

    return fail


def test_a_text_is_written_in_utf_8_in_place_of_what_was_there(tmp_path: Path) -> None:
    for text in ("old", "nïu 𐐨\n"):
        write_text(tmp_path / "a.txt", text)
        assert (tmp_path / "a.txt").read_text(encoding="utf-8") == text
    assert names(tmp_path) == ["a.txt"]


def test_the_folders_above_a_file_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "and newer" / "a.txt", "a")
    assert (tmp_path / "new" / "and newer" / "a.txt").read_text() == "a"


def test_what_was_there_stays_readable_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write(partial: Path) -> None:
        partial.write_text("ne")
        assert path.read_text() == "old"
        assert partial.parent == path.parent  # a name can only be moved within a file system
        partial.write_text("new")

    write_whole(path, write)
    assert path.read_text() == "new"


@posix
def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def flushed(descriptor: int) -> None:
        status = os.fstat(descriptor)
        is_folder = stat.S_ISDIR(status.st_mode)
        assert status.st_ino == tmp_path.stat().st_ino if is_folder else status.st_size == 3
        happened.append("flush the folder" if is_folder else "flush the file")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        happened.append(f"rename to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    write_text(tmp_path / "a.txt", "new")
    assert happened == ["flush the file", "rename to a.txt", "flush the folder"]


def test_a_writing_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.txt", "old")
    write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(3)}, {})
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(CannotWrite, match=r"^cannot write .*a\.txt: No space left on device$"):
        write_text(tmp_path / "a.txt", "new")
    with pytest.raises(CannotWrite, match=r"^cannot write .*a\.safetensors: No space left on device$"):
        write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(3)}, {})
    assert names(tmp_path) == ["a.safetensors", "a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"
    assert torch.equal(load_file(tmp_path / "a.safetensors")["a"], torch.ones(3))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no such colour")])
def test_a_writer_that_is_interrupted_or_wrong_leaves_nothing_and_is_heard(
    error: BaseException, tmp_path: Path
) -> None:
    def write(partial: Path) -> None:
        partial.write_text("ha")
        raise error

    with pytest.raises(type(error)) as raised:
        write_whole(tmp_path / "a.txt", write)
    assert raised.value is error
    assert names(tmp_path) == []


def test_what_safetensors_says_of_a_disk_is_told_with_the_files_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safetensors.torch.save_file", failing(SafetensorError("I/O error: it is full")))
    with pytest.raises(CannotWrite, match=r"^cannot write .*a\.safetensors: I/O error: it is full$"):
        write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(3)}, {})
    assert names(tmp_path) == []


def test_a_place_where_no_file_can_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in ("file/a.txt", "file/below/a.txt", "folder"):
        with pytest.raises(CannotWrite, match=f"^cannot write .*{path}: "):
            write_text(tmp_path / path, "a")
    assert names(tmp_path) == ["file", "folder"]
    assert names(tmp_path / "folder") == []


@posix
def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    """A pipe that somebody reads from, a socket, a link to one, a folder; before the work as after it."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name in ("pipe", "link", "folder", "socket"):
            with pytest.raises(CannotWrite, match=f"^cannot write .*{name}: it is a "):
                require_writable(tmp_path / name)
            with pytest.raises(CannotWrite, match=f"^cannot write .*{name}: it is a "):
                write_text(tmp_path / name, "a")
    assert names(tmp_path) == ["folder", "link", "pipe", "socket"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_a_file_that_is_replaced_keeps_its_mode(mode: int, tmp_path: Path) -> None:
    seen = []
    for name in ("a.txt", "a.safetensors", "a.png"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).chmod(mode)
    write_text(tmp_path / "a.txt", "a")
    write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(3)}, {})
    write_whole(tmp_path / "a.png", lambda partial: seen.append(stat.S_IMODE(partial.stat().st_mode)))
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {mode}
    assert seen == [mode | 0o200]  # nobody else reads it while it is written either


def test_a_free_place_is_given_once(tmp_path: Path) -> None:
    places = [tmp_path / "new" / f"{index}.txt" for index in range(20)]
    start, together = threading.Barrier(8), ThreadPoolExecutor(8)

    def take(_index: int) -> str:
        start.wait()
        with free_place(places) as path:
            write_text(path, path.name)
        return path.name

    taken = list(together.map(take, range(8)))
    assert sorted(taken) == names(tmp_path / "new") == [f"{index}.txt" for index in range(8)]


def test_a_place_is_free_again_where_nothing_was_written_to_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyboardInterrupt), free_place([tmp_path / "a.txt"]):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["file"]
    with pytest.raises(CannotWrite, match=r"file/a\.txt: "), free_place([tmp_path / "file" / "a.txt"]):
        pass


def test_a_name_that_is_no_utf_8_can_stand_in_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_text(tmp_path / "a.json", json.dumps(name, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == name


@posix
def test_tensors_are_read_where_the_name_of_a_folder_is_no_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    write_tensors(folder / "a.safetensors", {"a": torch.ones(3)}, {})
    assert torch.equal(read_tensors(folder / "a.safetensors")["a"], torch.ones(3))


def test_writers_of_one_file_do_not_disturb_one_another(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write(partial: Path) -> None:
        partial.write_text("first, ")
        write_text(path, "whole")
        assert path.read_text() == "whole"
        with partial.open("a") as file:
            file.write("and last")

    write_whole(path, write)
    assert path.read_text() == "first, and last"
    assert names(tmp_path) == ["a.txt"]


@posix
@pytest.mark.parametrize("mask", [0o027, 0o022, 0o077])
def test_others_may_read_a_file_as_the_umask_says(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "a")
        write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(3)}, {})
        write_whole(tmp_path / "private", lambda partial: partial.chmod(0o600))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o666 & ~mask}


def refusing_folders(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def flush(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise error
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)


@posix
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_flushes_no_folders_is_written_to(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing_folders(OSError(number, os.strerror(number)), monkeypatch)
    write_text(tmp_path / "a.txt", "a")
    assert (tmp_path / "a.txt").read_text() == "a"


@posix
def test_a_folder_that_may_be_written_and_not_listed_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refuse(path: Path, flags: int, *mode: int) -> int:
        if Path(path) == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    write_text(tmp_path / "a.txt", "a")
    assert (tmp_path / "a.txt").read_text() == "a"


@posix
def test_a_name_that_did_not_reach_the_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing_folders(OSError(errno.EIO, "Input/output error"), monkeypatch)
    with pytest.raises(CannotWrite, match=r"a\.txt: Input/output error$"):
        write_text(tmp_path / "a.txt", "a")


def test_weights_that_share_memory_are_written_twice(tmp_path: Path) -> None:
    """Tied embeddings, or a slice of another tensor."""
    whole = torch.arange(6.0)
    write_tensors(tmp_path / "a.safetensors", {"a": whole, "b": whole, "c": whole[2:4]}, {})
    found = load_file(tmp_path / "a.safetensors")
    assert torch.equal(found["a"], whole)
    assert torch.equal(found["b"], whole)
    assert torch.equal(found["c"], whole[2:4])


def test_a_slice_comes_before_the_tensor_that_it_is_of(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    write_tensors(tmp_path / "a.safetensors", {"a": whole[4:], "b": whole[:2], "c": whole}, {})
    found = load_file(tmp_path / "a.safetensors")
    assert [found[name].tolist() for name in "abc"] == [[4, 5], [0, 1], [0, 1, 2, 3, 4, 5]]


def test_tensors_keep_their_precision_and_their_places(tmp_path: Path) -> None:
    tensors = {
        "half": torch.randn(3, 2).half(),
        "transposed": torch.randn(3, 2).T,
        "channels last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "trained": torch.nn.Parameter(torch.randn(2)),
        "none": torch.empty(0),
        "none either": torch.empty(0),
        "count": torch.tensor(7),
    }
    write_tensors(tmp_path / "a.safetensors", tensors, {})
    found = load_file(tmp_path / "a.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) for name, value in tensors.items())
    assert all(found[name].dtype == value.dtype for name, value in tensors.items())


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    named: list[Path] = []
    write_whole(tmp_path / "a.txt", named.append)
    named[0].touch()  # as it would stand there if the writer had been killed
    for name in (".a.safetensors.partial", "b.partial", ".lock", "checkpoint-00000001.safetensors"):
        (tmp_path / name).touch()
    remove_partial(tmp_path)
    assert names(tmp_path) == [".lock", "a.txt", "b.partial", "checkpoint-00000001.safetensors"]


def test_a_command_that_cannot_write_says_so_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "schema.json"
    assert main(["schema", "--no-plugins", "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"glidepath: error: cannot write {out}: {os.strerror(errno.ENOTDIR)}\n"


def test_the_metadata_of_tensors_are_written_in_order_whatever_they_hold(tmp_path: Path) -> None:
    """Their library writes them in an order that changes from one write to the next."""
    odd = 'ü\n\t"\\\x01\x7f\u2028 𐐨/<'
    header = {name: odd * index for index, name in enumerate("gfedcba")} | {odd: "1"}
    write_tensors(tmp_path / "a.safetensors", {"ü": torch.ones(2), "x": torch.zeros(3)}, header)
    data = (tmp_path / "a.safetensors").read_bytes()
    read = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(read["__metadata__"].items()) == sorted(header.items())
    assert load_file(tmp_path / "a.safetensors")["ü"].tolist() == [1, 1]
