"""Listeners that may be slow or fail are told by a thread each, so that what they listen to goes on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from glidepath.core.errors import GlidepathError
from glidepath.core.events import Event, Listener, Subject

_MOST = 10_000
_SECONDS_BETWEEN_STEPS = 1.0


@contextmanager
def listening(
    subject: Subject, guests: Sequence[Listener], warn: Callable[[str], object], timeout: float = 10.0
) -> Iterator[list[Listener]]:
    """The guests, opened, each told by a thread of its own; closed at the end, within so many seconds.

    A guest that fails is warned of once, and costs nothing but what it was to do.

    Raises:
        GlidepathError: a guest refuses; those before it are closed.
    """
    told: list[_InBackground] = []
    try:
        for guest in guests:
            guest.open(subject)
            told.append(_InBackground(guest, warn))
        yield list(told)
    finally:
        end = time.monotonic() + timeout
        for background in told:
            background.finish(timeout)
        for background in told:
            background.close(end - time.monotonic())


class _InBackground(Listener):
    """Hands events to a thread. Of "step" it hands on one in a second, of others all but a flood."""

    def __init__(self, guest: Listener, warn: Callable[[str], object]) -> None:
        self.wants_steps = guest.wants_steps
        self._guest, self._warn, self._warned = guest, warn, False
        self._last_step = float("-inf")
        self._queue: queue.Queue[Event | float] = queue.Queue(_MOST)
        self._thread = threading.Thread(target=self._work, name=type(guest).__name__, daemon=True)
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Put it into the queue, unless a guest that hangs has filled it."""
        if event.name == "step":
            now = time.monotonic()
            if now - self._last_step < _SECONDS_BETWEEN_STEPS:
                return
            self._last_step = now
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._say("it is told no more, as it has not taken what came before")

    def finish(self, timeout: float) -> None:
        """Ask the guest to close when it has taken what was told."""
        try:
            self._queue.put_nowait(timeout)
        except queue.Full:
            self._say("not all was told to it")

    def close(self, timeout: float) -> None:
        """Wait for that."""
        self._thread.join(max(timeout, 0.0))
        if self._thread.is_alive():
            self._say("it has not finished in time, and is left behind")

    def _work(self) -> None:
        while True:
            item = self._queue.get()
            try:
                if not isinstance(item, Event):
                    self._guest.close(item)
                    return
                self._guest.tell(item)
            except GlidepathError as error:
                self._say(str(error))
            except Exception as error:  # its text may hold what is secret, such as an address with a password
                self._say(f"it failed with {type(error).__name__}")
            if not isinstance(item, Event):
                return

    def _say(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(f"{type(self._guest).__name__}: {what}")
