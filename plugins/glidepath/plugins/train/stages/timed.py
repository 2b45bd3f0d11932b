"""What stages have in common that learn from x_t at times that a density draws."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.plugins.train.data.dataset import Batch
from glidepath.plugins.train.losses.density import TimestepDensity, UniformDensity
from glidepath.plugins.train.losses.loss import upload
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.run.stage import TrainingStage

HELD_OUT_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Where the loss of held-out images is taken, as shares of the schedule's times."""


class TimedStage(TrainingStage):
    """A stage with a loss for each sample, of its own time. The density may learn from these losses."""

    divides = True

    def __init__(self, run: Run, batch: int, seed: int, timesteps: TimestepDensity | None) -> None:
        """timesteps: None draws all as often."""
        self.run, self.batch = run, batch
        self.timesteps = timesteps or UniformDensity()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.timesteps.attach(run.schedule)
        self._observed: list[tuple[Tensor, Tensor]] = []

    def times(self, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """Those of the samples x_0 [B, C, *spatial]: [B], on the host."""
        uniforms = self.timesteps.uniforms(len(x_0), generator)
        return self.timesteps.times(uniforms, self.run.schedule, x_0.shape[2:])

    def mean_loss(self, losses: Tensor, t: Tensor, batch: Batch) -> Tensor:
        """The mean of the losses [B] at times t, by the weights of the times and of the dataset."""
        if self.timesteps.weighs:
            self._observed.append((t, losses.detach()))
            losses = losses * upload(self.timesteps.weights(t), self.run.device)
        if batch.weights is not None:
            losses = losses * upload(batch.weights, self.run.device)
        return losses.mean()

    def stepped(self) -> None:
        """Let the timesteps know the losses of the step."""
        if self._observed:
            times, losses = (
                self.run.group.together(torch.cat(some), self.batch)
                for some in zip(*self._observed, strict=True)
            )
            self._observed = []
            self.timesteps.observe(times, losses)
