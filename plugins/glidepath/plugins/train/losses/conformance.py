"""How the conformance kit uses weightings and timestep densities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from glidepath.core import (
    Conditioning,
    Denoiser,
    NoiseLevels,
    Predict,
    Prediction,
    Step,
    VariancePreservingSchedule,
)
from glidepath.plugins.train.losses.density import TimestepDensity
from glidepath.plugins.train.losses.weighting import Weighting
from glidepath.testing import Trial, require

_STEPS = 20
_KINDS = ("epsilon", "sample", "velocity", "flow")


def _schedule() -> VariancePreservingSchedule:
    return VariancePreservingSchedule(torch.linspace(0.001, 0.4, _STEPS, dtype=torch.float64))


class _Nothing(Denoiser):
    """Has a parameter, and predicts nothing."""

    predicts = "epsilon"
    learned_variance = False
    image_shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        raise NotImplementedError

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        raise NotImplementedError


class WeightingTrial(Trial):
    """Weighs an error at one noise level for each row, once for each kind of prediction."""

    def use(self, built: Weighting, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The losses of each kind."""
        return [self._losses(built, rows, kind, device) for kind in _KINDS]

    def require_shapes(self, built: Weighting) -> None:
        """A loss for each sample, which grows with its error."""
        losses = self._losses(built, range(4), "epsilon", "cpu")
        require(losses.shape == (4,), f"the losses of 4 samples are {list(losses.shape)}, and must be [4]")
        larger = self._losses(built, range(4), "epsilon", "cpu", size=2.0)
        require(bool((larger >= losses).all()), "a larger error has a smaller loss")

    def require_dtypes(self, built: Weighting) -> None:
        """float32."""
        losses = self._losses(built, range(2), "epsilon", "cpu")
        require(losses.dtype == torch.float32, f"losses are {losses.dtype}, and must be float32")

    def _losses(
        self, built: Weighting, rows: Sequence[int], kind: str, device: str, size: float = 1.0
    ) -> Tensor:
        if not getattr(built, "_tried", False):
            built.attach(_Nothing().to(device))
            built._tried = True  # type: ignore[assignment]
        t = torch.tensor([row % _STEPS for row in rows])
        alpha, sigma = (value.float().reshape(-1, 1, 1, 1).to(device) for value in _schedule().alpha_sigma(t))
        x = torch.zeros(len(rows), 3, 8, 8, device=device)
        step = Step(0, t.to(device), alpha, sigma)
        squared = torch.full((len(rows),), size, device=device)
        return built.losses(squared, Prediction(x, kind, x, step)).detach()  # type: ignore[arg-type]


class DensityTrial(Trial):
    """Asks for the time of one uniform number for each row."""

    on_host = True

    def use(self, built: TimestepDensity, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """Times and weights."""
        t = self._times(built, torch.tensor([(row % 16) / 16 for row in rows]))
        return [t, built.weights(t)]

    def require_shapes(self, built: TimestepDensity) -> None:
        """A timestep for each sample, within the schedule, as its generator decides."""
        drawn = [built.uniforms(64, torch.Generator().manual_seed(3)) for _ in range(2)]
        require(torch.equal(*drawn), "the same generator gives other numbers")
        uniform = drawn[0]
        require(uniform.shape == (64,), f"64 uniform numbers are {list(uniform.shape)}")
        require(bool(((uniform >= 0) & (uniform < 1)).all()), "uniform numbers lie outside of [0, 1)")
        t = self._times(built, uniform)
        require(t.shape == (64,), f"the times of 64 samples are {list(t.shape)}, and must be [64]")
        require(bool(((t >= 0) & (t < _STEPS)).all()), f"timesteps lie outside of 0 to {_STEPS - 1}")

    def require_dtypes(self, built: TimestepDensity) -> None:
        """int64 of a chain of timesteps."""
        t = self._times(built, torch.tensor([0.5]))
        require(t.dtype == torch.int64, f"timesteps are {t.dtype}, and must be int64")

    def _times(self, built: TimestepDensity, uniform: Tensor) -> Tensor:
        if not getattr(built, "_tried", False):
            built.attach(_schedule())
            built._tried = True  # type: ignore[assignment]
        return built.times(uniform, _schedule(), (8, 8))
