"""How often each timestep is trained: the interface, and the densities."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from glidepath.core import NoiseSchedule, PartError
from glidepath.plugins.train.data.draws import drawn
from glidepath.plugins.train.losses.configs import (
    AroundConfig,
    ImportanceConfig,
    LogNormalConfig,
    NormalConfig,
    ShiftedConfig,
)
from glidepath.plugins.train.losses.timesteps import normal_times, shifted_times, time_at


class TimestepDensity(nn.Module, ABC):
    """Draws the time of each sample: a map of uniform numbers to times, so that densities can be combined.

    What it has to remember is in buffers, which checkpoints keep. All of it is on the host.

    weighs: whether `weights` and `observe` do something.
    """

    weighs: bool = False

    def attach(self, schedule: NoiseSchedule) -> None:
        """Take what it needs of the schedule, once, before the first step."""

    def uniforms(self, count: int, generator: torch.Generator) -> Tensor:
        """[count] float32 in [0, 1), each of them uniform; here: independent of each other."""
        return drawn(torch.rand, (count,), generator)

    @abstractmethod
    def times(self, uniform: Tensor, schedule: NoiseSchedule, size: Sequence[int]) -> Tensor:
        """The times of uniform numbers [B]: [B] int64 timesteps, or float64 in continuous time.

        size: of x_0, [*spatial].
        """

    def weights(self, t: Tensor) -> Tensor:
        """[B] float32, by which losses at times [B] are multiplied: their mean is that of uniform times."""
        return torch.ones(len(t))

    def observe(self, t: Tensor, losses: Tensor) -> None:
        """Learn from the losses [B] of times [B], not weighted by `weights`; once a step."""


class UniformDensity(TimestepDensity):
    """Every timestep as often (Ho et al. 2020, algorithm 1)."""

    def times(self, uniform: Tensor, schedule: NoiseSchedule, size: Sequence[int]) -> Tensor:
        """The share of the times that lies before."""
        return time_at(schedule, uniform.double())


class LogitNormalDensity(TimestepDensity):
    """t, as a share of all times, is the logistic function of a normal number.

    Esser et al. 2024, "Scaling Rectified Flow Transformers", equation 19.
    """

    def __init__(self, config: NormalConfig) -> None:
        super().__init__()
        self.mean, self.std = config.mean, config.std

    def times(self, uniform: Tensor, schedule: NoiseSchedule, size: Sequence[int]) -> Tensor:
        """The inverse of its distribution function."""
        share = torch.sigmoid(self.mean + self.std * torch.special.ndtri(uniform.double()))
        t = time_at(schedule, share)
        return t if schedule.continuous else t.clamp(max=schedule.num_steps - 1)


class LogNormalDensity(TimestepDensity):
    """sigma / alpha is log-normal (Karras et al. 2022, "Elucidating the Design Space", table 1)."""

    def __init__(self, config: LogNormalConfig) -> None:
        super().__init__()
        self.mean, self.std = config.mean, config.std

    def times(self, uniform: Tensor, schedule: NoiseSchedule, size: Sequence[int]) -> Tensor:
        """The nearest timestep, where there are those."""
        return normal_times(torch.special.ndtri(uniform.double()), schedule, self.mean, self.std)


class AroundDensity(TimestepDensity):
    """Changes another density, which is uniform where none is given."""

    def __init__(self, density: TimestepDensity | None = None) -> None:
        super().__init__()
        self.density = density or UniformDensity()
        self.weighs = self.density.weighs

    def attach(self, schedule: NoiseSchedule) -> None:
        """Pass it on."""
        self.density.attach(schedule)

    def uniforms(self, count: int, generator: torch.Generator) -> Tensor:
        """Those of the density inside."""
        return self.density.uniforms(count, generator)

    def times(self, uniform: Tensor, schedule: NoiseSchedule, size: Sequence[int]) -> Tensor:
        """Those of the density inside."""
        return self.density.times(uniform, schedule, size)

    def weights(self, t: Tensor) -> Tensor:
        """Those of the density inside."""
        return self.density.weights(t)

    def observe(self, t: Tensor, losses: Tensor) -> None:
        """Pass it on."""
        self.density.observe(t, losses)


class ShiftedDensity(AroundDensity):
    """`shift` times the sigma / alpha of another density: the log-SNR moves by -2 log(shift).

    By resolution the shift is the side of x_0 over a reference side (Hoogeboom et al. 2023, "simple
    diffusion", equation 4; Esser et al. 2024, "Scaling Rectified Flow Transformers", equation 23).
    """

    def __init__(self, config: ShiftedConfig, *, density: TimestepDensity | None = None) -> None:
        """Raises PartError around a density that weighs losses by its own times."""
        super().__init__(density)
        if self.weighs:
            raise PartError(
                "shifted: density: it weighs its losses by its own times, which cannot be shifted"
            )
        self.shift, self.reference = config.shift, config.reference

    def times(self, uniform: Tensor, schedule: NoiseSchedule, size: Sequence[int]) -> Tensor:
        """A timestep is the first whose log-SNR is no larger than that, or the last."""
        shift = self.shift
        if shift is None:
            assert self.reference is not None  # `shifted_faults`
            shift = math.prod(size) ** (1 / len(size)) / self.reference
        return shifted_times(super().times(uniform, schedule, size), schedule, shift)


class StratifiedDensity(AroundDensity):
    """One sample of a batch in each of as many equal parts of a density, for a loss of less variance.

    Each sample by itself has the density still, whichever place in the batch it has. Kingma et al. 2021,
    "Variational Diffusion Models", appendix I.1, with a draw of its own in each part.
    """

    def __init__(self, config: AroundConfig, *, density: TimestepDensity | None = None) -> None:
        super().__init__(density)

    def uniforms(self, count: int, generator: torch.Generator) -> Tensor:
        """A number in each of `count` equal parts of [0, 1), in random order."""
        return drawn(_one_in_each_part, (count,), generator)


def _one_in_each_part(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    (count,) = shape
    within = torch.rand(count, generator=generator)
    parts = torch.randperm(count, generator=generator)
    return ((parts + within.double()) / count).float().clamp(max=1 - 2**-24)


class ImportanceDensity(TimestepDensity):
    """p(t) in proportion to sqrt(E[L_t^2]), and each loss over p(t), for a loss of less variance.

    Nichol & Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models", equation 18. Uniform until
    there are `history` losses of each timestep. On a GPU each step waits for its losses.
    """

    weighs = True
    squares: Tensor
    counts: Tensor

    def __init__(self, config: ImportanceConfig) -> None:
        super().__init__()
        self.config = config

    def attach(self, schedule: NoiseSchedule) -> None:
        """Room for the losses of each timestep, or of each of `bins` pieces of continuous time."""
        self.continuous = schedule.continuous
        rows = self.config.bins if schedule.continuous else schedule.num_steps
        self.register_buffer("squares", torch.zeros(rows, self.config.history, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(rows, dtype=torch.int64))

    @property
    def probabilities(self) -> Tensor:
        """[N] float64, of each timestep."""
        rows, history = self.squares.shape
        even = torch.full((rows,), 1 / rows, dtype=torch.float64)
        if int(self.counts.min()) < history:
            return even
        root = self.squares.mean(1).sqrt()
        total = root.sum()
        return even if total == 0 else self.config.uniform * even + (1 - self.config.uniform) * root / total

    def times(self, uniform: Tensor, schedule: NoiseSchedule, size: Sequence[int]) -> Tensor:
        """The inverse of the distribution function; even within a piece."""
        chances = self.probabilities
        ends = chances.cumsum(0)
        u = uniform.double() * ends[-1]
        rows = torch.searchsorted(ends, u, right=True).clamp(max=len(ends) - 1)
        if not self.continuous:
            return rows
        share = (u - (ends - chances)[rows]) / chances[rows]
        return (rows + share.clamp(0, 1 - 1e-9)) / len(ends)

    def weights(self, t: Tensor) -> Tensor:
        """1 / (N p(t))."""
        chances = self.probabilities
        return (1 / (len(chances) * chances[self._rows(t)])).float()

    def observe(self, t: Tensor, losses: Tensor) -> None:
        """Keep the newest squares of each timestep."""
        for row, loss in zip(self._rows(t).tolist(), losses.detach().double().tolist(), strict=True):
            self.squares[row, int(self.counts[row]) % self.squares.shape[1]] = loss**2
            self.counts[row] += 1

    def _rows(self, t: Tensor) -> Tensor:
        rows = len(self.counts)
        return (t * rows).long().clamp(max=rows - 1) if self.continuous else t
