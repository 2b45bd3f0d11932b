"""The kind `warp`: how timesteps lie between image and noise."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from glidepath_rectified_flow.config import ShiftedConfig


class Warp(ABC):
    """A rising map of [0, 1] onto itself: from the share of the timesteps that lie before, to sigma."""

    @abstractmethod
    def __call__(self, u: Tensor) -> Tensor:
        """sigma for u in [0, 1], of any shape, float64."""

    @abstractmethod
    def inverse(self, sigma: Tensor) -> Tensor:
        """u for sigma in [0, 1], of any shape, float64."""


class EvenWarp(Warp):
    """sigma = u."""

    def __call__(self, u: Tensor) -> Tensor:
        """u itself."""
        return u

    def inverse(self, sigma: Tensor) -> Tensor:
        """sigma itself."""
        return sigma


class ShiftedWarp(Warp):
    """sigma = s u / (1 + (s - 1) u): the odds u / (1 - u) times s (Esser et al. 2024, equation 23)."""

    def __init__(self, config: ShiftedConfig) -> None:
        self.shift = config.shift

    def __call__(self, u: Tensor) -> Tensor:
        """Towards the noise, for a shift above 1."""
        return self.shift * u / (1 + (self.shift - 1) * u)

    def inverse(self, sigma: Tensor) -> Tensor:
        """The odds divided by s."""
        return sigma / (self.shift - (self.shift - 1) * sigma)
