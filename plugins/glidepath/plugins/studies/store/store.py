"""The folder of a study: every attempt at a node, how it ended, and its result.

    study.yaml, graph.json        what was run last: the file, the arms, and the nodes of each trial
    nodes/ab/abcd.../             a node by its key
        preimage.json             what the key is the digest of
        forgiven.json             how many attempts do not count any more
        work/                     of training: checkpoints, from which the next attempt goes on
        attempts/0001/            one attempt
            order.json, environment.json, log.txt
            result.json           written last, by renaming: the attempt is done
            failure.json          or why it is not

An attempt with neither result nor failure is running, or was, when its process or
the machine stopped.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from glidepath.plugins.studies.store.files import StoreError, read_json, write_json
from glidepath.registry import CannotWrite, lock_file

RESULT, FAILURE, ORDER = "result.json", "failure.json", "order.json"
LOG, ENVIRONMENT, PREIMAGE, ALIVE = "log.txt", "environment.json", "preimage.json", ".alive"
GRAPH, STUDY, STOP = "graph.json", "study.yaml", "stop.json"


@attrs.frozen
class Attempt:
    """One attempt at a node.

    state: "done", "running", or why it failed: one of `sections.FAILURES`.
    record: what its result.json or failure.json holds.
    """

    key: str
    number: int
    folder: Path
    state: str
    record: Mapping[str, Any]

    @property
    def message(self) -> str:
        """Why it failed, in one line."""
        return str(self.record.get("message", ""))

    @property
    def seconds(self) -> float:
        """How long it took."""
        return float(self.record.get("seconds", 0.0))


class Store:
    """Reads and writes the folder of one study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has_run(self) -> bool:
        """Whether a study has run in it."""
        return (self.folder / GRAPH).exists()

    def is_running(self) -> bool:
        """Whether a driver holds the folder's lock."""
        if not (self.folder / ".lock").exists():
            return False
        try:
            descriptor = lock_file(self.folder / ".lock")
        except CannotWrite:  # nobody runs whom we could disturb where we may not write
            return False
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def node(self, key: str) -> Path:
        """The folder of a node, there or not."""
        return self.folder / "nodes" / key[:2] / key

    def attempts(self, key: str) -> list[Attempt]:
        """All attempts at a node, the first one first."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self.node(key) / "attempts")):
                if name.isdigit():
                    found.append(self._attempt(key, name))
        return found

    def _attempt(self, key: str, name: str) -> Attempt:
        folder = self.node(key) / "attempts" / name
        result = read_json(folder / RESULT)
        if isinstance(result, dict):
            return Attempt(key, int(name), folder, "done", result)
        failure = read_json(folder / FAILURE)
        if isinstance(failure, dict):
            return Attempt(key, int(name), folder, str(failure.get("failure", "error")), failure)
        return Attempt(key, int(name), folder, "running", {})

    def done(self, key: str) -> Attempt | None:
        """The attempt that has the node's result."""
        return next((attempt for attempt in self.attempts(key) if attempt.state == "done"), None)

    def counted(self, key: str) -> list[Attempt]:
        """The failed attempts that were not forgiven."""
        forgiven = read_json(self.node(key) / "forgiven.json") or {}
        return [
            attempt
            for attempt in self.attempts(key)
            if attempt.number > int(forgiven.get("attempts", 0)) and attempt.state not in ("done", "running")
        ]

    def forgive(self, key: str) -> None:
        """Let the next run try a node again, whatever became of the attempts so far."""
        last = max((attempt.number for attempt in self.attempts(key)), default=0)
        write_json(self.node(key) / "forgiven.json", {"attempts": last})

    def next_attempt(self, key: str) -> Path:
        """The folder of the attempt after the last, which is not made."""
        last = max((attempt.number for attempt in self.attempts(key)), default=0)
        return self.node(key) / "attempts" / f"{last + 1:04d}"

    def write_preimage(self, key: str, preimage: Mapping[str, Any]) -> None:
        """Write what a key is the digest of, once."""
        path = self.node(key) / PREIMAGE
        if not path.exists():
            make_folder(path.parent)
            write_json(path, dict(preimage))

    def preimages(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What is kept of every node, by key."""
        for key in self.node_keys():
            said = read_json(self.node(key) / PREIMAGE)
            if isinstance(said, dict):
                yield key, said

    def node_keys(self) -> Iterator[str]:
        """The keys of all nodes that have a folder."""
        for folder in sorted((self.folder / "nodes").glob("??/*")):
            if folder.is_dir():
                yield folder.name

    def close_unfinished(self, patience: float = 10.0) -> list[Attempt]:
        """Mark as cancelled the attempts that a driver left running when it died.

        A process that still works on one is waited for, `patience` seconds long.

        No other driver may be running.

        Raises:
            StoreError: a process of an earlier run does not end.
        """
        closed = []
        for key in self.node_keys():
            for attempt in self.attempts(key):
                if attempt.state == "running":
                    self._wait_for(attempt, patience)
                    if self._attempt(key, attempt.folder.name).state == "running":
                        message = "the run that it was part of ended before it"
                        write_json(attempt.folder / FAILURE, {"failure": "cancelled", "message": message})
                    closed.append(self._attempt(key, attempt.folder.name))
        return closed

    def _wait_for(self, attempt: Attempt, patience: float) -> None:
        path = attempt.folder / ALIVE
        deadline = time.monotonic() + patience
        while path.exists():
            descriptor = lock_file(path)
            if descriptor is not None:
                os.close(descriptor)
                return
            if time.monotonic() > deadline:
                raise StoreError(f"a process of an earlier run still works in {attempt.folder}")
            time.sleep(0.1)


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {path}: {error.strerror or error}") from error
