"""What a training run writes down of its events: the figures of its steps, and what happened to it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from glidepath.core import Event, Listener
from glidepath.registry import write_text

LOG = "log.jsonl"
HISTORY = "events.jsonl"


class Log(Listener):
    """`log.jsonl` has the figures of training, as if it had run in one go; `events.jsonl` all that happened.

    What cannot be written waits in memory for the next event: the checkpoint, which is written to the same
    folder, says whether the run can go on.
    """

    def __init__(self, folder: Path) -> None:
        self._log, self._history = folder / LOG, folder / HISTORY
        self._waiting: list[tuple[Path, Mapping[str, Any]]] = []
        self._begun = False  # until the folder is ours to write to

    def tell(self, event: Event) -> None:
        """Add a line."""
        if event.name == "started":
            self._begun = True
            self._log.parent.mkdir(parents=True, exist_ok=True)
            truncate(self._log, event.step)
            _end_line(self._history)
        if "rewound_to" in event.details:
            truncate(self._log, event.details["rewound_to"])
        resumed = event.name == "started" and event.details
        if event.name == "logged" or resumed:
            stage = {"stage": event.stage} if event.stage else {}
            line = {"step": event.step, **stage, **event.figures, **event.details}
            self._waiting.append((self._log, line))
        if event.name != "logged":
            self._waiting.append((self._history, as_json(event)))
        with suppress(OSError):
            while self._begun and self._waiting:
                append(*self._waiting[0])
                del self._waiting[0]


def as_json(event: Event) -> dict[str, Any]:
    """An event as plain data, without what is empty, and the time."""
    values = attrs.asdict(event, recurse=False)
    values["files"] = {name: str(path) for name, path in event.files.items()}
    plain = {
        name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items() if value
    }
    return {"time": round(time.time(), 3), **plain}


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def truncate(path: Path, step: int) -> None:
    """Drop what was logged after `step`, as those steps are done again, and a line that a kill cut short."""
    if path.exists():
        kept = [
            line
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
            if _step(line) <= step
        ]
        write_text(path, "".join(line + "\n" for line in kept))


def _end_line(path: Path) -> None:
    """End the last line, should a kill have cut it short."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")


def _step(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
