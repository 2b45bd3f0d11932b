"""An answer that is the same for all who ask: made seldom, however many watch, and kept as it is sent."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.page.asking import Commands

SHARE = 0.01
"""Of the time of one processor, that making an answer may take."""

SHORTEST = 4.0
"""Seconds between two looks of a page: what twenty pages ask takes less than 1 % of a processor."""

Json = Mapping[str, Any]
Ask = Callable[..., Any]


@attrs.frozen(eq=False)
class Answer:
    """What was read.

    problem: why nothing could be; "" where something was. body: the JSON that browsers are sent. tag: of that
    body, as the header ETag has it.
    """

    value: Json
    problem: str
    body: bytes
    tag: str


class Seldom:
    """Reads anew as often as costs `SHARE` of a processor, and not before `SHORTEST` has passed.

    read: makes the answer. It is given a function that returns what a command prints as JSON.
    changed: makes a value that is another one when something is to be read at once.
    """

    def __init__(
        self, commands: Commands, read: Callable[[Ask], Json], changed: Callable[[], object] = lambda: None
    ) -> None:
        self._commands, self._read, self._changed = commands, read, changed
        self._reading = threading.Lock()
        self._last: Answer | None = None
        self._until = 0.0
        self._seen: object = None

    def known(self) -> Answer | None:
        """What was read last; None where it is to be read anew. Nobody waits for it.

        Who asks while another reads is answered with what was there before.
        """
        if self._reading.locked() or (time.monotonic() < self._until and self._changed() == self._seen):
            return self._last
        return None

    def latest(self) -> Answer:
        """What was read last, or anew where that is long enough ago."""
        with self._reading:
            if self._last is None or time.monotonic() >= self._until or self._changed() != self._seen:
                self._last = self._anew()
            return self._last

    def forget(self) -> None:
        """Read anew when it is asked for next."""
        self._until = 0.0

    def _anew(self) -> Answer:
        spent = -time.thread_time()

        def ask(*words: str) -> Any:
            nonlocal spent
            said, seconds = self._commands.ask(*words)
            spent += seconds
            return json.loads(said, parse_constant=lambda _: None)  # NaN is no JSON

        problem = ""
        self._seen = self._changed()
        try:
            value = self._read(ask)
        except GlidepathError as error:
            problem, value = str(error), {"problem": str(error)}
        spent += time.thread_time()
        is_first = self._last is None  # what is imported then counts for nothing
        again = SHORTEST if is_first else max(SHORTEST, round(spent / SHARE, 1))
        body = json.dumps({**value, "again": again}, separators=(",", ":")).encode()
        self._until = time.monotonic() + again
        return Answer(value, problem, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
