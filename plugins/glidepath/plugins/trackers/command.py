"""`glidepath track`: hand a run that was trained to a tracker."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core import Event, GlidepathError, Subject
from glidepath.plugins.trackers.runs import EVENTS, HEARTBEAT, LOG, is_run, json_lines, read_spec_tree
from glidepath.registry import (
    CommandParser,
    UsageError,
    add_plugin_switches,
    build_part,
    key_value,
    open_catalogue,
    plan_part,
)

if TYPE_CHECKING:
    from glidepath.plugins.trackers.tracker import Tracker

EPILOG = """\
The figures are those of log.jsonl in the folder, the sheets of samples those that events.jsonl names.

examples:
  glidepath track runs/photos --to tensorboard
  glidepath track runs/photos --to mlflow --set project=photos --set keep_weights=true
"""


def main(argv: Sequence[str]) -> int:
    """Returns 0.

    Raises:
        GlidepathError: there is no run in the folder, or the tracker is not installed.
        SpecError: there is no such tracker, or a parameter of it is wrong.
    """
    import yaml

    arguments = parser().parse_args(argv)
    parameters: dict[str, Any] = {}
    for setting in arguments.set:
        name, _, value = setting.partition("=")
        try:
            parameters[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {setting}: the value is no YAML") from error
    catalogue = open_catalogue(arguments)
    tracker: Tracker = build_part(plan_part("tracker", arguments.to, parameters, catalogue), catalogue)
    count = track(arguments.run, tracker)
    print(f"{count} lines of {arguments.run} were handed to {arguments.to}", file=sys.stderr)
    return 0


def track(folder: Path, tracker: Tracker) -> int:
    """Hand a run to a tracker; how many lines of its log there were.

    Raises:
        GlidepathError: there is no run in the folder, or it has neither figures nor samples yet.
    """
    if not is_run(folder):
        raise GlidepathError(f"{folder} is no folder of a run: there is no {LOG}, {EVENTS} or {HEARTBEAT}")
    events = sorted([*_logged(folder / LOG), *_samples(folder / EVENTS)], key=lambda it: it.step)
    if not events:
        raise GlidepathError(
            f"{folder} has nothing to hand over yet: the first figures come after train.log_every steps"
        )
    tracker.open(Subject(kind="run", name=str(folder), folder=folder, spec=read_spec_tree(folder)))
    tracker.tell(Event(name="started"))
    count = 0
    for event in events:
        tracker.tell(event)
        count += event.name == "logged"
    weights = folder / "weights.safetensors"
    files = {"weights": weights} if weights.is_file() else {}
    tracker.tell(Event(name="done" if files else "stopped", files=files))
    tracker.close(60.0)
    return count


def _logged(file: Path) -> Iterator[Event]:
    for line in json_lines(file):
        figures = {name: it for name, it in line.items() if name != "step" and isinstance(it, int | float)}
        if "loss" in figures:
            yield Event(
                name="logged", step=int(line["step"]), stage=str(line.get("stage", "")), figures=figures
            )


def _samples(file: Path) -> Iterator[Event]:
    for line in json_lines(file):
        if line.get("name") == "samples":
            files = {name: Path(path) for name, path in line.get("files", {}).items()}
            there = {name: path for name, path in files.items() if path.is_file()}
            yield Event(name="samples", step=int(line.get("step", 0)), files=there)


def parser() -> argparse.ArgumentParser:
    """Its arguments. Completion in shells asks for them."""
    parser = CommandParser(
        prog="glidepath track", description="Hand a run that was trained to a tracker.", epilog=EPILOG
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument("--to", required=True, metavar="TRACKER", help="such as csv, tensorboard or mlflow")
    parser.add_argument(
        "--set",
        type=key_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the tracker",
    )
    add_plugin_switches(parser)
    return parser
