"""Bits per dimension, against the closed form of denoisers whose error is known."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import GlidepathError, PartError
from glidepath.core.generator import Generator, GeneratorPipeline
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.noise import Noise
from glidepath.core.pipeline import Pipeline
from glidepath.core.prediction import Prediction
from glidepath.plugins.train.losses.bits_per_dimension import bits_of_generator, bits_per_dimension
from glidepath.registry.assembly.build import build_part
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.part_planner import plan_part

IMAGES = torch.zeros(2, 3, 4, 4)
STEPS = 40


class Off(Denoiser):
    """Predicts an x_0 that is off by as much everywhere; `fraction`: of the learned variance."""

    predicts = "sample"
    image_shape = (3, 4, 4)

    def __init__(self, by: float, fraction: float | None = None) -> None:
        super().__init__()
        self.by, self.fraction = by, fraction
        self.learned_variance = fraction is not None

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        raise NotImplementedError

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        def predict(x: Tensor, step: Step) -> Prediction:
            x_0 = as_pixels(IMAGES) + self.by
            fraction = None if self.fraction is None else torch.full_like(x, self.fraction)
            return Prediction(x_0, "sample", x, step, variance_fraction=fraction)

        return predict


def as_pixels(images: Tensor) -> Tensor:
    """What comes of images that go through 8 bits."""
    return ((images + 1) * 127.5).round() / 127.5 - 1


def part(kind: str, name: str, **parameters: object) -> Any:
    catalogue = load_catalogue()
    return build_part(plan_part(kind, name, parameters, catalogue), catalogue)


def pipeline(denoiser: Denoiser) -> Pipeline:
    schedule = part("schedule", "cosine", num_steps=STEPS)
    return Pipeline(schedule=schedule, denoiser=denoiser, sampler=part("sampler", "ddpm"))


def bits(denoiser: Denoiser, timesteps: int = STEPS, **more: Any) -> float:
    return bits_per_dimension(pipeline(denoiser), IMAGES, ["", ""], timesteps=timesteps, **more)


def closed_form(by: float, variance: str) -> float:
    """Of `Off`, from the chain's betas alone."""
    levels = pipeline(Off(by)).schedule.levels(STEPS)
    bars = (levels.alpha[:-1].numpy()[::-1] ** 2).astype(float)
    before = np.concatenate([[1.0], bars[:-1]])
    betas = 1 - bars / before
    posterior = betas * (1 - before) / (1 - bars)
    means = (np.sqrt(before) * betas / (1 - bars) * by) ** 2
    used = posterior.copy() if variance == "small" else betas.copy()
    used[0] = posterior[1] if variance == "small" else betas[0]
    nats = 0.5 * (np.log(used[1:] / posterior[1:]) + (posterior[1:] + means[1:]) / used[1:] - 1)
    x_0 = float(as_pixels(torch.zeros(())))
    # the last step: the mass of the 8-bit level, under a Gaussian around the prediction
    spread = math.sqrt(2 * used[0])
    mass = 0.5 * (math.erf((1 / 255 - by) / spread) - math.erf((-1 / 255 - by) / spread))
    prior = 0.5 * (1 - bars[-1] + bars[-1] * x_0**2 - 1) - 0.5 * math.log(1 - bars[-1])
    return float((nats.sum() - math.log(mass) + prior) / math.log(2))


@pytest.mark.parametrize("by", [0.0, 0.003, -0.01])
@pytest.mark.parametrize("variance", ["small", "large"])
def test_the_bound_of_a_known_error_has_its_closed_form(by: float, variance: str) -> None:
    # at t = 0 the bound takes an approximation of the normal distribution that is off by up to 3e-4
    assert bits(Off(by), variance=variance) == pytest.approx(closed_form(by, variance), abs=3e-3)


def test_a_learned_variance_is_used_and_its_ends_are_the_fixed_ones() -> None:
    assert bits(Off(0.003, 0.0)) == pytest.approx(bits(Off(0.003), variance="small"), rel=1e-6)
    assert bits(Off(0.003, 1.0)) == pytest.approx(bits(Off(0.003), variance="large"), rel=1e-6)
    assert bits(Off(0.003, 1.0), variance="small") == pytest.approx(bits(Off(0.003)), rel=1e-6)


@pytest.mark.thorough
def test_a_part_of_the_timesteps_tells_of_all_without_bias() -> None:
    whole = bits(Off(0.01))
    some = [bits(Off(0.01), 8, seed=seed) for seed in range(200)]
    error = np.std(some) / math.sqrt(len(some))
    assert error > 0
    assert abs(np.mean(some) - whole) < 4 * error
    assert bits(Off(0.01), 8, seed=3) == some[3]


def test_a_chain_that_keeps_no_variance_has_no_such_bound() -> None:
    made = pipeline(Off(0.0))
    levels = made.schedule.levels(STEPS)
    made.schedule.levels = lambda _spacing: attrs.evolve(levels, sigma=2 * levels.sigma)
    with pytest.raises(GlidepathError, match="keeps the variance"):
        bits_per_dimension(made, IMAGES, ["", ""], timesteps=4)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_a_clipped_prediction_counts_as_what_it_is_clipped_to(variance: str) -> None:
    """x_0 is a grey, and the prediction is off by 5: clipped it is off by what is left below 1."""
    x_0 = float(as_pixels(torch.zeros(())))
    clipped = bits(Off(5.0), variance=variance, clip=True)
    assert clipped == pytest.approx(bits(Off(1 - x_0), variance=variance), rel=1e-5)
    assert clipped < bits(Off(5.0), variance=variance)


class Even(Generator):
    """Has a likelihood: each value is drawn evenly between -width and width."""

    image_shape = (3, 4, 4)

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width

    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Any:
        raise NotImplementedError

    def log_likelihood(self, x_0: Tensor, conditioning: Conditioning, noise: Noise) -> Tensor:
        assert float((x_0 - as_pixels(IMAGES)).abs().max()) < 1 / 255
        return torch.full((len(x_0),), -x_0[0].numel() * math.log(2 * self.width))


class Mute(Even):
    """Has none, as it says when it is asked."""

    def log_likelihood(self, x_0: Tensor, conditioning: Conditioning, noise: Noise) -> Tensor:
        raise PartError("none")


@pytest.mark.parametrize("levels", [2, 256])
def test_bits_of_a_generator_that_gives_levels_even_chances(levels: int) -> None:
    pipeline = GeneratorPipeline(Even(levels / 255))
    assert bits_of_generator(pipeline, IMAGES, ["", ""]) == pytest.approx(math.log2(levels), abs=1e-5)


def test_a_generator_without_a_likelihood_has_no_bits() -> None:
    assert math.isnan(bits_of_generator(GeneratorPipeline(Mute(1.0)), IMAGES, ["", ""]))
