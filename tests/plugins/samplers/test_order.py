"""How fast the solvers approach the probability flow, on data whose exact denoiser is known.

The flow keeps each x at the same share of the distribution (it is one-dimensional here), so that where a walk
ought to arrive is a quantile: no reference solver is needed.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.noise import PerSampleNoise
from glidepath.core.prediction import Prediction
from glidepath.core.sampler import Sampler
from glidepath.plugins.samplers.configs import PndmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.dpmpp import Dpmpp3Sampler, DpmppSampler
from glidepath.plugins.samplers.grid_configs import EulerConfig, HeunConfig
from glidepath.plugins.samplers.heun import HeunSampler
from glidepath.plugins.samplers.multistep_configs import Dpmpp3Config, DpmppConfig, UniPcConfig
from glidepath.plugins.samplers.pndm import PndmSampler
from glidepath.plugins.samplers.unipc import UniPcSampler

from .mixture import Mixture, cumulative

DATA = Mixture(mean=0.8, deviation=0.3)
X = torch.tensor([[-1.6, -0.9, -0.3, 0.2, 0.7, 1.3]], dtype=torch.float64)

SOLVERS: dict[str, tuple[Sampler, float]] = {
    "euler": (DdimSampler(EulerConfig(clip=False)), 1),
    "heun": (HeunSampler(HeunConfig(clip=False)), 2),
    "heun along the flow": (HeunSampler(HeunConfig(clip=False, slope="flow")), 2),
    "dpmpp-2m midpoint": (DpmppSampler(DpmppConfig(clip=False, lower_order_final=False)), 2),
    "dpmpp-2m heun": (DpmppSampler(DpmppConfig(clip=False, lower_order_final=False, solver="heun")), 2),
    # a walk begins (and unipc ends) with a step of the first order, which the others are measured against
    "dpmpp-3m": (Dpmpp3Sampler(Dpmpp3Config(clip=False, lower_order_final=False)), 2),
    "unipc 2": (UniPcSampler(UniPcConfig(clip=False)), 2),
    "unipc 2 bh1": (UniPcSampler(UniPcConfig(clip=False, solver="bh1")), 2),
    "unipc 2 epsilon": (UniPcSampler(UniPcConfig(clip=False, predict_x0=False)), 2),
    "unipc 2 predictor": (UniPcSampler(UniPcConfig(clip=False, corrector=False)), 2),
    "unipc 3": (UniPcSampler(UniPcConfig(clip=False, order=3)), 2),
    "pndm": (PndmSampler(PndmConfig(clip=False, warm_up="heun")), 2),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_halving_the_steps_divides_the_error_by_two_to_the_order(name: str) -> None:
    sampler, order = SOLVERS[name]
    errors = [error(sampler, between(steps)) for steps in (48, 96)]
    assert math.log2(errors[0] / errors[1]) > order - 0.3, errors


def test_a_step_is_exact_where_the_image_is_a_line_in_log_snr() -> None:
    """x_s / sigma_s = x_t / sigma_t + the integral of e^lambda x_0 (Lu et al. 2022, equation 8)."""
    sampler = DpmppSampler(DpmppConfig(clip=False, lower_order_final=False, solver="heun"))
    levels = between(6)
    logs = (levels.alpha / levels.sigma).log()

    def line(x: Tensor, step: Step) -> Prediction:
        return Prediction(0.4 - 0.7 * logs[step.index] + torch.zeros_like(x), "sample", x, step)

    states = list(sampler.states(line, X, levels, PerSampleNoise([(0, 0)])))
    antiderivative = logs.exp() * (0.4 - 0.7 * (logs - 1))
    for index in range(1, 6):  # the first step has no past
        gained = antiderivative[index + 1] - antiderivative[index]
        exactly = levels.sigma[index + 1] * (states[index - 1].x / levels.sigma[index] + gained)
        torch.testing.assert_close(states[index].x, exactly, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "euler"])
def test_at_equal_predictions_every_solver_is_nearer_than_euler(name: str) -> None:
    """Heun predicts twice for each step."""
    steps = 10 if name == "heun" else 20
    assert error(SOLVERS[name][0], between(steps)) < error(SOLVERS["euler"][0], between(20)) / 2


def test_heun_does_not_multiply_what_a_network_errs_after_noise_alone() -> None:
    """A cosine schedule begins where sigma is 20,000 times alpha."""
    log_ratio = torch.tensor([20_000.0, 15.0, 5.0, 1.0, 0.2], dtype=torch.float64).log()
    alpha, sigma = torch.sigmoid(-2 * log_ratio).sqrt(), torch.sigmoid(2 * log_ratio).sqrt()
    levels = NoiseLevels(torch.arange(4).flip(0), alpha, sigma)

    def erring(x: Tensor, step: Step) -> Prediction:
        sample = DATA.predict(x, step).sample
        return Prediction(sample + 0.01 * (step.index == 1), "sample", x, step)

    sampler = HeunSampler(HeunConfig(clip=False))
    ends = []
    for predict in (DATA.predict, erring):
        *_, last = sampler.states(predict, X, levels, PerSampleNoise([(0, 0)]))
        ends.append(last.x)
    assert (ends[0] - ends[1]).abs().max() < 0.02


def between(steps: int) -> NoiseLevels:
    """From log(sigma / alpha) 1.2 to -1.6 at alpha^2 + sigma^2 = 1: nowhere near a clean image."""
    log_ratio = torch.linspace(1.2, -1.6, steps + 1, dtype=torch.float64)
    alpha, sigma = torch.sigmoid(-2 * log_ratio).sqrt(), torch.sigmoid(2 * log_ratio).sqrt()
    return NoiseLevels(torch.arange(steps).flip(0), alpha, sigma)


def error(sampler: Sampler, levels: NoiseLevels) -> float:
    """How far from its quantile the walk ends."""
    *_, last = sampler.states(DATA.predict, X, levels, PerSampleNoise([(0, 0)]))
    exactly = quantile(cumulative(X, float(levels.alpha[0]), float(levels.sigma[0]), DATA), levels)
    return float((last.x - exactly).abs().max())


def quantile(share: Tensor, levels: NoiseLevels) -> Tensor:
    """Where the distribution at the end of the grid has such a share below it, by bisection."""
    low, high = torch.full_like(share, -6), torch.full_like(share, 6)
    for _ in range(60):
        middle = (low + high) / 2
        is_low = cumulative(middle, float(levels.alpha[-1]), float(levels.sigma[-1]), DATA) < share
        low, high = torch.where(is_low, middle, low), torch.where(is_low, high, middle)
    return (low + high) / 2
