"""One process at a time trains into a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glidepath.plugins.train.lock import FolderInUse, locked

HOLD = (
    "import pathlib, sys, glidepath.plugins.train.lock as it\n"
    "with it.locked(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def test_a_second_process_is_refused_and_told_who_has_the_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(FolderInUse, match=f"process {other.pid} is training into"), locked(tmp_path):
            pass
        other.kill()
        other.wait()
        with locked(tmp_path):  # the lock died with its holder
            assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_file_that_a_dead_process_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("1234567890\n")
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_is_released_and_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "new"), pytest.raises(FolderInUse), locked(tmp_path / "new"):
            pass
