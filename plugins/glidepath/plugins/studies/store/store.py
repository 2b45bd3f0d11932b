"""The folder of a study: every attempt at a node, how it ended, and its result.

    study.yaml, graph.json        what was run last: the file, the arms, and the nodes of each trial
    others/NAME/                  the same of each other study that takes its results from here
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
from glidepath.plugins.studies.store.shapes import PREIMAGE_SHAPE, is_graph, is_number, is_result
from glidepath.plugins.studies.study.sections import FAILURES
from glidepath.registry import CannotWrite, lock_file

RESULT, FAILURE, ORDER = "result.json", "failure.json", "order.json"
LOG, ENVIRONMENT, PREIMAGE, ALIVE = "log.txt", "environment.json", "preimage.json", ".alive"
GRAPH, STUDY, STOP, OTHERS = "graph.json", "study.yaml", "stop.json", "others"
RUNNING, VERDICTS = "running.json", "verdicts.json"
_MOST_DIGITS = 10


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
        seconds = self.record.get("seconds", 0.0)
        return float(seconds) if is_number(seconds) else 0.0


class Store:
    """Reads and writes the folder of one study.

    folder: what is known of the study. root: the nodes, which other studies may share.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        above = folder.parent.parent
        shares = folder.parent.name == OTHERS and (above / GRAPH).is_file()
        self.root = above if shares else folder

    def of(self, name: str) -> Store:
        """The study of a name in this folder: its first one, or one beside it."""
        graph = read_json(self.root / GRAPH, is_graph)
        first = graph is None or graph["study"] == name
        return Store(self.root if first else self.root / OTHERS / name)

    def graph(self) -> Mapping[str, Any]:
        """What was run last.

        Raises:
            StoreError: nothing was, or what is known of it is damaged.
        """
        found: Mapping[str, Any] | None = read_json(self.folder / GRAPH, is_graph)
        if found is None:
            what = "is damaged" if self.has_run() else "is not there"
            raise StoreError(f"{self.folder / GRAPH} {what}: `glidepath study run` writes it anew")
        return found

    def batches(self) -> Iterator[Mapping[str, int]]:
        """Where the noise of prompts is, by batch: of this study's last run, then of those beside it."""
        files = [self.folder / GRAPH, self.root / GRAPH, *sorted(self.root.glob(f"{OTHERS}/*/{GRAPH}"))]
        for file in dict.fromkeys(files):
            graph = read_json(file, is_graph)
            if graph is None:
                continue
            prompts = graph["prompts"]
            # an earlier version drew all prompts as one batch
            for batch in graph.get("batches", [{"prompts": range(len(prompts)), "at": range(len(prompts))}]):
                yield {prompts[it]: at for it, at in zip(batch["prompts"], batch["at"], strict=True)}

    def has_run(self) -> bool:
        """Whether a study has run in it."""
        return (self.folder / GRAPH).exists()

    def is_running(self) -> bool:
        """Whether a driver holds the folder's lock, and runs this study."""
        if not (self.root / ".lock").exists():
            return False
        try:
            descriptor = lock_file(self.root / ".lock")
        except CannotWrite:  # nobody runs whom we could disturb where we may not write
            return False
        if descriptor is None:
            name = (read_json(self.root / RUNNING, {"study": str}) or {"study": ""})["study"]
            return not name or self.of(name).folder == self.folder
        os.close(descriptor)
        return False

    def node(self, key: str) -> Path:
        """The folder of a node, there or not."""
        return self.root / "nodes" / key[:2] / key

    def attempts(self, key: str) -> list[Attempt]:
        """All attempts at a node, the first one first."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in sorted(os.listdir(self.node(key) / "attempts")):
                if name.isascii() and name.isdecimal() and len(name) < _MOST_DIGITS:
                    found.append(self._attempt(key, name))
        return found

    def _attempt(self, key: str, name: str) -> Attempt:
        folder = self.node(key) / "attempts" / name
        result = read_json(folder / RESULT, is_result)
        if result is not None and _are_whole(folder, result.get("files", {})):
            return Attempt(key, int(name), folder, "done", result)
        failure = read_json(folder / FAILURE)
        if failure is not None:
            state = failure.get("failure")
            return Attempt(key, int(name), folder, state if state in FAILURES else "error", failure)
        return Attempt(key, int(name), folder, "running", {})

    def done(self, key: str) -> Attempt | None:
        """The attempt that has the node's result."""
        return next((attempt for attempt in self.attempts(key) if attempt.state == "done"), None)

    def counted(self, key: str) -> list[Attempt]:
        """The failed attempts that were not forgiven."""
        forgiven = read_json(self.node(key) / "forgiven.json", {"attempts": int}) or {"attempts": 0}
        return [
            attempt
            for attempt in self.attempts(key)
            if attempt.number > forgiven["attempts"] and attempt.state not in ("done", "running")
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
            said = self.preimage(key)
            if said is not None:
                yield key, said

    def preimage(self, key: str) -> Mapping[str, Any] | None:
        """What is kept of a node; None where nothing is, or it is damaged."""
        found: Mapping[str, Any] | None = read_json(self.node(key) / PREIMAGE, PREIMAGE_SHAPE)
        return found

    def node_keys(self) -> Iterator[str]:
        """The keys of all nodes that have a folder."""
        for folder in sorted((self.root / "nodes").glob("??/*")):
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


def _are_whole(folder: Path, files: Any) -> bool:
    """Whether the files of an attempt are there, as long as its result says; an early result says nothing."""
    try:
        return isinstance(files, dict) and all((folder / it).stat().st_size == n for it, n in files.items())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {path}: {error.strerror or error}") from error
