"""The interface of a tracker."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glidepath.core import Event, Listener, Subject
from glidepath.registry import write_text

_KNOWN = "trackers.json"
_PLAIN_FILES = ("spec.yaml", "spec.lock", "dataset.jsonl", "study.yaml")


class Tracker(Listener):
    """Keeps figures, images and files. Its methods are called from one thread, in the order of events."""

    subject: Subject

    def open(self, subject: Subject) -> None:
        """Note what is tracked; `begin` comes with the first event."""
        self.subject = subject

    def tell(self, event: Event) -> None:
        """Hand on what there is to keep."""
        if event.name == "started":
            self.begin(event.step)
            for name in _PLAIN_FILES:
                if (self.subject.folder / name).is_file():
                    self.file(name, self.subject.folder / name)
        elif event.name in ("logged", "trial-done"):
            self.figures(event.step, _numbers(event))
        elif event.name == "samples":
            for name, path in event.files.items():
                self.image(event.step, name, path)
        elif event.name in ("done", "stopped", "diverged", "error"):
            for name, path in event.files.items():
                self.file(name, path)
            self.end("done" if event.name == "done" else "stopped" if event.name == "stopped" else "failed")

    @abstractmethod
    def begin(self, step: int) -> None:
        """Begin, or go on after `step` steps: what was kept of later ones is done again."""

    @abstractmethod
    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Keep figures of a step."""

    def image(self, step: int, name: str, path: Path) -> None:
        """Keep an image file; here: it is not kept."""

    def file(self, name: str, path: Path) -> None:
        """Keep a file, such as the spec or the weights; here: it is not kept."""

    def end(self, state: str) -> None:
        """It is "done", "stopped" or "failed". It may go on later."""


def _numbers(event: Event) -> dict[str, float]:
    """The figures; of a study those of each arm under its name."""
    if event.name == "trial-done":
        return {f"{event.stage}/{name}": value for name, value in event.figures.items()}
    return {**event.figures}


def known_as(folder: Path, tracker: str) -> str:
    """By which name a tracker knows the run in a folder; "" where it does not know it yet."""
    try:
        return str(json.loads((folder / _KNOWN).read_text(encoding="utf-8"))[tracker])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def remember(folder: Path, tracker: str, name: str) -> None:
    """Keep that name, so that a run that goes on is one run."""
    try:
        known: Any = json.loads((folder / _KNOWN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    known = known if isinstance(known, dict) else {}
    write_text(folder / _KNOWN, json.dumps({**known, tracker: name}) + "\n")


def plain_name(subject: Subject) -> str:
    """A name that every tracker takes."""
    return re.sub(r"[^\w.-]+", "-", subject.name).strip("-.") or "run"
