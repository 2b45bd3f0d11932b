"""The tracker `mlflow`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow.entities import Metric

from glidepath.plugins.trackers.configs import MlflowConfig
from glidepath.plugins.trackers.tracker import Tracker, known_as, plain_name, remember

_STATES = {"done": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MlflowTracker(Tracker):
    """A run of an experiment, through a client of its own: the process may use mlflow besides."""

    def __init__(self, config: MlflowConfig) -> None:
        self.config = config
        self._id = ""

    def begin(self, step: int) -> None:
        """Begin a run, or go on with it."""
        self._client = mlflow.MlflowClient()
        known = known_as(self.subject.folder, "mlflow") if step else ""
        if known:
            self._client.update_run(known, status="RUNNING")
            self._id = known
            return
        found = self._client.get_experiment_by_name(self.config.project)
        experiment = found.experiment_id if found else self._client.create_experiment(self.config.project)
        name = self.config.name or plain_name(self.subject)
        self._id = self._client.create_run(experiment, run_name=name).info.run_id
        self._client.set_tag(self._id, "glidepath.kind", self.subject.kind)
        self._client.log_dict(self._id, dict(self.subject.spec), "spec.json")
        remember(self.subject.folder, "mlflow", self._id)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """All of a step in one call."""
        if self._id:
            now = int(time.time() * 1000)
            metrics = [Metric(name, value, now, step) for name, value in values.items()]
            self._client.log_batch(self._id, metrics=metrics)

    def image(self, step: int, name: str, path: Path) -> None:
        """As an artifact."""
        if self._id and self.config.images:
            self._client.log_artifact(self._id, str(path), name)

    def file(self, name: str, path: Path) -> None:
        """As an artifact."""
        if self._id and (path.suffix != ".safetensors" or self.config.keep_weights):
            self._client.log_artifact(self._id, str(path))

    def end(self, state: str) -> None:
        """Say how it ended."""
        if self._id:
            self._client.set_terminated(self._id, _STATES.get(state))
            self._id = ""
