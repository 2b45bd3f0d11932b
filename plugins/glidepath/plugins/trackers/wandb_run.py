"""The tracker `wandb`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from glidepath.plugins.trackers.configs import WandbConfig
from glidepath.plugins.trackers.tracker import Tracker, known_as, plain_name, remember


class WandbTracker(Tracker):
    """A run that is gone on with when training is. Its key never passes through here."""

    def __init__(self, config: WandbConfig) -> None:
        self.config = config
        self._run: Any = None

    def begin(self, step: int) -> None:
        """Begin a run, or go on with it."""
        self.end("")
        config, folder = self.config, self.subject.folder
        known = known_as(folder, "wandb") if step else ""
        self._run = wandb.init(
            project=config.project,
            entity=config.entity,
            name=config.name or plain_name(self.subject),
            id=known or None,
            resume="allow" if known else None,
            dir=str(folder),
            mode=None if config.mode == "auto" else config.mode,
            job_type=self.subject.kind,
            config={"spec": dict(self.subject.spec)},
            settings=wandb.Settings(console="off", silent=True),
        )
        # steps that are done again after a fault are told again, which W&B's own steps would refuse
        self._run.define_metric("*", step_metric="step")
        remember(folder, "wandb", self._run.id)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Log them."""
        if self._run is not None:
            self._run.log({"step": step, **values})

    def image(self, step: int, name: str, path: Path) -> None:
        """Log it."""
        if self._run is not None and self.config.images:
            self._run.log({"step": step, name: wandb.Image(str(path))})

    def file(self, name: str, path: Path) -> None:
        """As an artifact."""
        weights = path.suffix == ".safetensors"
        if self._run is None or (weights and not self.config.keep_weights):
            return
        artifact = wandb.Artifact(
            f"{plain_name(self.subject)}-{name}", type="model" if weights else "description"
        )
        artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def end(self, state: str) -> None:
        """End the run; what is under way is sent first."""
        if self._run is not None:
            self._run.finish(exit_code=1 if state == "failed" else 0)
            self._run = None
