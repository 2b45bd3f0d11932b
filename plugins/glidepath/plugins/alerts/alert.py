"""The interface of an alert, and the process that sends for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from abc import abstractmethod
from typing import Any

import attrs

from glidepath.core import Event, GlidepathError, Listener, Subject
from glidepath.plugins.alerts.configs import AlertConfig
from glidepath.plugins.alerts.message import Message
from glidepath.registry import plain_value

LOG = "alerts.jsonl"


class Alert(Listener):
    """Tells a person.

    A process of its own sends: it outlives a run that is killed, and tells of that too. It gets the events
    through a pipe, and makes the alert again from its class and its config, which therefore has values that
    JSON can keep. A subclass says how a message is sent, and that is all it says.
    """

    wants_steps = True  # that a run is not stuck

    def __init__(self, config: AlertConfig) -> None:
        self.config = config
        self._process: subprocess.Popen[str] | None = None

    @abstractmethod
    def send(self, message: Message) -> None:
        """Send a message, in 10 seconds or so. It is called from one thread, and again after a failure.

        Raises:
            Undelivered: it was not taken. Of other exceptions no more than the type is told.
        """

    def require(self) -> None:
        """Refuse to begin without what is needed to send.

        Raises:
            GlidepathError: a variable of the environment is not set, say.
        """

    def open(self, subject: Subject) -> None:
        """Start the process that sends."""
        self.require()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "glidepath.plugins.alerts.watcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C, and what kills the run's group, does not reach it
            text=True,
        )
        order = {
            "alert": name_of(type(self)),
            "config": name_of(type(self.config)),
            "values": plain_value(self.config),
            "subject": subject.name,
            "folder": str(subject.folder.absolute()),
        }
        self._write(order)

    def tell(self, event: Event) -> None:
        """Hand an event to that process."""
        self._write(event_line(event))

    def close(self, timeout: float) -> None:
        """Let it send what waits. It goes on by itself where that takes longer."""
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.close()
            self._process.wait(max(timeout, 0.1))
        except (OSError, subprocess.TimeoutExpired):
            return

    def _write(self, line: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise GlidepathError("the process that sends alerts is gone: nobody is told any more") from error


def event_line(event: Event) -> dict[str, Any]:
    """An event as plain data."""
    values = attrs.asdict(event, recurse=False)
    values["files"] = {name: str(path) for name, path in event.files.items()}
    return {name: dict(it) if hasattr(it, "items") else it for name, it in values.items()}


def name_of(kind: type) -> str:
    """module:Class."""
    return f"{kind.__module__}:{kind.__qualname__}"


def from_environment(name: str, what: str) -> str:
    """A value that stands in the environment and nowhere else.

    Raises:
        GlidepathError: the variable is not set.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise GlidepathError(f"an alert takes {what} from the environment variable {name}, which is not set")
    return value
