"""Writing checkpoints on a disk that may be full, or away: told, tried again, and told before."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from glidepath.plugins.train.run.checkpoint import CheckpointError, existing

_PAUSE = 10.0
_TICK = 0.5
_ROOM_FOR = 2


def patiently(
    write: Callable[[], Path],
    patience: float,
    refused: Callable[[str], object],
    stop: Callable[[], bool],
    sleep: Callable[[float], object] = time.sleep,
) -> Path:
    """Write, and try again every 10 seconds for `patience` seconds, or until told to stop.

    refused: called with why, once: a person may make room in the meantime, and nothing is lost.

    Raises:
        CheckpointError: it could not be written in the end.
    """
    end, told = time.monotonic() + patience, False
    while True:
        try:
            return write()
        except CheckpointError as error:
            if time.monotonic() >= end or stop():
                raise
            if not told:
                told = True
                refused(f"{error}; it is tried again for {patience:.0f} seconds: make room, or bring it back")
        pause = time.monotonic() + min(_PAUSE, max(end - time.monotonic(), 0.0))
        while time.monotonic() < pause and not stop():
            sleep(_TICK)


class Room:
    """Whether the disk is there, and has room for the checkpoints to come."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._size, self._told = folder, 0, False
        self._newest: Path | None = next(reversed(existing(folder)), None)
        self._device = self._device_now()

    def written(self, path: Path) -> None:
        """Note how large a checkpoint is, and on which disk."""
        self._size = path.stat().st_size
        self._newest, self._device = path, self._device_now()

    def require(self) -> None:
        """Refuse to write where the folder is no more than the place that a disk was mounted at.

        Raises:
            CheckpointError: the newest checkpoint is gone, and the folder is on another disk than it was.
        """
        if self._newest is not None and not self._newest.exists() and self._device_now() != self._device:
            raise CheckpointError(
                f"{self._newest} is gone, and {self._folder} is not on the disk that it was on: a mount is "
                "lost"
            )

    def _device_now(self) -> int | None:
        try:
            return self._folder.stat().st_dev
        except OSError:
            return None

    def lacks(self) -> str:
        """What to tell when there is no room for two more; "" when there is, or it was told already."""
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            return ""  # gone: the next checkpoint says so
        if free >= _ROOM_FOR * self._size:
            self._told = False
            return ""
        if self._told:
            return ""
        self._told = True
        return (
            f"the disk of {self._folder} has {free / 1e9:.2f} GB left, and a checkpoint takes "
            f"{self._size / 1e9:.2f} GB: soon none can be written"
        )
