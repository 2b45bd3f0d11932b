"""The prediction of a denoiser at x_t, seen as epsilon, x_0, velocity or flow."""

from __future__ import annotations

from typing import Literal

import attrs
from torch import Tensor

from glidepath.core.errors import PartError
from glidepath.core.levels import Step

PredictionKind = Literal["epsilon", "sample", "velocity", "flow"]


@attrs.frozen(eq=False)
class Prediction:
    """What was predicted of x_t = alpha x_0 + sigma epsilon, for one step of a sampler.

    value: [B, C, *spatial], the prediction as it was made.
    kind: what `value` is: `epsilon` (the noise), `sample` (x_0), `velocity` (alpha epsilon - sigma x_0,
        Salimans & Ho 2022, "Progressive Distillation", section 4) or `flow` (epsilon - x_0, the slope of the
        straight path, Liu et al. 2023, "Flow Straight and Fast", equation 1).
    x: the x_t it was made at.
    step: gives alpha and sigma.
    variance_fraction: [B, C, *spatial], where the log-variance lies between those of the posterior (0) and of
        beta (1) (Nichol & Dhariwal 2021, equation 15), not clamped; None when variance is not learned.
    gradient: [B, C, *spatial], a sum of grad_x log p(y given x_t); None when nothing guides by gradient.
    unguided: the prediction before a guidance changed its value; None when none did.
    unclipped: the prediction before its x_0 was brought into a range; None when it was not.
    """

    value: Tensor
    kind: PredictionKind
    x: Tensor
    step: Step
    variance_fraction: Tensor | None = None
    gradient: Tensor | None = None
    unguided: Prediction | None = None
    unclipped: Prediction | None = None

    @property
    def epsilon(self) -> Tensor:
        """The predicted noise."""
        if self.kind == "epsilon":
            return self.value
        alpha, sigma = self.step.alpha, self.step.sigma
        if self.kind == "sample":
            return (self.x - alpha * self.value) / sigma
        if self.kind == "flow":
            return (self.x + alpha * self.value) / (alpha + sigma)
        return (sigma * self.x + alpha * self.value) / (alpha * alpha + sigma * sigma)

    @property
    def sample(self) -> Tensor:
        """The predicted x_0, not clipped."""
        if self.kind == "sample":
            return self.value
        alpha, sigma = self.step.alpha, self.step.sigma
        if self.kind == "epsilon":
            return (self.x - sigma * self.value) / alpha
        if self.kind == "flow":
            return (self.x - sigma * self.value) / (alpha + sigma)
        return (alpha * self.x - sigma * self.value) / (alpha * alpha + sigma * sigma)

    @property
    def velocity(self) -> Tensor:
        """The predicted velocity, alpha epsilon - sigma x_0."""
        if self.kind == "velocity":
            return self.value
        return self.step.alpha * self.epsilon - self.step.sigma * self.sample

    @property
    def flow(self) -> Tensor:
        """The predicted flow, epsilon - x_0."""
        return self.value if self.kind == "flow" else self.epsilon - self.sample

    def with_sample(self, sample: Tensor) -> Prediction:
        """The same prediction with another x_0 (thresholded, inpainted): the other forms follow."""
        return attrs.evolve(self, value=sample, kind="sample", unclipped=None)

    def with_clipped(self, sample: Tensor) -> Prediction:
        """The same prediction with its x_0 brought into a range: samplers may keep the noise of before."""
        return attrs.evolve(self.with_sample(sample), unclipped=self.unclipped or self)

    def with_epsilon(self, epsilon: Tensor) -> Prediction:
        """The same prediction with another noise: the other forms follow."""
        return attrs.evolve(self, value=epsilon, kind="epsilon", unclipped=None)

    def as_kind(self, kind: PredictionKind) -> Tensor:
        """What was predicted, in one of its forms."""
        value: Tensor = getattr(self, kind)
        return value

    def guided(self, value: Tensor, kind: PredictionKind | None = None) -> Prediction:
        """The result of a guidance: another value, and this prediction as `unguided`.

        kind: what `value` is; None for the kind of this prediction.
        """
        return attrs.evolve(self, value=value, kind=kind or self.kind, unguided=self, unclipped=None)

    def with_gradient(self, gradient: Tensor) -> Prediction:
        """Add a gradient of log p(y given x_t) to those already there."""
        return attrs.evolve(self, gradient=gradient if self.gradient is None else self.gradient + gradient)

    def require_variance(self, asker: str) -> Tensor:
        """The learned-variance fraction.

        Raises:
            PartError: the denoiser does not learn its variance.
        """
        if self.variance_fraction is None:
            raise PartError(
                f"{asker} needs a learned variance, and the denoiser predicts none; "
                "use a denoiser with learned_variance, or variance: fixed-small or fixed-large"
            )
        return self.variance_fraction
