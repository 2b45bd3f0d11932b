"""Diffusion as a family among others: the parts of a pipeline inside a generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from glidepath.core import (
    Conditioning,
    Denoiser,
    Guidance,
    IdentityCodec,
    Noise,
    NoiseSchedule,
    Sampler,
    State,
    Step,
    fold,
)
from glidepath_families.config import DiffusionConfig
from glidepath_families.generator import ImageGenerator


class Diffusion(ImageGenerator):
    """A sampler asks a denoiser along a schedule, under guidance: what a `Pipeline` does.

    Its images are those of a pipeline of the same parts. A guidance that differentiates is none of them.
    """

    def __init__(
        self,
        config: DiffusionConfig,
        *,
        schedule: NoiseSchedule,
        denoiser: Denoiser,
        sampler: Sampler,
        guidance: Sequence[Guidance] = (),
    ) -> None:
        super().__init__()
        self.schedule, self.denoiser, self.guidance = schedule, denoiser, tuple(guidance)
        self.sampler = sampler.for_codec(IdentityCodec())
        self.image_shape, self.reads = denoiser.image_shape, denoiser.reads
        self.num_classes, self.null_label = denoiser.num_classes, denoiser.null_label
        with torch.device("cpu"):  # where levels are, whatever the device that networks are built on
            self.levels = self.sampler.levels(schedule.for_size(self.image_shape[1:]))
        self.steps = len(self.levels)

    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Iterator[State]:
        """Those of the sampler."""
        bind = fold(self.guidance, lambda given: self.denoiser.prepare(given, self.levels), self.levels)
        x = self.sampler.first(x, self.levels)
        return self.sampler.states(bind(conditioning), x, self.levels, noise)

    def squared_error(self, x_0: Tensor, conditioning: Conditioning, draws: torch.Generator) -> Tensor:
        """The error of what the denoiser predicts at times drawn evenly, a scalar.

        Ho et al. 2020, equation 14. draws: on the host.
        """
        batch = len(x_0)
        if self.schedule.continuous:
            t = torch.rand(batch, generator=draws, dtype=torch.float64)
        else:
            t = torch.randint(self.schedule.num_steps, (batch,), generator=draws)
        noise = torch.randn(x_0.shape, generator=draws).to(x_0.device)
        shape = (-1, *[1] * (x_0.ndim - 1))
        alpha, sigma = (it.to(x_0).reshape(shape) for it in self.schedule.alpha_sigma(t))
        received = self.schedule.model_time(t).to(x_0.device)
        received = received.float() if received.is_floating_point() else received
        step = Step(0, received, alpha, sigma)
        x_t = alpha * x_0 + sigma * noise
        prediction = self.denoiser.interpret(self.denoiser(x_t, received, conditioning), x_t, step)
        wanted = {
            "epsilon": noise,
            "sample": x_0,
            "velocity": alpha * noise - sigma * x_0,
            "flow": noise - x_0,
        }
        return (prediction.value.float() - wanted[prediction.kind]).square().mean()
