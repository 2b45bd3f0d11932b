"""What is being made: a queue that one thread works off, and the news of it for whoever watches."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs

from glidepath.core import GlidepathError

MOST_WAITING = 32
MOST_KEPT = 48
"""Jobs whose states are kept in memory, the newest."""

State = Literal["waiting", "loading", "running", "done", "cancelled", "failed"]


class TooMany(GlidepathError):
    """The queue is full."""


class Cancelled(Exception):
    """A job was told to stop."""


@attrs.define(eq=False)
class Job:
    """Something that is made for a browser.

    do: makes it, and returns what is to be told at its end; it calls `step` after each step.
    group: of the jobs of one comparison. label: which of them it is. about: what there is to know of it.
    frames: what the walk looked like, by step: encoded pictures, by "x_0" and "x".
    """

    kind: str
    title: str
    do: Callable[[Job], Mapping[str, Any]] = attrs.field(repr=False)
    group: str = ""
    label: str = ""
    about: str = ""
    id: str = attrs.field(factory=lambda: secrets.token_hex(8))
    state: State = "waiting"
    index: int = 0
    total: int = 0
    stage: str = ""
    message: str = ""
    result: Mapping[str, Any] = attrs.field(factory=dict)
    created: float = attrs.field(factory=time.time)
    frames: dict[int, dict[str, bytes]] = attrs.field(factory=dict, repr=False)
    cancelled: threading.Event = attrs.field(factory=threading.Event, repr=False)
    queue: Queue | None = attrs.field(default=None, repr=False)

    def document(self) -> dict[str, Any]:
        """What is told of it."""
        keys = (
            "kind",
            "title",
            "group",
            "label",
            "about",
            "id",
            "state",
            "index",
            "total",
            "stage",
            "message",
        )
        known = {key: getattr(self, key) for key in keys}
        return {**known, "created": self.created, "result": dict(self.result), "frames": sorted(self.frames)}

    def step(self, index: int, total: int, stage: str = "", **news: Any) -> None:
        """Tell that a step is done. news: of it, such as a preview.

        Raises:
            Cancelled: it is to stop.
        """
        if self.cancelled.is_set():
            raise Cancelled
        self.index, self.total, self.stage, self.state = index, total, stage, "running"
        if self.queue is not None:
            step = {"id": self.id, "index": index, "total": total, "stage": stage, **news}
            self.queue.tell("step", step)


Teller = Callable[[str, Mapping[str, Any]], None]


class Queue:
    """Jobs in order, one at a time, in a thread of their own.

    describe: what an exception says to a person.
    """

    def __init__(self, describe: Callable[[BaseException], str] = str) -> None:
        self._describe = describe
        self._waiting: deque[Job] = deque()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._tellers: set[Teller] = set()
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self, first: Callable[[], None] = lambda: None) -> None:
        """Begin to work. first: what the thread does before."""
        self._thread = threading.Thread(target=self._work, args=(first,), name="glidepath-page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancel all, and wait a moment for what is under way."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            for job in self._jobs.values():
                job.cancelled.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def add(self, *jobs: Job) -> None:
        """Have some jobs done, all or none.

        Raises:
            TooMany: so many are waiting already.
        """
        with self._changed:
            if len(self._waiting) + len(jobs) > MOST_WAITING:
                raise TooMany(f"{len(self._waiting)} jobs are waiting; at most {MOST_WAITING} may")
            for job in jobs:
                job.queue = self
                self._jobs[job.id] = job
                self._waiting.append(job)
            while len(self._jobs) > MOST_KEPT + MOST_WAITING:
                self._jobs.popitem(last=False)
            self._changed.notify_all()
        for job in jobs:
            self.tell("job", job.document())

    def cancel(self, id: str) -> None:
        """Have a job stop after its step, or not begin. One that has ended stays as it is."""
        job = self.job(id)
        job.cancelled.set()
        with self._changed:
            waits = job in self._waiting
            if waits:
                self._waiting.remove(job)
                job.state = "cancelled"
        if waits:
            self.tell("job", job.document())

    def job(self, id: str) -> Job:
        """A job by its id.

        Raises:
            GlidepathError: there is none, or it is long forgotten.
        """
        with self._changed:
            if id not in self._jobs:
                raise GlidepathError("there is no such job any more")
            return self._jobs[id]

    def documents(self) -> list[dict[str, Any]]:
        """What is told of all jobs that are known, the oldest first."""
        with self._changed:
            return [job.document() for job in self._jobs.values()]

    def listen(self, teller: Teller) -> None:
        """Have a function told all news, from other threads."""
        with self._changed:
            self._tellers.add(teller)

    def tell(self, name: str, news: Mapping[str, Any]) -> None:
        """Tell all who listen."""
        for teller in tuple(self._tellers):
            teller(name, news)

    def _work(self, first: Callable[[], None]) -> None:
        with contextlib.suppress(Exception):  # the first job meets it again, and tells of it
            first()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._waiting.popleft()
                job.state = "loading"
            self._run(job)

    def _run(self, job: Job) -> None:
        self.tell("job", job.document())
        began = time.perf_counter()
        try:
            if job.cancelled.is_set():
                raise Cancelled
            result = job.do(job)
            job.result = {**result, "seconds": time.perf_counter() - began}
            job.state = "done"
        except Cancelled:
            job.state = "cancelled"
        except Exception as error:  # whatever a part raises ends its job, and no other
            job.state, job.message = "failed", self._describe(error)
        self.tell("job", job.document())
