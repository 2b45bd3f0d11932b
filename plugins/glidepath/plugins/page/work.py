"""Studies and runs of training, as their folders tell of them: the page reads, and others do the work.

How far they are is what `glidepath study list`, `study status` and `runs` print as JSON. They are asked in
one process beside, and seldom: what asking costs is a small share of the time, however many pages watch.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.page.asking import Commands, environment
from glidepath.registry import read_lines

LOG, EVENTS, HEARTBEAT, SHEETS, REPORT, GRAPH = (
    "log.jsonl",
    "events.jsonl",
    "heartbeat.json",
    "samples",
    "report/report.html",
    "graph.json",
)

_SHARE = 0.01
"""Of the time of one processor, that looking at studies and runs may take."""

_SHORTEST = 4.0
"""Seconds between two looks of a page: twenty pages ask with 1 % of a processor."""
_POINTS = 300
_LAST = 40
_SHEET = re.compile(r"[\w-]+\.png")

Json = Mapping[str, Any]


@attrs.frozen(eq=False)
class _Started:
    """A process that was begun for a study, and what it says."""

    what: str
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def told(self) -> str:
        """How it stands, in a few words."""
        status = self.process.poll()
        if status is None:
            return f"glidepath study {self.what} is running"
        if not status:
            return f"glidepath study {self.what} is done"
        self.said.seek(0)
        # what stands before a carriage return was a bar of progress
        last = self.said.read().rpartition(b"\r")[2].decode("utf-8", "replace").strip()[-600:]
        return f"glidepath study {self.what} ended with status {status}: {last}"


class Work:
    """The studies and runs below two folders. What a browser names is one of those that were listed.

    no_plugins: the commands that are asked and begun load what comes with glidepath and nothing else.
    """

    def __init__(self, *, studies: Path, runs: Path, no_plugins: bool = False) -> None:
        self._commands = Commands(no_plugins=no_plugins)
        self._switches = ["--no-plugins"] if no_plugins else []
        self._folders = {"study": studies, "run": runs}
        self._asking = threading.Lock()
        self._known: dict[str, tuple[float, float, Any]] = {}
        self._cost = 0.0
        self._started: dict[str, _Started] = {}

    def close(self) -> None:
        """End the process that answers."""
        self._commands.close()

    def studies(self) -> Json:
        """Every study with its stages, arms and failures."""
        answer = self._seldom("studies", self._read_studies)
        told = [{**study, "told": self._told(study["name"])} for study in answer["studies"]]
        return {**answer, "studies": told}

    def _told(self, name: str) -> str:
        """How the process that was begun for a study stands; "" where there is none."""
        return self._started[name].told() if name in self._started else ""

    def _read_studies(self) -> Json:
        folder = self._folders["study"]
        listed = self._printed("study", "list", str(folder), "--json") if folder.is_dir() else []
        found = []
        for row in listed:
            place = Path(row["folder"])
            try:
                status = self._printed("study", "status", str(place), "--json")
            except GlidepathError as error:
                status = {"problem": str(error)}
            known = {key: value for key, value in status.items() if key != "folder"}
            report = (place / REPORT).is_file()
            found.append({**known, "name": _name(place, folder), "trials": row["trials"], "report": report})
        return {"studies": found}

    def runs(self) -> Json:
        """Every run with its state, its last figures, its curves, its newest sheet and what happened last."""
        return self._seldom("runs", self._read_runs)

    def _read_runs(self) -> Json:
        folder = self._folders["run"]
        marks = (LOG, EVENTS, HEARTBEAT)  # by these `glidepath runs` knows a run
        if not folder.is_dir() or not any(any(folder.glob(f"*/{mark}")) for mark in marks):
            return {"runs": []}
        found = []
        for row in self._printed("runs", str(folder), "--json"):
            place = Path(row["run"])
            sheets = sorted(it.name for it in (place / SHEETS).glob("*.png") if _SHEET.fullmatch(it.name))
            found.append(
                {
                    **{key: value for key, value in row.items() if key != "run"},
                    "name": _name(place, folder),
                    "curves": curves(_lines(place / LOG)),
                    "events": [_told(event) for event in _lines(place / EVENTS)[-_LAST:]],
                    "sheets": sheets[-12:],
                }
            )
        return {"runs": found}

    def sheet(self, name: str, file: str) -> bytes:
        """A sheet of samples of a run. Raises GlidepathError: there is none."""
        path = self._folder("run", name) / SHEETS / file
        if not _SHEET.fullmatch(file) or path.is_symlink() or not path.is_file():
            raise GlidepathError("there is no such sheet")
        return path.read_bytes()

    def report(self, name: str) -> bytes:
        """The report of a study, one page of HTML. Raises GlidepathError: there is none."""
        path = self._folder("study", name) / REPORT
        if not path.is_file():
            raise GlidepathError("this study has no report yet")
        return path.read_bytes()

    def stop(self, kind: str, name: str) -> Json:
        """Let a running study, or run, end."""
        folder = str(self._folder(kind, name))
        words = ("study", "stop", folder) if kind == "study" else ("runs", folder, "--stop")
        with self._asking:
            said = self._said(*words)
            self._known.clear()
        return {"said": said.strip()}

    def begin(self, name: str, what: str) -> Json:
        """Have a study try again what failed, or write its report, in a process of its own.

        It is the study that ran last: its overrides, its folder and its threads are those of that run. A
        report takes what was measured then, though code has changed since, and says so.

        Raises:
            GlidepathError: the file that the study was run from is not there any more, or it is busy.
        """
        if what not in ("retry", "report"):
            raise GlidepathError("a study is tried again, or reported")
        store = self._folder("study", name).absolute()
        try:
            graph = json.loads((store / GRAPH).read_text(encoding="utf-8"))
            file, folder = Path(str(graph["file"])), Path(str(graph.get("folder", "")))
            # an earlier version kept neither
            sets, threads = [str(it) for it in graph.get("set", ())], graph.get("threads")
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise GlidepathError(f"{name} does not say which file it was run from") from error
        if not file.is_file():
            raise GlidepathError(f"the file of {name}, {file.name}, is not where it was")
        busy = [it for it, begun in self._started.items() if begun.process.poll() is None]
        if name in busy:
            raise GlidepathError(f"{self._started[name].told()}; wait until it has ended")
        if len(busy) >= 2:
            raise GlidepathError("two such processes run already; wait until one has ended")
        words = [what, str(file), "--store", str(store), *(f"--set={it}" for it in sets), *self._switches]
        words += ["--as-measured"] if what == "report" else []
        said = tempfile.TemporaryFile()  # noqa: SIM115 - it is read when the process has ended
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "glidepath.registry.cli", "study", *words],
            cwd=folder if folder.is_dir() else None,
            env=environment() | ({"OMP_NUM_THREADS": str(threads)} if threads else {}),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        self._started[name] = _Started(what, process, said)
        return {"said": f"glidepath study {what} has begun; it goes on when this page is closed"}

    def _folder(self, kind: str, name: str) -> Path:
        """The folder of a study or run that was listed by this name."""
        listed = self.studies()["studies"] if kind == "study" else self.runs()["runs"]
        if name not in [it["name"] for it in listed]:
            raise GlidepathError(f"there is no {kind} of that name")
        return self._folders[kind] / name

    def _seldom(self, key: str, read: Callable[[], Json]) -> Json:
        """What was read last, or anew where that is long enough ago for what it costs."""
        with self._asking:
            until, _, answer = self._known.get(key, (0.0, 0.0, None))
            is_first = answer is None  # what is imported then counts for nothing
            if is_first or time.monotonic() >= until:
                self._cost = -time.thread_time()
                answer = read()
                cost = 0.0 if is_first else self._cost + time.thread_time()
                self._known[key] = (time.monotonic() + max(_SHORTEST, cost / _SHARE), cost, answer)
        return {**answer, "again": max(_SHORTEST, self._known[key][1] / _SHARE)}

    def _printed(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(self._said(*arguments), parse_constant=lambda _: None)  # NaN is no JSON

    def _said(self, *arguments: str) -> str:
        """What a command prints.

        Raises:
            GlidepathError: it failed, or no plugin supplies it.
        """
        said, seconds = self._commands.ask(*arguments)
        self._cost += seconds
        return said


def curves(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """The figures of a log, as points of step and value, thinned to some hundreds."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        step = line.get("step")
        for name, value in line.items():
            if name != "step" and _is_number(value) and _is_number(step):
                found.setdefault(name, []).append((float(step), float(value)))  # type: ignore[arg-type]
    thinned = {name: points[:: -(-len(points) // _POINTS)] for name, points in found.items()}
    return {name: points for name, points in thinned.items() if len(points) > 1}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a file that are JSON objects; a kill may have cut one short."""
    found = []
    with contextlib.suppress(OSError, GlidepathError):
        for text in read_lines(file):
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict):
                    found.append(line)
    return found


def _told(event: Mapping[str, Any]) -> str:
    """An event in a line, without the files that it names."""
    parts = [f"step {event['step']}" if event.get("step") else "", event.get("name"), event.get("message")]
    return ": ".join(str(part)[:300] for part in parts if part)


def _name(place: Path, folder: Path) -> str:
    """A study or run by its folder's place below the folder of all."""
    try:
        return place.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return place.name
