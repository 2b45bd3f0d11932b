"""`heartbeat.json` in a run's folder: that its process lives, and where it stands."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from glidepath.core import Event, Listener
from glidepath.registry import CannotWrite, write_text

HEARTBEAT = "heartbeat.json"
EVERY = 15.0
_PATIENCE = 5.0
ENDS = {"done": "done", "stopped": "stopped", "diverged": "failed", "error": "failed"}
"""The state of a run after the event that ended it."""


class Heartbeat(Listener):
    """Written every 15 seconds from a thread, and at the end.

    A file that says `running` and does not change is that of a process that was killed, or whose machine is
    gone. `idle` says for how many seconds nothing has happened: a process that lives, and is stuck.
    """

    wants_steps = True

    def __init__(self, file: Path, every: float = EVERY) -> None:
        self._file, self._every = file, every
        self._last, self._at, self._beats = Event(name=""), time.monotonic(), 0
        self._state = "running"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)

    def tell(self, event: Event) -> None:
        """Note where the run stands. The first beat comes when the folder is the run's to write to."""
        self._at = time.monotonic()
        if event.total:
            self._last = event
        self._state = ENDS.get(event.name, self._state)
        if event.name == "started":
            self._thread.start()

    def _beat(self) -> None:
        over = False
        while not over:
            over = self._over.wait(self._every if self._beats else 0.0)
            self._beats += 1
            values = {
                "state": self._state,
                "step": self._last.step,
                "total": self._last.total,
                "stage": self._last.stage,
                "idle": round(time.monotonic() - self._at, 1),
                "beat": self._beats,
                "time": round(time.time(), 3),
                "every": self._every,
                "process": os.getpid(),
                "machine": socket.gethostname(),
            }
            try:
                write_text(self._file, json.dumps(values) + "\n")
            except CannotWrite:
                continue  # a disk that is full, or away: the checkpoint says so
