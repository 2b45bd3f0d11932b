"""Sheets of samples at fixed prompts and noise, drawn while a model is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from glidepath.core import ImagePipeline
from glidepath.plugins.train.data.sheet import contact_sheet
from glidepath.registry import write_whole

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import Samples

FOLDER = "samples"

PipelineOf = Callable[[Mapping[str, nn.Module]], ImagePipeline]
"""The pipeline of a spec with other modules in place of its own, by the names that checkpoints give them."""


class Sheets:
    """Draws with the averages of a stage's modules. Training comes to the same weights without it."""

    def __init__(self, samples: Samples, pipeline_of: PipelineOf, averaged: nn.ModuleDict) -> None:
        self._samples = samples
        self._pipeline_of, self._averaged = pipeline_of, averaged
        self._pipeline: ImagePipeline | None = None

    def due(self, step: int, batch: int) -> bool:
        """Whether one is drawn after `step` steps of `batch` images."""
        if self._samples.every_images is not None:
            every = self._samples.every_images
            return step * batch // every > (step - 1) * batch // every
        return step % self._samples.every == 0

    def draw(self, folder: Path, step: int) -> Path:
        """Draw one, each image over what was asked; the file of it, `samples/STEP.png` in the run's folder.

        Raises:
            GlidepathError: the spec cannot make these images, or the file cannot be written.
        """
        if self._pipeline is None:
            self._pipeline = self._pipeline_of(dict(self._averaged.items()))
        samples = self._samples
        prompts = samples.prompts or ("",) * len(samples.labels)
        images = self._pipeline(prompts, seed=samples.seed, labels=samples.labels or None)
        asked = samples.prompts or [f"label {label}" for label in samples.labels]
        columns = samples.columns or max(1, round(len(images) ** 0.5))
        sheet = contact_sheet(list(images), asked, columns, shrinks=False)
        path = folder / FOLDER / f"{step:08d}.png"
        write_whole(path, lambda partial: sheet.save(partial, format="PNG"))
        return path
