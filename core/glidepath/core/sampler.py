"""The interface of samplers: from noise to an image, step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal

import attrs
from torch import Tensor

from glidepath.core.codec import Codec
from glidepath.core.denoiser import Predict
from glidepath.core.levels import NoiseLevels
from glidepath.core.noise import Noise
from glidepath.core.schedule import NoiseSchedule
from glidepath.core.spacing import Spacing

Start = Literal["unit", "sigma_max", "noise"]
"""The standard deviation of the first x: that of noised data of unit variance, sqrt(alpha^2 + sigma^2), as
if there were an image under the noise; sigma, that of the noise alone; or 1."""


Known = Literal["x_0", "x_t"]
"""Where the pixels that a mask keeps are restored: in each predicted x_0, or in each x_t too."""


@attrs.frozen(eq=False)
class State:
    """The state of sampling after a step.

    index: how many steps are done, 1 to total.
    total: how many steps there are.
    x: [B, C, *spatial], the state after the step.
    sample: [B, C, *spatial], the x_0 that the step predicted, clipped where the sampler clips: a preview.
    stage: which stage of a cascade made it, 0 for the first; `index` and `total` count over all stages.
    """

    index: int
    total: int
    x: Tensor
    sample: Tensor
    stage: int = 0


class Sampler(ABC):
    """Turns noise into an image. It holds no state: what it remembers between steps is local to `states`.

    steps: which timesteps of the schedule are visited; `levels` reads it.
    temperature: what the first noise is multiplied by; GLIDE's upsampler uses 0.997.
    start: the standard deviation of the first x at temperature 1.
    known: where the pixels that a mask keeps are restored.
    """

    steps: Spacing
    temperature: float = 1.0
    start: Start = "unit"
    known: Known = "x_0"

    def levels(self, schedule: NoiseSchedule, strength: float = 1.0) -> NoiseLevels:
        """The noise levels that it visits: the schedule's own for `steps`, unless overridden.

        strength: the share of the steps that is taken, above 0 to 1: those nearest the image.

        Raises:
            ValueError: the steps do not exist for this schedule.
        """
        levels = schedule.levels(self.steps)
        return levels.last(max(1, round(strength * len(levels))))

    def first(self, noise: Tensor, levels: NoiseLevels, x_0: Tensor | None = None) -> Tensor:
        """x at the first of `levels`, made of standard normal noise of its shape, and of an x_0 under it."""
        if x_0 is not None:
            return float(levels.alpha[0]) * x_0 + float(levels.sigma[0]) * (self.temperature * noise)
        deviation = {"unit": levels.init_noise_sigma, "sigma_max": float(levels.sigma[0]), "noise": 1.0}
        return deviation[self.start] * (self.temperature * noise)

    def for_codec(self, codec: Codec) -> Sampler:
        """Itself, or a sampler that suits x_0 as this codec has it; `Pipeline` asks.

        A sampler that clips each x_0 leaves that off where the codec is not bounded, unless it was told to.
        """
        return self

    @abstractmethod
    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Sample along `levels` from x at the noisiest point; yields one State for each step.

        x: [B, C, *spatial] float32, noise at the level of the first point.
        Nothing on the device is read back by Python.
        """
