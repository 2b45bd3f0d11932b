"""Runs as their folders tell of them: what stands in the log, the events, the heartbeat and the spec."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import yaml

from glidepath.core import GlidepathError
from glidepath.registry import read_lines, read_text

LOG, EVENTS, HEARTBEAT, SPEC = "log.jsonl", "events.jsonl", "heartbeat.json", "spec.yaml"
STOP = "stop.json"
"""A run that finds it in its folder stops after its step."""

_SILENT = 60.0


@attrs.frozen(eq=False)
class Recorded:
    """A run.

    state: running, done, stopped, failed; gone: it says that it runs, and its process is no more, or (of
        another machine) its heart does not beat.
    figures: the lines of its log that have a loss, in order. events: all that happened, in order.
    spec: as plain data, empty where it cannot be read.
    """

    folder: Path
    state: str
    step: int
    total: int
    stage: str
    figures: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]
    spec: Mapping[str, Any]

    @property
    def last(self) -> Mapping[str, Any]:
        """The last line of its log."""
        return self.figures[-1] if self.figures else {}

    def curve(self, figure: str) -> tuple[list[int], list[float]]:
        """The steps at which a figure was logged, and its values."""
        lines = [line for line in self.figures if isinstance(line.get(figure), int | float)]
        return [int(line["step"]) for line in lines], [float(line[figure]) for line in lines]

    @property
    def names(self) -> list[str]:
        """The figures that it has, the loss first."""
        return list(dict.fromkeys(["loss", *(name for line in self.figures for name in line)]))


def find_runs(folders: Iterable[Path]) -> list[Recorded]:
    """The runs in some folders: each is one, or holds some.

    Raises:
        GlidepathError: there is none in one of them.
    """
    found: list[Recorded] = []
    for folder in folders:
        inside = [folder] if is_run(folder) else sorted(filter(is_run, folder.glob("*")))
        if not inside:
            why = (
                f"{folder} is no folder of a run, and holds none: there is no {LOG}, {EVENTS} or {HEARTBEAT}"
                if folder.exists()
                else f"there is no folder {folder}"
            )
            raise GlidepathError(
                f"{why}; `glidepath runs` lists the runs in the folder runs, and `glidepath runs FOLDER` "
                "those in another"
            )
        found += map(read_run, inside)
    return found


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run of training; one that has just begun has no log yet."""
    return any((folder / name).is_file() for name in (LOG, EVENTS, HEARTBEAT))


def read_run(folder: Path) -> Recorded:
    """A run; of what is missing or damaged in its folder nothing is told."""
    events = list(json_lines(folder / EVENTS))
    figures = [line for line in json_lines(folder / LOG) if "loss" in line and "step" in line]
    beat = next(json_lines(folder / HEARTBEAT), {})
    last: Mapping[str, Any] = next((event for event in reversed(events) if event.get("total")), {})
    stands = beat or last
    return Recorded(
        folder=folder,
        state=_state(folder, beat, events),
        step=int(stands.get("step", 0) or 0),
        total=int(stands.get("total", 0) or 0),
        stage=str(stands.get("stage", "")),
        figures=figures,
        events=events,
        spec=read_spec_tree(folder),
    )


def json_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file that are JSON objects; a kill may have cut one short."""
    try:
        lines = list(read_lines(file))
    except (OSError, GlidepathError):
        return
    for text in lines:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line


def read_spec_tree(folder: Path) -> dict[str, Any]:
    """The spec of a run as plain data; empty where there is none that can be read."""
    try:
        spec = yaml.safe_load(read_text(folder / SPEC))
    except (OSError, yaml.YAMLError, GlidepathError):
        return {}
    return spec if isinstance(spec, dict) else {}


def differences(runs: Sequence[Recorded]) -> dict[str, list[str]]:
    """The values of specs that are not the same in all runs, by dotted key."""
    flat = [dict(_flat(run.spec)) for run in runs]
    keys = dict.fromkeys(key for values in flat for key in values)
    found = {key: [values.get(key, "-") for values in flat] for key in keys}
    return {key: values for key, values in found.items() if len(set(values)) > 1}


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for index, item in enumerate(value):
            yield from _flat(item, f"{key}[{index}]")
    else:
        yield key, json.dumps(value, default=str)


def _state(folder: Path, beat: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> str:
    if beat.get("state") == "running":
        try:
            silent = time.time() - (folder / HEARTBEAT).stat().st_mtime
        except OSError:
            silent = 0.0
        return "gone" if silent > _SILENT or _is_dead(beat) else "running"
    ends = {"done": "done", "stopped": "stopped", "diverged": "failed", "error": "failed"}
    named = [ends[event["name"]] for event in events if event.get("name") in ends]
    return str(beat.get("state") or (named[-1] if named else "unknown"))


def _is_dead(beat: Mapping[str, Any]) -> bool:
    """Whether the process of a heartbeat was on this machine, and is no more."""
    process = beat.get("process")
    if os.name != "posix" or beat.get("machine") != socket.gethostname() or not isinstance(process, int):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
