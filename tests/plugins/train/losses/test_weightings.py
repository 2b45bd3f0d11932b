"""Weightings: each is its formula for every kind of prediction, and the optimum stays where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.train.tiny import SIZE, Colours, TinyDenoiser, config, make_run
from torch import Tensor

from glidepath.core import Prediction, PredictionKind, Step
from glidepath.plugins.schedules.configs import CosineConfig, EdmConfig, FlowConfig
from glidepath.plugins.schedules.cosine import CosineSchedule
from glidepath.plugins.schedules.edm import EdmSchedule
from glidepath.plugins.schedules.flow import FlowSchedule
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import Batch
from glidepath.plugins.train.losses.configs import (
    Edm2WeightingConfig,
    EdmWeightingConfig,
    MinSnrConfig,
    P2Config,
)
from glidepath.plugins.train.losses.weighting import (
    Edm2Weighting,
    EdmWeighting,
    FormulaWeighting,
    MinSnrWeighting,
    P2Weighting,
    SimpleWeighting,
    Weighting,
)
from glidepath.plugins.train.run.checkpoint import existing, load
from glidepath.plugins.train.run.run import WEIGHTS
from glidepath.plugins.train.stages.denoising import DenoisingStage
from glidepath.plugins.train.trainers.diffusion import DiffusionTrainer

NOWHERE = Path("nowhere")
KINDS: tuple[PredictionKind, ...] = ("epsilon", "sample", "velocity", "flow")
FORMULAS: dict[str, tuple[FormulaWeighting, Any]] = {
    # of the squared error of x_0, from the papers
    "simple": (SimpleWeighting(), None),
    "min-snr": (MinSnrWeighting(MinSnrConfig(gamma=5.0)), lambda snr: snr.clamp(max=5.0)),
    "p2": (P2Weighting(P2Config(gamma=0.5, k=2.0)), lambda snr: snr / (2.0 + snr) ** 0.5),
    "edm": (EdmWeighting(EdmWeightingConfig(sigma_data=0.7)), lambda snr: snr + 1 / 0.7**2),
}


def prediction_of(
    kind: PredictionKind, sample: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor
) -> Prediction:
    """A prediction of an x_0, told as another kind."""
    step = Step(0, sigma.flatten(), alpha, sigma)
    made = Prediction(sample, "sample", x, step)
    return Prediction(made.as_kind(kind), kind, x, step)


@pytest.mark.parametrize("name", [name for name in FORMULAS if name != "simple"])
@pytest.mark.parametrize(
    "schedule", [CosineSchedule(CosineConfig()), FlowSchedule(FlowConfig()), EdmSchedule(EdmConfig())]
)
def test_a_weighting_is_that_of_x_0_whatever_is_predicted(name: str, schedule: Any) -> None:
    weighting, of_x_0 = FORMULAS[name]
    share = torch.tensor([0.03, 0.2, 0.5, 0.8, 0.97], dtype=torch.float64)
    t = share if schedule.continuous else (share * schedule.num_steps).long()
    alpha, sigma = (value.reshape(-1, 1, 1, 1) for value in schedule.alpha_sigma(t))
    generator = torch.Generator().manual_seed(0)
    x_0, noise, sample = (torch.randn(5, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    x = alpha * x_0 + sigma * noise
    expected = of_x_0((alpha / sigma).flatten() ** 2) * (sample - x_0).square().flatten(1).mean(1)
    for kind in KINDS:
        prediction = prediction_of(kind, sample, x, alpha, sigma)
        wanted = prediction_of(kind, x_0, x, alpha, sigma).value
        squared = (prediction.value - wanted).square().flatten(1).mean(1)
        torch.testing.assert_close(weighting.losses(squared, prediction), expected, rtol=1e-6, atol=0)


def test_simple_is_the_error_itself() -> None:
    squared = torch.tensor([1.0, 0.5])
    step = Step(0, torch.zeros(2), torch.ones(2, 1), torch.full((2, 1), 3.0))
    for kind in KINDS:
        assert torch.equal(
            SimpleWeighting().losses(squared, Prediction(squared, kind, squared, step)), squared
        )


@pytest.mark.parametrize("name", list(FORMULAS))
@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_of_a_weighted_loss_is_the_posterior_mean(name: str, kind: PredictionKind) -> None:
    """For x_0 from N(0, c^2) the least mean loss at one noise level is at E[x_0 given x_t], by simulation.

    Among predictions a x_t of x_0, the derivative of the loss by a is 0 at a = alpha c^2 / (alpha^2 c^2 +
    sigma^2): no weighting biases what is learned at a level.
    """
    c, generator = 0.6, torch.Generator().manual_seed(1)
    weighting, _ = FORMULAS[name]
    alpha, sigma = torch.full((1, 1), 0.8).double(), torch.full((1, 1), 0.6).double()
    x_0 = c * torch.randn(400_000, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(400_000, 1, generator=generator, dtype=torch.float64)
    x = alpha * x_0 + sigma * noise
    best = float(alpha * c**2 / (alpha**2 * c**2 + sigma**2))
    a = torch.tensor(best, dtype=torch.float64, requires_grad=True)
    prediction = prediction_of(kind, a * x, x, alpha.expand(len(x), 1), sigma.expand(len(x), 1))
    wanted = prediction_of(kind, x_0, x, alpha, sigma).value
    losses = weighting.losses((prediction.value - wanted).square().flatten(), prediction)
    (slope,) = torch.autograd.grad(losses.mean(), a)
    (there,) = torch.autograd.grad(
        weighting.losses(
            (prediction_of(kind, (a + 0.1) * x, x, alpha, sigma).value - wanted).square().flatten(),
            prediction,
        ).mean(),
        a,
    )
    assert abs(float(slope)) < 0.02 * abs(float(there))


def test_uncertainty_comes_to_the_logarithm_of_the_error_at_each_noise_level() -> None:
    """The loss e / exp(u) + u is least where u = log(e): here of two levels, with errors of 0.01 and 4."""
    torch.manual_seed(0)
    weighting = Edm2Weighting(Edm2WeightingConfig(sigma_data=1.0, channels=32))
    weighting.attach(TinyDenoiser())
    sigma = torch.tensor([0.1, 3.0]).reshape(2, 1, 1, 1)
    step = Step(0, torch.zeros(2), torch.ones_like(sigma), sigma)
    prediction = Prediction(torch.zeros(2, 3, SIZE, SIZE), "sample", torch.zeros(2, 3, SIZE, SIZE), step)
    weight = (1 / sigma**2 + 1).flatten()
    errors = torch.tensor([0.01, 4.0])
    first = weighting.losses(errors / weight, prediction)
    torch.testing.assert_close(first, errors)  # u is 0 at first
    optimizer = torch.optim.Adam(weighting.parameters(), 0.05)
    for _ in range(600):
        optimizer.zero_grad()
        weighting.losses(errors / weight, prediction).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    last = weighting.losses(errors / weight, prediction).detach()
    torch.testing.assert_close(last, 1 + errors.log(), rtol=0, atol=0.02)


def test_a_learned_weighting_is_trained_resumes_exactly_and_is_not_exported(tmp_path: Path) -> None:
    def go(folder: Path, stop_after: int | None = None) -> None:
        torch.manual_seed(5)
        weighting = Edm2Weighting(Edm2WeightingConfig(channels=8))
        trainer = DiffusionTrainer(config(), weighting=weighting)
        trainer.train(make_run(folder), stop_after=stop_after)

    go(tmp_path / "whole")
    go(tmp_path / "cut", 7)
    found = load(existing(tmp_path / "cut")[-1])
    assert float(found.tensors["model.weighting.linear.weight"].abs().max()) > 0
    go(tmp_path / "cut")
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not [name for name in one if name.startswith("weighting")]


def test_a_stage_takes_the_mean_of_what_its_weighting_says() -> None:
    class Count(Weighting):
        def losses(self, squared: Tensor, prediction: Prediction) -> Tensor:
            self.seen = squared.detach()
            return torch.arange(len(squared)).float() * squared

    weighting = Count()
    stage = DenoisingStage(config(), make_run(NOWHERE), weighting=weighting)
    loss = stage.loss(Batch(*Colours().batch(0, 0, 4)), draws.generator(0, 0))
    torch.testing.assert_close(loss, (torch.arange(4) * weighting.seen).mean())


def test_the_default_is_simple() -> None:
    batch = Batch(*Colours().batch(0, 0, 4))
    losses = [
        DenoisingStage(config(), make_run(NOWHERE), weighting=weighting).loss(batch, draws.generator(0, 0))
        for weighting in (None, SimpleWeighting())
    ]
    assert torch.equal(*losses)
