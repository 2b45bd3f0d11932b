"""News for browsers: server-sent events, from threads to every page that watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from glidepath.plugins.page.jobs import Queue, TooMany

MOST_WATCHING = 64
_MOST_UNREAD = 200
_SILENCE = 15.0
_END = "end"


class News:
    """Who watches a queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._watching: set[Callable[[str, bytes], None]] = set()
        queue.listen(self._tell)

    def watch(self) -> AsyncIterator[bytes]:
        """The stream of events for one page: first all jobs, then what happens to them.

        A page that does not read loses steps, and no end of a job: it is told to read all again.

        Raises:
            TooMany: so many watch already.
        """
        if len(self._watching) >= MOST_WATCHING:
            raise TooMany(f"{len(self._watching)} pages watch already")
        return self._stream()

    def close(self) -> None:
        """End all streams."""
        for give in tuple(self._watching):
            give(_END, b"")

    def _tell(self, name: str, news: Mapping[str, Any]) -> None:
        if self._watching:
            line = event(name, news)
            for give in tuple(self._watching):
                give(name, line)

    async def _stream(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        unread: asyncio.Queue[bytes] = asyncio.Queue()

        def put(name: str, line: bytes) -> None:
            if name == _END:
                unread.put_nowait(b"")
            elif unread.qsize() < _MOST_UNREAD:
                unread.put_nowait(line)
            elif name != "step":
                while not unread.empty():
                    unread.get_nowait()
                unread.put_nowait(self._all())

        def give(name: str, line: bytes) -> None:
            loop.call_soon_threadsafe(put, name, line)

        self._watching.add(give)
        try:
            yield self._all()
            while True:
                try:
                    line = await asyncio.wait_for(unread.get(), _SILENCE)
                except TimeoutError:
                    line = b": still here\n\n"
                if not line:
                    return
                yield line
        finally:
            self._watching.discard(give)

    def _all(self) -> bytes:
        return event("jobs", {"jobs": self._queue.documents()})


def event(name: str, news: Mapping[str, Any]) -> bytes:
    """An event as the stream has it."""
    return f"event: {name}\ndata: {json.dumps(news)}\n\n".encode()
