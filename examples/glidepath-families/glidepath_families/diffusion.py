"""Diffusion as a family among others: the parts of a pipeline inside a generator."""

from __future__ import annotations

import itertools
import math
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
    PartError,
    Prediction,
    Sampler,
    State,
    Step,
    fold,
)
from glidepath_families.config import DiffusionConfig
from glidepath_families.generator import ImageGenerator
from glidepath_families.generator import draws as _draws


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
        self.steps, self.pieces = len(self.levels), config.likelihood_steps

    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Iterator[State]:
        """Those of the sampler."""
        bind = fold(self.guidance, lambda given: self.denoiser.prepare(given, self.levels), self.levels)
        x = self.sampler.first(x, self.levels)
        return self.sampler.states(bind(conditioning), x, self.levels, noise)

    def log_likelihood(self, x_0: Tensor, conditioning: Conditioning, noise: Noise | None = None) -> Tensor:
        """The variational bound of the whole chain, whatever the sampler's steps, without guidance.

        Kingma et al. 2021, "Variational Diffusion Models", equations 11 to 14, in nats: the prior's
        divergence, (SNR(t - 1) - SNR(t)) / 2 times the squared error of the predicted x_0 for every t, and a
        normal density about x_t / alpha where t = 0. `likelihood_steps` pieces of the chain stand for all of
        its steps, each by one step that is drawn for each image, so that the bound has no bias.

        Raises:
            PartError: the schedule has no chain.
        """
        if self.schedule.continuous:
            raise PartError("the bound is of a chain of timesteps, and this schedule has none")
        source, count = noise or _draws(len(x_0)), self.schedule.num_steps
        alpha, sigma = self.schedule.alpha_sigma(torch.arange(count))
        ratio, axes = (alpha / sigma).square(), tuple(range(1, x_0.ndim))
        last = x_0.double() * alpha[-1].item()
        bound = 0.5 * (1 + 2 * sigma[-1].log().item() - sigma[-1].item() ** 2 - last.square()).sum(axes)
        scale = float(sigma[0] / alpha[0])
        bound = bound - x_0[0].numel() * (0.5 + 0.5 * math.log(2 * math.pi) + math.log(scale))
        edges = torch.linspace(1, count, min(self.pieces, count - 1) + 1).round().long()
        for index, (low, high) in enumerate(itertools.pairwise(edges.tolist())):
            drawn = torch.special.ndtr(source.step(2 * index, x_0.new_empty(len(x_0), 1))[:, 0].double())
            t = (low + drawn.cpu() * (high - low)).long().clamp(max=high - 1)
            found = self._predicted(x_0, t, source.step(2 * index + 1, x_0), conditioning).sample
            error = (found.double() - x_0).square().sum(axes)
            weight = ((ratio[t - 1] - ratio[t]) / 2 * (high - low)).to(error)
            bound = bound - weight * error
        return bound.to(x_0.dtype)

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
        prediction = self._predicted(x_0, t, noise, conditioning)
        alpha, sigma = self._mixed(t, x_0)
        wanted = {
            "epsilon": noise,
            "sample": x_0,
            "velocity": alpha * noise - sigma * x_0,
            "flow": noise - x_0,
        }
        return (prediction.value.float() - wanted[prediction.kind]).square().mean()

    def _predicted(self, x_0: Tensor, t: Tensor, noise: Tensor, conditioning: Conditioning) -> Prediction:
        """What the denoiser says of x_0 [B, ...] in as much noise as there is at t [B], without guidance."""
        alpha, sigma = self._mixed(t, x_0)
        received = self.schedule.model_time(t).to(x_0.device)
        received = received.float() if received.is_floating_point() else received
        x_t = alpha * x_0 + sigma * noise
        said = self.denoiser(x_t, received, conditioning)
        return self.denoiser.interpret(said, x_t, Step(0, received, alpha, sigma))

    def _mixed(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (like.ndim - 1))
        alpha, sigma = (it.to(like).reshape(shape) for it in self.schedule.alpha_sigma(t))
        return alpha, sigma
