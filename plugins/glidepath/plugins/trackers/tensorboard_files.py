"""The tracker `tensorboard`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from glidepath.plugins.trackers.configs import TensorBoardConfig
from glidepath.plugins.trackers.tracker import Tracker
from glidepath.registry import read_picture

FOLDER = "tensorboard"
_LONGEST_TEXT = 100_000


class TensorBoardTracker(Tracker):
    """Event files. A run that goes on purges the steps that are done again."""

    def __init__(self, config: TensorBoardConfig) -> None:
        self.config = config
        self._writer: SummaryWriter | None = None

    def begin(self, step: int) -> None:
        """Open a file."""
        self.end("")
        self._writer = SummaryWriter(str(self.subject.folder / FOLDER), purge_step=step + 1 if step else None)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """A scalar for each."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def image(self, step: int, name: str, path: Path) -> None:
        """The image."""
        if self._writer is not None and self.config.images:
            self._writer.add_image(name, np.asarray(read_picture(path)), step, dataformats="HWC")
            self._writer.flush()

    def file(self, name: str, path: Path) -> None:
        """The spec, as text."""
        if self._writer is not None and path.suffix == ".yaml":
            text = path.read_text(encoding="utf-8", errors="replace")[:_LONGEST_TEXT]
            self._writer.add_text(name, "\n".join(f"    {line}" for line in text.splitlines()))

    def end(self, state: str) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
