"""The interface of the network that learns to reverse the chain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from glidepath.core.conditioning import Conditioning
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction, PredictionKind
from glidepath.core.size import sides

Predict = Callable[[Tensor, Step], Prediction]
"""(x [B, C, *spatial], Step) -> Prediction: a denoiser with its conditioning and levels bound."""

Bind = Callable[[Conditioning], Predict]
"""Conditioning -> Predict: what a guidance wraps."""


class Denoiser(nn.Module, ABC):
    """Predicts epsilon, x_0, the velocity or the flow from x_t.

    Subclasses set, in their constructor:
        predicts: what `forward` returns in its first C channels.
        learned_variance: whether `forward` returns 2C channels, of which the second C are v in [-1, 1]
            between the two bounds of the log-variance (Nichol & Dhariwal 2021).
        image_shape: (C, *spatial) of the x that the denoiser was made for; `takes` says which other sizes
            it takes. Of images in pixels, the pipeline knows the size.
        reads: the names of the conditions that it reads; it is given no others. One that reads "low_res" is
            an upsampler, and cannot predict without.
        num_classes: how many class labels it knows; None for a denoiser that takes no label.
        null_label: the label that stands for no class, where it was trained with one; for classifier-free
            guidance.
    """

    predicts: PredictionKind
    learned_variance: bool
    image_shape: tuple[int, ...]
    reads: frozenset[str] = frozenset()
    num_classes: int | None = None
    null_label: int | None = None

    @property
    def needs_low_res(self) -> bool:
        """Whether it is an upsampler."""
        return "low_res" in self.reads

    def takes(self, size: Sequence[int]) -> str:
        """What is wrong with an x of a spatial size other than it was made for; "" if nothing is.

        Here: every other size is. A denoiser that runs on others overrides it.
        """
        made = self.image_shape[1:]
        return "" if tuple(size) == made else f"the denoiser takes an x of {sides(made)} alone"

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
