"""Training what starts from a low-resolution image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.plugins.train.tiny import SIZE, Colours, TinyDenoiser, config, make_run
from torch import Tensor

from glidepath.plugins.train.configs import DiffusionTrainerConfig
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import Batch
from glidepath.plugins.train.losses.loss import reduced
from glidepath.plugins.train.plugin import _low_res_problem
from glidepath.plugins.train.stages.denoising import DenoisingStage

NOWHERE = Path("nowhere")


def _seen_low_res(size: int = 4, **changes: object) -> tuple[Tensor, Tensor]:
    """The images of a step, and what the denoiser was given to start from."""
    run = make_run(NOWHERE)
    assert isinstance(run.denoiser, TinyDenoiser)
    run.denoiser.train()
    stage = DenoisingStage(config(low_res=4, **changes), run)
    images, captions = Colours().batch(0, 0, size)
    stage.loss(Batch(images, captions), draws.generator(0, 0))
    ((_, conditioning),) = run.denoiser.seen
    assert conditioning.get("low_res") is not None
    return images, conditioning.get("low_res")


def test_an_upsampler_is_trained_on_the_8_bit_mean_of_each_block() -> None:
    images, low_res = _seen_low_res()
    side = SIZE // 4
    mean = images.reshape(4, 3, 4, side, 4, side).mean((3, 5))
    assert float((low_res - mean).abs().max()) <= 0.5 / 127.5 + 1e-6
    levels = (low_res + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)


def test_its_start_is_noised_up_to_the_configured_deviation() -> None:
    _, clean = _seen_low_res()
    _, noisy = _seen_low_res(low_res_noise=0.5)
    deviations = (noisy - clean).flatten(1).std(1)
    assert torch.all(deviations < 0.5 * 1.5)
    assert float(deviations.max()) > 0.05
    assert len(set(deviations.tolist())) == 4  # each image has its own


def test_the_deviations_of_its_noise_are_drawn_evenly() -> None:
    """The second moment of U(0, s) is s^2 / 3, the fourth s^4 / 5: within 4 standard deviations."""
    count, most = 512, 0.5
    noise = (_seen_low_res(count, low_res_noise=most)[1] - _seen_low_res(count)[1]).flatten(1) / most
    values = noise.shape[1]
    variances = noise.square().mean(1)
    of_variance = (1 / 5 - 1 / 9) + 2 / values / 5
    assert abs(float(variances.mean()) - 1 / 3) < 4 * (of_variance / count) ** 0.5
    squares = variances.square() / (1 + 2 / values)  # E s^4, without bias: noise is normal
    of_squares = 1 / 9 - 1 / 25 + 0.02  # a chi square of `values` adds less than 0.02
    assert abs(float(squares.mean()) - 1 / 5) < 4 * (of_squares / count) ** 0.5


def test_a_probe_sees_a_start_without_noise() -> None:
    run = make_run(NOWHERE)
    stage = DenoisingStage(config(low_res=4, low_res_noise=10.0), run)
    averaged = stage.modules
    assert stage.probe(averaged) == stage.probe(averaged)


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3, 8, 8), (2, 3, 8, 8, 8)])
def test_any_number_of_dimensions_is_reduced(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape) * 2 - 1
    pool = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}[len(shape)]
    assert float((reduced(images, 4) - pool(images, 2)).abs().max()) <= 0.5 / 127.5 + 1e-6


def test_a_trainer_says_when_low_res_and_denoiser_do_not_fit() -> None:
    without, given = DiffusionTrainerConfig(), DiffusionTrainerConfig(low_res=32)
    assert "low_res" in _low_res_problem(without, upsamples=True)
    assert "none" in _low_res_problem(given, upsamples=False)
    assert _low_res_problem(given, upsamples=True) == ""
    assert _low_res_problem(without, upsamples=False) == ""
