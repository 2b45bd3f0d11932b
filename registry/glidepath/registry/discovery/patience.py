"""Jobs that may hang, each with a time limit: one that does not end is left behind, and the next is done.

They run in a thread, because nothing else stops waiting for whatever a job does, on every system: an alarm
signal reaches the main thread only, not on Windows, and not code that catches everything. The thread that
hangs is a daemon, so it does not keep the process alive.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")


@attrs.frozen
class Done(Generic[T]):
    """A job that ended. error: what it raised, None when it returned a value."""

    value: T | None = None
    error: BaseException | None = None


@attrs.frozen
class Hanging:
    """A job that did not end. thread: where it goes on. frame: what it was doing, None when it is unknown."""

    thread: threading.Thread
    frame: FrameType | None


def run_each(jobs: Sequence[Callable[[], T]], seconds: float) -> list[Done[T] | Hanging]:
    """Run jobs one after another, each for at most `seconds`.

    seconds: 0 for no limit; then they run in the calling thread, where a debugger can follow.
    """
    if not seconds:
        return [_outcome(job) for job in jobs]
    outcomes: list[Done[T] | Hanging] = []
    while len(outcomes) < len(jobs):
        outcomes += _Worker(jobs[len(outcomes) :]).watch(seconds)
    return outcomes


def _outcome(job: Callable[[], T]) -> Done[T]:
    try:
        return Done(job())
    except BaseException as error:
        return Done(error=error)


class _Worker(Generic[T]):
    """Does jobs in a thread of its own, until one hangs."""

    def __init__(self, jobs: Sequence[Callable[[], T]]) -> None:
        self.jobs = jobs
        self.outcomes: list[Done[T] | Hanging] = []
        self.began = time.monotonic()
        self.abandoned = False
        self.lock = threading.Lock()
        self.finished = threading.Event()

    def watch(self, seconds: float) -> list[Done[T] | Hanging]:
        """The outcomes of all jobs; or up to the first that hangs, its own last."""
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self.work,), name="glidepath-plugins", daemon=True
        )
        thread.start()
        try:
            while not self.finished.wait(max(self.began + seconds - time.monotonic(), 0.01)):
                with self.lock:
                    late = time.monotonic() - self.began >= seconds
                    if late and not self.finished.is_set():
                        self.abandoned = True  # before it can go on with the next job
                        frame = sys._current_frames().get(thread.ident or 0)
                        return [*self.outcomes, Hanging(thread, frame)]
            return self.outcomes
        finally:
            self.abandoned = True

    def work(self) -> None:
        for job in self.jobs:
            outcome = _outcome(job)
            with self.lock:
                if self.abandoned:
                    return
                self.outcomes.append(outcome)
                self.began = time.monotonic()
        self.finished.set()
