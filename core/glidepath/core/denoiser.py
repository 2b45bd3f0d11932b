"""The interface of the network that learns to reverse the chain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.model import ConditionalModel
from glidepath.core.prediction import Prediction, PredictionKind

Predict = Callable[[Tensor, Step], Prediction]
"""(x [B, C, *spatial], Step) -> Prediction: a denoiser with its conditioning and levels bound."""

Bind = Callable[[Conditioning], Predict]
"""Conditioning -> Predict: what a guidance wraps."""


class Denoiser(ConditionalModel):
    """Predicts epsilon, x_0, the velocity or the flow from x_t.

    Subclasses set, in their constructor, what a `ConditionalModel` has, and:
        predicts: what `forward` returns in its first C channels.
        learned_variance: whether `forward` returns 2C channels, of which the second C are v in [-1, 1]
            between the two bounds of the log-variance (Nichol & Dhariwal 2021).
    """

    predicts: PredictionKind
    learned_variance: bool
    role = "denoiser"

    @abstractmethod
    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """Predict without preparation, as training does.

        x: [B, C, *spatial] float; t: [B] integer or float timesteps; returns [B, C or 2C, *spatial] float32.
        """

    @abstractmethod
    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """Compute once what does not change from step to step, and return the predictor of these levels.

        It is asked at the times `levels.asked`, each by its `Step.row`. The numbers are those of `forward`,
        up to rounding. The predictor holds no reference to mutable state: several may live at once, in
        several threads.
        """

    def interpret(self, output: Tensor, x: Tensor, step: Step) -> Prediction:
        """Read `forward`'s output as a Prediction: split off the learned variance, name what is predicted."""
        if not self.learned_variance:
            return Prediction(output, self.predicts, x, step)
        value, variance = output.chunk(2, dim=1)
        return Prediction(value, self.predicts, x, step, variance_fraction=(variance + 1) / 2)
