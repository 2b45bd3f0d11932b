"""The tracker `trackio`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trackio

from glidepath.plugins.trackers.configs import TrackioConfig
from glidepath.plugins.trackers.tracker import Tracker, known_as, plain_name, remember


class TrackioTracker(Tracker):
    """A run in the database of this machine."""

    def __init__(self, config: TrackioConfig) -> None:
        self.config = config
        self._run: Any = None

    def begin(self, step: int) -> None:
        """Begin a run, or go on with it."""
        self.end("")
        folder = self.subject.folder
        known = known_as(folder, "trackio") if step else ""
        self._run = trackio.init(
            project=self.config.project,
            name=known or self.config.name or plain_name(self.subject),
            config={"spec": dict(self.subject.spec)},
            resume="allow" if known else "never",
        )
        remember(folder, "trackio", self._run.name)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Log them."""
        if self._run is not None:
            self._run.log(dict(values), step=step)

    def image(self, step: int, name: str, path: Path) -> None:
        """Log it."""
        if self._run is not None and self.config.images:
            self._run.log({name: trackio.Image(str(path))}, step=step)

    def end(self, state: str) -> None:
        """End the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None
