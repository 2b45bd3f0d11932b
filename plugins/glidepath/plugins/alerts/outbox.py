"""Messages on their way: each said once, not too many, and tried again until they are taken."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs

from glidepath.plugins.alerts.configs import AlertConfig
from glidepath.plugins.alerts.message import Message, Undelivered

_HOUR = 3600.0
_LONGEST_PAUSE = 60.0


@attrs.define
class _Waiting:
    message: Message
    since: float
    tried: int = 0
    next: float = 0.0


class Outbox:
    """Sends by `send`, which raises where a message was not taken.

    log: a file that gets a line for each attempt. It names what failed by type: no address stands in it.
    """

    def __init__(
        self,
        config: AlertConfig,
        send: Callable[[Message], object],
        log: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._send, self._log, self._clock = config, send, log, clock
        self._told: dict[str, float] = {}
        self._taken: deque[float] = deque()
        self._waiting: deque[_Waiting] = deque()
        self._held = 0
        self.failed = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def add(self, message: Message) -> None:
        """Take a message, unless the same was told a moment ago, or too many were."""
        now = self._clock()
        last = self._told.get(message.key)
        if last is not None and now - last < self._config.quiet:
            return
        while self._taken and now - self._taken[0] > _HOUR:
            self._taken.popleft()
        # what ends a run is told however much was told before
        if len(self._taken) >= self._config.most and message.condition not in ("crashed", "nan", "done"):
            self._held += 1
            return
        self._told[message.key] = now
        self._taken.append(now)
        if self._held:
            more = f"{self._held} other messages were held back: at most {self._config.most} in an hour"
            message = attrs.evolve(message, body="\n".join(filter(None, [message.body, more])))
            self._held = 0
        self._waiting.append(_Waiting(message, now))

    def work(self) -> None:
        """Try what is due, once each. A failure waits 1, 2, 4, ... up to 60 seconds for the next attempt."""
        for waiting in list(self._waiting):
            if waiting.next > self._clock():
                continue
            waiting.tried += 1
            try:
                self._send(waiting.message)
            except Exception as error:
                # the text of what another library raised may name an address
                why = str(error) if isinstance(error, Undelivered) else type(error).__name__
                now = self._clock()
                waiting.next = now + min(2.0 ** (waiting.tried - 1), _LONGEST_PAUSE)
                if waiting.next - waiting.since > self._config.patience:
                    self.failed += 1
                    self._waiting.remove(waiting)
                    why += "; it is not tried again"
                self._note(waiting, why)
            else:
                self._waiting.remove(waiting)
                self._note(waiting, "")

    def _note(self, waiting: _Waiting, why: str) -> None:
        line = {
            "time": round(time.time(), 3),
            "title": waiting.message.title,
            "condition": waiting.message.condition,
            "attempt": waiting.tried,
            **({"failed": why} if why else {"delivered": True}),
        }
        if self._log is not None:
            with suppress(OSError), self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
