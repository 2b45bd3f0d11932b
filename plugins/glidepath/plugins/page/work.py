"""Studies and runs of training, as their folders tell of them: the page reads, and others do the work.

How far they are is what `glidepath study list`, `study status` and `runs` print as JSON. They are asked in
one process beside, and seldom: what asking costs is a small share of the time, however many pages watch. What
does not run, and has the files that it had, is not asked about again.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.page.asking import Commands, environment
from glidepath.plugins.page.seldom import Ask, Seldom
from glidepath.registry import read_lines

LOG, EVENTS, HEARTBEAT, SHEETS, REPORT, GRIDS, GRAPH = (
    "log.jsonl",
    "events.jsonl",
    "heartbeat.json",
    "samples",
    "report/report.html",
    "report/figures",
    "graph.json",
)

_POINTS = 300
_LAST = 40
_SHEET = re.compile(r"[\w-]+\.png")

MARKS = (LOG, EVENTS, HEARTBEAT)
"""By these `glidepath runs` knows a run."""

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
        self._started: dict[str, _Started] = {}
        self._status: dict[str, tuple[object, Json]] = {}
        self._run: dict[str, tuple[object, Json]] = {}
        self.answers = {
            "study": Seldom(self._commands, self._read_studies, self._ended),
            "run": Seldom(self._commands, self._read_runs),
        }

    def close(self) -> None:
        """End the process that answers."""
        self._commands.close()

    def _ended(self) -> object:
        """Which processes that were begun for studies have ended: what they did is read at once."""
        return [(name, begun.process.poll()) for name, begun in self._started.items()]

    def _read_studies(self, ask: Ask) -> Json:
        """Every study with its stages, arms and failures."""
        folder = self._folders["study"]
        rows = ask("study", "list", str(folder), "--json") if folder.is_dir() else []
        places = {_name(Path(row["folder"]), folder): Path(row["folder"]) for row in rows}
        # those beside one another share their results
        homes = {name: name.partition("/")[0] for name in places}
        running = {homes[name] for name, row in zip(places, rows, strict=True) if row["running"]}
        marks = {
            home: [_stamp(places[name] / GRAPH) for name in places if homes[name] == home]
            for home in {*homes.values()}
        }
        then, self._status = self._status, {}
        found = []
        for (name, place), row in zip(places.items(), rows, strict=True):
            mark = (marks[homes[name]], homes[name] in running)
            known, status = then.get(name, (None, {}))
            if known != mark or homes[name] in running:
                status = _status(ask, place)
            self._status[name] = (mark, status)
            told = self._started[name].told() if name in self._started else ""
            report = {"report": (place / REPORT).is_file(), "grids": _grids(place)}
            found.append({**status, "name": name, "trials": row["trials"], "told": told, **report})
        return {"studies": found}

    def _read_runs(self, ask: Ask) -> Json:
        """Every run with its state, its last figures, its curves, newest sheets and last events."""
        folder = self._folders["run"]
        places = sorted({file.parent for mark in MARKS for file in folder.glob(f"*/{mark}")})
        marks = {str(it): [_stamp(it / name) for name in (*MARKS, SHEETS)] for it in places}
        known = {place: mark for place, (mark, _) in self._run.items()}
        if known != marks or any(run["state"] == "running" for _, run in self._run.values()):
            rows = ask("runs", str(folder), "--json") if marks else []
            self._run = {row["run"]: (marks.get(row["run"]), self._told_run(row, marks)) for row in rows}
        return {"runs": [run for _, run in self._run.values()]}

    def _told_run(self, row: Json, marks: Mapping[str, object]) -> Json:
        """A run; what its unchanged files hold is taken from what was told of it before."""
        place = Path(row["run"])
        mark, told = self._run.get(row["run"], (None, {}))
        if mark is None or mark != marks.get(row["run"]):
            sheets = sorted(it.name for it in (place / SHEETS).glob("*.png") if _SHEET.fullmatch(it.name))
            told = {
                "name": _name(place, self._folders["run"]),
                "curves": curves(_lines(place / LOG)),
                "events": [_told(event) for event in _lines(place / EVENTS)[-_LAST:]],
                "sheets": sheets[-12:],
            }
        return {**told, **{key: value for key, value in row.items() if key != "run"}}

    def sheet(self, kind: str, name: str, file: str) -> bytes:
        """A sheet of samples of a run, or a grid of a study. Raises GlidepathError: there is none."""
        path = self._folder(kind, name) / (GRIDS if kind == "study" else SHEETS) / file
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
        said, _ = self._commands.ask(*words)
        self.answers[kind].forget()
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
        self._started[name] = _Started(what, process, said)  # and so the studies are read at once
        return {"said": f"glidepath study {what} has begun; it goes on when this page is closed"}

    def _folder(self, kind: str, name: str) -> Path:
        """The folder of a study or run that was listed by this name."""
        if name not in [it["name"] for it in self.told(kind)]:
            raise GlidepathError(f"there is no {kind} of that name")
        return self._folders[kind] / name

    def told(self, kind: str) -> Sequence[Json]:
        """What is told of the studies, or of the runs.

        Raises:
            GlidepathError: they cannot be read.
        """
        answer = self.answers[kind].latest()
        if answer.problem:
            raise GlidepathError(answer.problem)
        found: Sequence[Json] = next(iter(answer.value.values()))
        return found


def _status(ask: Ask, place: Path) -> Json:
    """How far a study is, or why that cannot be told."""
    try:
        status = ask("study", "status", str(place), "--json")
    except GlidepathError as error:
        return {"problem": str(error)}
    return {key: value for key, value in status.items() if key != "folder"}


def _grids(place: Path) -> list[str]:
    """The grids of images in a study's report: what is in the cells of each is told beside it."""
    names = (it.with_suffix(".png").name for it in (place / GRIDS).glob("*.json"))
    return sorted(name for name in names if _SHEET.fullmatch(name) and (place / GRIDS / name).is_file())


def _stamp(file: Path) -> tuple[int, ...]:
    """What is another one when a file, or what is in a folder, has changed; () where there is none."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


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
