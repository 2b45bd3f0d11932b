"""How much the error of each sample counts: the interface, and the weightings that are formulas."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from glidepath.core import Denoiser, Prediction, PredictionKind
from glidepath.plugins.train.losses.configs import (
    Edm2WeightingConfig,
    EdmWeightingConfig,
    MinSnrConfig,
    P2Config,
)


class Weighting(nn.Module, ABC):
    """Makes losses of squared errors. What it learns itself is trained beside, and not exported."""

    def attach(self, denoiser: Denoiser) -> None:
        """Take what it needs of the denoiser that is trained, once, before the first step.

        Raises:
            PartError: the denoiser does not have it.
        """

    @abstractmethod
    def losses(self, squared: Tensor, prediction: Prediction) -> Tensor:
        """The losses of B samples.

        squared: [B] float32, the mean squared errors of what was predicted.
        prediction: what it is and where: `kind`, and `step` with alpha and sigma [B, 1, ...] and the
            denoiser's time [B].
        """


class FormulaWeighting(Weighting):
    """A weight that is a function of the noise level."""

    def losses(self, squared: Tensor, prediction: Prediction) -> Tensor:
        """The errors, times their weights."""
        alpha, sigma = prediction.step.alpha.flatten(), prediction.step.sigma.flatten()
        return squared * self.weight(prediction.kind, alpha, sigma)

    @abstractmethod
    def weight(self, kind: PredictionKind, alpha: Tensor, sigma: Tensor) -> Tensor:
        """What the squared error of a prediction of a kind is multiplied by; alpha, sigma: any shape."""


class SimpleWeighting(FormulaWeighting):
    """The error of what is predicted as it is (Ho et al. 2020, equation 14)."""

    def weight(self, kind: PredictionKind, alpha: Tensor, sigma: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(sigma)


class MinSnrWeighting(FormulaWeighting):
    """min(SNR, gamma), a weight of the squared error of x_0 (SNR = (alpha / sigma)^2).

    Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting Strategy", section 3.4.
    """

    def __init__(self, config: MinSnrConfig) -> None:
        super().__init__()
        self.gamma = config.gamma

    def weight(self, kind: PredictionKind, alpha: Tensor, sigma: Tensor) -> Tensor:
        """For epsilon min(SNR, gamma) / SNR; for a velocity min(SNR, gamma) / (SNR + 1)."""
        snr = (alpha / sigma) ** 2
        if kind == "epsilon":
            return (self.gamma / snr).clamp(max=1)
        return snr.clamp(max=self.gamma) * error_of_x_0(kind, alpha, sigma) ** 2


class P2Weighting(FormulaWeighting):
    """1 / (k + SNR)^gamma, a weight of the squared error of epsilon.

    Choi et al. 2022, "Perception Prioritized Training of Diffusion Models", equation 8.
    """

    def __init__(self, config: P2Config) -> None:
        super().__init__()
        self.k, self.gamma = config.k, config.gamma

    def weight(self, kind: PredictionKind, alpha: Tensor, sigma: Tensor) -> Tensor:
        """As a factor of the error of what is predicted."""
        weight = (self.k + (alpha / sigma) ** 2) ** -self.gamma
        return weight * error_of_epsilon(kind, alpha, sigma) ** 2


class EdmWeighting(FormulaWeighting):
    """SNR + 1 / sigma_data^2, a weight of the squared error of x_0.

    Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", table 1 (lambda):
    with it the error of their network F has weight 1 at every noise level.
    """

    def __init__(self, config: EdmWeightingConfig) -> None:
        super().__init__()
        self.sigma_data = config.sigma_data

    def weight(self, kind: PredictionKind, alpha: Tensor, sigma: Tensor) -> Tensor:
        """As a factor of the error of what is predicted."""
        if kind == "epsilon":
            return 1 + (sigma / alpha / self.sigma_data) ** 2
        of_x_0 = (alpha / sigma) ** 2 + self.sigma_data**-2
        return of_x_0 * error_of_x_0(kind, alpha, sigma) ** 2


class _Uncertain(Protocol):
    def log_variance(self, t: Tensor) -> Tensor: ...


class Edm2Weighting(EdmWeighting):
    """EDM's loss over its own expected size e^u at each noise level, and u, which is learned.

    Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", equation 21. The
    denoiser says u where it has `log_variance(t)`, as `edm2-unet` does; else a linear layer learns it here.
    """

    def __init__(self, config: Edm2WeightingConfig) -> None:
        super().__init__(config)
        self._asked: list[_Uncertain] = []  # in a list, it is no module of this one
        self.waves, self.linear = LogWaves(config.channels), nn.Linear(config.channels, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def attach(self, denoiser: Denoiser) -> None:
        """Ask the denoiser for u, if it knows."""
        if hasattr(denoiser, "log_variance"):
            self._asked = [cast(_Uncertain, denoiser)]
            del self.waves, self.linear
        else:
            self.to(next(denoiser.parameters()).device)

    def losses(self, squared: Tensor, prediction: Prediction) -> Tensor:
        """Weighted errors over e^u, plus u."""
        step = prediction.step
        if self._asked:
            u = self._asked[0].log_variance(step.t).flatten()
        else:
            u = self.linear(self.waves((step.sigma / step.alpha).flatten().log() / 4))[:, 0]
        return super().losses(squared, prediction) * (-u.float()).exp() + u.float()


class LogWaves(nn.Module):
    """Cosines of random frequency and phase, [B] -> [B, channels] (Karras et al. 2024, equation 75)."""

    frequencies: Tensor
    phases: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * torch.randn(channels))
        self.register_buffer("phases", 2 * math.pi * torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Of root mean square 1."""
        return math.sqrt(2) * (x.float()[:, None] * self.frequencies + self.phases).cos()


def error_of_x_0(kind: PredictionKind, alpha: Tensor, sigma: Tensor) -> Tensor:
    """By how much x_0 is off for a prediction that is off by 1."""
    if kind == "sample":
        return torch.ones_like(sigma)
    if kind == "epsilon":
        return sigma / alpha
    return sigma / (alpha + sigma) if kind == "flow" else sigma / (alpha**2 + sigma**2)


def error_of_epsilon(kind: PredictionKind, alpha: Tensor, sigma: Tensor) -> Tensor:
    """By how much epsilon is off for a prediction that is off by 1."""
    if kind == "epsilon":
        return torch.ones_like(sigma)
    if kind == "sample":
        return alpha / sigma
    return alpha / (alpha + sigma) if kind == "flow" else alpha / (alpha**2 + sigma**2)
