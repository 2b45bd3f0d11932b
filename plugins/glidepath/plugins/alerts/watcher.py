"""The process that sends for an alert: `python -m glidepath.plugins.alerts.watcher`, started by `Alert.open`.

It reads events, a line each, and outlives the process that writes them. When no more can come and none said
that it ends, that process was killed. Imports no torch.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from glidepath.core import Event
from glidepath.plugins.alerts.alert import LOG, Alert
from glidepath.plugins.alerts.outbox import Outbox
from glidepath.plugins.alerts.rules import ENDS, Rules

_TICK = 0.5
_TICKS_GONE = 4
KILLED = (
    "its process is gone, and did not say that it ends: killed, perhaps for want of memory, or crashed "
    "inside a library"
)


def main() -> int:
    """Send until there is nothing more to come, and nothing more to send."""
    parent = os.getppid()
    order = json.loads(sys.stdin.readline())
    config = _class(order["config"])(**order["values"])
    alert: Alert = _class(order["alert"])(config)
    rules = Rules(config, order["subject"])
    outbox = Outbox(config, alert.send, Path(order["folder"]) / LOG)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin, lines), daemon=True).start()
    ended = over = under_way = False
    moved, stuck, gone = time.monotonic(), False, 0
    while not (over and outbox.is_empty):
        line = _next(lines, 0.0 if over else _TICK)
        if line:
            event = Event(**json.loads(line))
            moved, stuck = time.monotonic(), False
            under_way = under_way or event.name == "stage"  # a trial may take hours
            ended = event.name in ENDS
            for message in rules.of(event):
                outbox.add(message)
        # a child that the dead process has left behind may hold the pipe open
        gone = gone + 1 if line is None and os.getppid() != parent else 0
        if not over and (line == "" or gone == _TICKS_GONE):
            over = True
            for message in () if ended else rules.killed(KILLED):
                outbox.add(message)
        idle = time.monotonic() - moved
        if under_way and not ended and not over and not stuck and idle > config.stuck_after:
            stuck = True
            for message in rules.stuck(idle):
                outbox.add(message)
        outbox.work()
        if over and not outbox.is_empty:
            time.sleep(_TICK)
    return 0


def _class(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def _read(stream: TextIO, lines: queue.Queue[str]) -> None:
    """Lines as they come, and "" at the end."""
    for line in stream:
        lines.put(line)
    lines.put("")


def _next(lines: queue.Queue[str], seconds: float) -> str | None:
    try:
        return lines.get(timeout=seconds) if seconds else lines.get_nowait()
    except queue.Empty:
        return None


if __name__ == "__main__":
    sys.exit(main())
