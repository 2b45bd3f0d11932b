"""What a real disk that is full, or a mount that is lost, does to a run; on disks in memory."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.alerts.servers import Posts
from tests.plugins.train.tiny import Heard, make_run, train

from glidepath.core import Event
from glidepath.plugins.alerts.webhook import WebhookAlert
from glidepath.plugins.train.run.checkpoint import CheckpointError, newest

WIDTH = {"width": 40}


def mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


def unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB, which three checkpoints fill."""
    if shutil.which("mount") is None:
        pytest.skip("this system has no command mount")
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", place)
    yield place
    unmount(place)


class AfterStep(Heard):
    """Does something after the sixth step; the first checkpoint is that of the fifth."""

    def __init__(self, does: Callable[[], None]) -> None:
        super().__init__()
        self._does = does

    def tell(self, event: Event) -> None:
        super().tell(event)
        if event.name == "step" and event.step == 6:
            self._does()

    def said(self, name: str) -> str:
        (message,) = [event.message for event in self.events if event.name == name]
        return message


def require_whole(folder: Path, scratch: Path) -> None:
    """A run that goes on comes to the weights of one that nothing stopped."""
    train(make_run(folder, denoiser=WIDTH))
    train(make_run(scratch, denoiser=WIDTH))
    ours, theirs = (load_file(it / "weights.safetensors") for it in (folder, scratch))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_full_disk_is_told_before_and_leaves_the_checkpoint_that_is_there(
    disk: Path, tmp_path: Path, alert: WebhookAlert, posts: Posts
) -> None:
    folder, filler = disk / "run", disk / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"0" * 4096):
                pass

    heard = AfterStep(fill)
    with pytest.raises(CheckpointError, match=r"cannot write .*checkpoint-00000010.* No space left"):
        train(make_run(folder, denoiser=WIDTH, listeners=[heard, alert]))
    assert "soon none can be written" in heard.said("disk-low")
    assert "No space left on device" in heard.said("error")
    ended = time.monotonic()
    told = posts.wait(lambda it: it["condition"] == "disk", 10)
    assert "soon none can be written" in told["body"]
    told = posts.wait(lambda it: it["condition"] == "crashed", 10 - (time.monotonic() - ended))
    assert "No space left on device" in told["body"]
    found = newest(folder)
    assert found is not None
    assert (found.checkpoint.step, found.damaged) == (5, {})
    filler.unlink()
    require_whole(folder, tmp_path / "whole")


def test_a_lost_mount_is_told_and_nothing_is_written_in_its_place(
    disk: Path, tmp_path: Path, alert: WebhookAlert, posts: Posts
) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    mount("--bind", disk, place)
    folder = place / "run"
    heard = AfterStep(lambda: unmount(place))
    with pytest.raises(
        CheckpointError, match=r"checkpoint-00000005\.safetensors is gone, and .* a mount is lost"
    ):
        train(make_run(folder, denoiser=WIDTH, listeners=[heard, alert]))
    assert "a mount is lost" in heard.said("error")
    told = posts.wait(lambda it: it["condition"] == "crashed", 10)
    assert "a mount is lost" in told["body"]
    assert list(place.iterdir()) == []
    mount("--bind", disk, place)
    require_whole(folder, tmp_path / "whole")
    unmount(place)
