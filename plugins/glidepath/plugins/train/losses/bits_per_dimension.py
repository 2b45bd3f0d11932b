"""Bits per dimension: the variational bound of a model, as a metric of studies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from glidepath.core import (
    GeneratorPipeline,
    GlidepathError,
    NoiseLevels,
    PartError,
    PerSampleNoise,
    Pipeline,
    Request,
)
from glidepath.plugins.train.configs import BitsConfig
from glidepath.plugins.train.losses.variational import VariationalBound


class _Drawn(Protocol):
    """What this metric reads of an arm."""

    @property
    def seed(self) -> int: ...

    @property
    def dataset(self) -> Callable[[], Any] | None: ...

    @property
    def pipeline(self) -> Callable[[], Any] | None: ...


class BitsPerDimension:
    """The negative variational bound of real images, in bits for each of their values.

    Ho et al. 2020, equations 5 to 8. The sum over the chain is estimated from timesteps spread over it, one
    at random in each of as many equal pieces, which is unbiased; its two ends, at t = 0 and the prior, are
    counted whole. Guidance has no part in it. The predicted x_0 is not clipped unless `clip` says so;
    the program published with ADM clips it. Numbers compare where the schedule has the same number of steps
    and the images have the same range.

    Of a generator they are of the likelihood that it tells itself, by a method `log_likelihood`; a generator
    without one has no answer.
    """

    name = "bits per dimension"
    direction: Literal["higher", "lower"] = "lower"
    unit = "bits"

    def __init__(self, config: BitsConfig) -> None:
        self.config = config

    def whole_set(self, drawn: _Drawn) -> float:
        """The bound of images of the spec's dataset that training does not draw, under their captions.

        NaN of a generator that knows no likelihood.

        Raises:
            GlidepathError: there is no dataset, or the model has no chain whose bound this is: a cascade, an
                upsampler, or a schedule that keeps no variance.
        """
        if drawn.dataset is None or drawn.pipeline is None:
            raise GlidepathError("bits per dimension are of real images, and this spec has no `data`")
        pipeline = drawn.pipeline()
        if isinstance(pipeline, GeneratorPipeline):
            images, captions = drawn.dataset().batch(self.config.seed, drawn.seed, self.config.images)
            return bits_of_generator(pipeline, images, captions, seed=drawn.seed)
        if not isinstance(pipeline, Pipeline) or pipeline.denoiser.needs_low_res:
            raise GlidepathError("bits per dimension are of a model that denoises from noise alone")
        images, captions = drawn.dataset().batch(self.config.seed, drawn.seed, self.config.images)
        return bits_per_dimension(
            pipeline,
            images,
            captions,
            timesteps=self.config.timesteps,
            seed=drawn.seed,
            variance=self.config.variance,
            clip=self.config.clip,
        )


def bits_of_generator(
    pipeline: GeneratorPipeline, images: Tensor, captions: Sequence[str], *, seed: int = 0
) -> float:
    """Bits for each value of images [B, 3, H, W] in [-1, 1] by a generator's own likelihood; NaN without one.

    `generator.log_likelihood(x_0, conditioning, noise)` gives log densities [B], in nats. Images of 8 bits
    are moved by less than a level, so that a density is a bound on the likelihood of their levels (Theis et
    al. 2016, "A note on the evaluation of generative models", section 3.1).
    """
    likelihood = getattr(pipeline.model, "log_likelihood", None)
    if likelihood is None:
        return math.nan
    pipeline.bring("codec")
    level, draws = 2 / 255, torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        x_0 = pipeline.codec.encode(((images + 1) * 127.5).round().to(torch.uint8).to(pipeline.device))
        x_0 = x_0 + level * (torch.rand(x_0.shape, generator=draws) - 0.5).to(x_0)
        conditioning = pipeline.conditioning(Request(prompts=captions)).only(pipeline.model.reads)
        try:
            found = likelihood(x_0, conditioning, PerSampleNoise([(seed, row) for row in range(len(x_0))]))
        except PartError:
            return math.nan
    nats = float(found.double().mean()) / x_0[0].numel()
    return -(nats + math.log(level)) / math.log(2)


def bits_per_dimension(
    pipeline: Pipeline,
    images: Tensor,
    captions: Sequence[str],
    *,
    timesteps: int,
    seed: int = 0,
    variance: Literal["auto", "small", "large"] = "auto",
    clip: bool = False,
) -> float:
    """The bound of images [B, 3, H, W] in [-1, 1], averaged over them.

    timesteps: how many of the chain's are looked at; as many as it has, or more: all of them.
    variance: of p(x_{t-1} | x_t); auto: the learned one, or the posterior's ("small"); large: beta.
    clip: each predicted x_0 to [-1, 1], as samplers do; the bound is then one of that model.

    Raises:
        GlidepathError: the schedule is not variance-preserving, or in continuous time.
    """
    if pipeline.schedule.continuous:
        raise GlidepathError("bits per dimension are of a chain of timesteps, and this schedule has none")
    count = pipeline.schedule.num_steps
    levels = pipeline.schedule.levels(count)
    if not torch.allclose(levels.alpha**2 + levels.sigma**2, torch.ones(()).double(), atol=1e-4):
        raise GlidepathError(
            "bits per dimension are of a chain that keeps the variance (alpha^2 + sigma^2 = 1), and this "
            "schedule is none"
        )
    bound = VariationalBound(levels)
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    pipeline.bring("codec")
    with torch.inference_mode():
        x_0 = pipeline.codec.encode(((images + 1) * 127.5).round().to(torch.uint8).to(pipeline.device))
        conditioning = pipeline.conditioning(Request(prompts=captions))
        predict = pipeline.prepare(conditioning, levels)
        steps = list(levels.steps(pipeline.device))
        for t, weight in _chosen(count, timesteps, generator):
            step = steps[count - 1 - t]
            noise = torch.randn(x_0.shape, generator=generator).to(x_0)
            prediction = predict(step.alpha * x_0 + step.sigma * noise, step)
            log_variance = _log_variance(prediction.variance_fraction, levels, count - 1 - t, x_0, variance)
            at = torch.full((len(x_0),), t)
            sample = prediction.sample.float()
            sample = sample.clamp(-1, 1) if clip else sample
            total += weight * float(bound.bits(sample, log_variance, x_0, at).mean())
    return total + _prior(x_0, levels)


def _chosen(count: int, wanted: int, generator: torch.Generator) -> list[tuple[int, float]]:
    """Timesteps with what each stands for: 0 for itself, one of each piece of the rest for the piece."""
    if wanted >= count:
        return [(t, 1.0) for t in range(count)]
    chosen = [(0, 1.0)]
    edges = torch.linspace(1, count, wanted).round().int().tolist()
    for first, last in itertools.pairwise(edges):
        if last > first:
            t = int(torch.randint(first, last, (), generator=generator))
            chosen.append((t, float(last - first)))
    return chosen


def _log_variance(
    fraction: Tensor | None, levels: NoiseLevels, row: int, like: Tensor, variance: str
) -> Tensor:
    small = float(levels.posterior_log_variance_clipped[row])
    large = float(levels.beta[row].log())
    if variance == "auto" and fraction is not None:
        return fraction.float() * large + (1 - fraction.float()) * small
    return torch.full_like(like, large if variance == "large" else small)


def _prior(x_0: Tensor, levels: NoiseLevels) -> float:
    """KL(q(x_T | x_0) || N(0, I)) in bits per dimension."""
    alpha, sigma = float(levels.alpha[0]), float(levels.sigma[0])
    kl = 0.5 * (sigma**2 + (alpha * x_0.double()) ** 2 - 1) - math.log(sigma)
    return float(kl.mean()) / math.log(2)
