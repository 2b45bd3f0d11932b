"""Each family learns a mixture in two dimensions, as images of two values, and finds all of its modes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from glidepath.core import (
    Conditioning,
    Denoiser,
    GeneratorPipeline,
    Noise,
    NoiseLevels,
    NoiseSchedule,
    PerSampleNoise,
    Predict,
    Sampler,
    State,
)
from glidepath_families.adversarial import Adversarial
from glidepath_families.autoregressive import Autoregressive
from glidepath_families.config import (
    AutoregressiveConfig,
    DiffusionConfig,
    FlowConfig,
    GanConfig,
    VaeConfig,
)
from glidepath_families.diffusion import Diffusion
from glidepath_families.flow import Flow
from glidepath_families.gan import Gan
from glidepath_families.objective_config import (
    AdversarialConfig,
    BoundConfig,
    LikelihoodConfig,
    StageConfig,
)
from glidepath_families.objectives import Bound, Denoising, Likelihood, NextToken, Reconstruction
from glidepath_families.vae import Vae

MODES = 4
RADIUS, DEVIATION = 0.7, 0.08


def centres() -> Tensor:
    """[MODES, 2], on a circle."""
    angles = torch.arange(MODES) * 2 * math.pi / MODES
    return RADIUS * torch.stack([angles.cos(), angles.sin()], 1)


def mixture(count: int, seed: int, shape: Sequence[int] = (1, 1, 2)) -> Tensor:
    """[count, *shape], of all modes alike."""
    draws = torch.Generator().manual_seed(seed)
    rows = centres()[torch.randint(MODES, (count,), generator=draws)]
    return (rows + DEVIATION * torch.randn(count, 2, generator=draws)).reshape(count, *shape)


def nothing(count: int) -> Conditioning:
    """The conditioning of `count` images without a prompt."""
    return Conditioning(count, {})


def train(
    generator: Any,
    objective: Any,
    *,
    steps: int,
    batch: int,
    rate: float,
    change: Callable[[float], object] = lambda _share: None,
) -> None:
    """Down the gradient of an objective, by Adam, at a falling rate, to an average of the weights.

    change: is told before each step how much of the training is over, from 0 to 1.
    """
    if hasattr(objective, "attach"):
        objective.attach(generator)
    learning = [*generator.parameters(), *getattr(objective, "parameters", list)()]
    optimizer = torch.optim.Adam(learning, rate, betas=(0.5, 0.99), fused=True)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    average = AveragedModel(generator, avg_fn=lambda average, value, _count: average.lerp(value, 0.02))
    for step in range(steps):
        change(step / steps)
        draws = torch.Generator().manual_seed(step)
        x_0 = mixture(batch, 1000 + step, generator.image_shape)
        loss = objective.loss(generator, x_0, nothing(batch), draws)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
        average.update_parameters(generator)
    generator.load_state_dict(average.module.state_dict())


def annealed(first: float, last: float, share: float) -> float:
    """From the first to the last by equal ratios, which it reaches when 70 % of a training are over."""
    return first * math.pow(last / first, min(1.0, share / 0.7))


def samples(generator: Any, count: int) -> Tensor:
    """[count, 2], drawn as a pipeline draws."""
    pipeline = GeneratorPipeline(copy.deepcopy(generator))
    noise = PerSampleNoise([(7, row) for row in range(count)])
    *_, last = pipeline.states([""] * count, noise=noise)
    return last.x.flatten(1).clone()


def found_modes(points: Tensor) -> tuple[int, float]:
    """How many modes have a third of their share or more within 4 deviations, and how peaked all are at them.

    The second is the mean of cos(MODES theta): 0 of a ring or a heap, 0.9 of the mixture itself.
    """
    distance, nearest = torch.cdist(points, centres()).min(1)
    counts = torch.bincount(nearest[distance < 4 * DEVIATION], minlength=MODES)
    peaked = (MODES * torch.atan2(points[:, 1], points[:, 0])).cos().mean()
    return int((counts >= len(points) / MODES / 3).sum()), float(peaked)


def flow() -> Any:
    """Six layers: a map of two numbers by affine steps needs some to fold a plane."""
    config = FlowConfig(image_size=(1, 2), channels=1, patch=1, layers=6, width=32, depth=1, heads=2)
    made = Flow(config)
    train(made, Likelihood(LikelihoodConfig(level=0.05)), steps=300, batch=128, rate=6e-3)
    points, alone = mixture(200, 1), nothing(200)
    with torch.no_grad():
        again = made.from_latent(made.latent(points, alone), alone)
    assert float((again - points).abs().max()) < 1e-5
    return made


def autoregressive() -> Any:
    """Two tokens of 64 kinds."""
    sizes = {"width": 32, "depth": 1, "heads": 2, "code_width": 16}
    config = AutoregressiveConfig(image_size=(1, 2), channels=1, factor=1, levels=(64,), **sizes)
    made = Autoregressive(config)
    train(made, Reconstruction(StageConfig(steps=200)), steps=200, batch=256, rate=2e-3)
    train(made, NextToken(), steps=250, batch=256, rate=2e-3)
    return made


def vae() -> Any:
    """Three layers of two latents, of one pixel of two values. What is free falls: modes come first."""
    config = VaeConfig(image_size=(1, 1), channels=2, halvings=0, layers=3, latent=2, width=32)
    made = Vae(config)
    objective = Bound(BoundConfig(level=0.01))

    def change(share: float) -> None:
        objective.config = BoundConfig(level=0.01, free_bits=annealed(1.0, 0.05, share))

    train(made, objective, steps=500, batch=64, rate=6e-3, change=change)
    return made


def gan() -> Any:
    """A block each, of one pixel of two values. The penalty falls, as in R3GAN: modes first, then edges."""
    config = GanConfig(image_size=(1, 1), channels=2, halvings=0, layers=1, latent=4, width=32)
    made = Gan(config)
    objective = Adversarial(AdversarialConfig())

    def change(share: float) -> None:
        objective.config = AdversarialConfig(gamma=annealed(1.0, 0.02, share))

    train(made, objective, steps=600, batch=64, rate=4e-3, change=change)
    return made


class Points(Denoiser):
    """Predicts the flow of two numbers by three layers."""

    predicts = "flow"
    learned_variance = False
    image_shape = (1, 1, 2)

    def __init__(self) -> None:
        super().__init__()
        wide = [nn.Linear(64, 64), nn.SiLU()]
        self.layers = nn.Sequential(nn.Linear(8, 64), nn.SiLU(), *wide, nn.Linear(64, 2))

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        times = t[:, None] * torch.tensor([1.0, math.pi, 2 * math.pi])
        read = torch.cat([x.flatten(1), times.cos(), times.sin()], 1)
        made: Tensor = self.layers(read)
        return made[:, None, None]

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        return lambda x, step: self.interpret(self(x, step.t.expand(len(x)), conditioning), x, step)


class Straight(NoiseSchedule):
    """alpha = 1 - t, sigma = t."""

    num_steps, continuous = 0, True

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t.double(), t.double()


class Euler(Sampler):
    """Along the flow."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        for step in levels.steps("cpu"):
            prediction = predict(x, step)
            x = x + (levels.sigma[step.index + 1] - levels.sigma[step.index]).float() * prediction.flow
            yield State(step.index + 1, len(levels), x, prediction.sample)


def diffusion() -> Any:
    """Forty steps of Euler's method."""
    parts: dict[str, Any] = {"schedule": Straight(), "denoiser": Points(), "sampler": Euler(40)}
    made = Diffusion(DiffusionConfig(schedule=None, denoiser=None, sampler=None), **parts)
    train(made, Denoising(), steps=1200, batch=256, rate=5e-3)
    return made


@pytest.mark.parametrize("learned", [flow, autoregressive, vae, gan, diffusion])
def test_a_family_finds_every_mode_of_a_mixture(learned: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    modes, peaked = found_modes(samples(learned(), 500))
    assert modes == MODES
    assert peaked > 0.5


def test_what_is_counted_tells_a_mixture_from_a_ring_and_from_a_mode_that_is_dropped() -> None:
    points = mixture(2000, 1).flatten(1)
    assert found_modes(points)[0] == MODES
    assert found_modes(points)[1] == pytest.approx(
        math.exp(-0.5 * (MODES * DEVIATION / RADIUS) ** 2), abs=0.05
    )
    assert found_modes(points[points[:, 0] < 0.4])[0] == MODES - 1
    angles = 2 * math.pi * torch.rand(2000, generator=torch.Generator().manual_seed(0))
    ring = RADIUS * torch.stack([angles.cos(), angles.sin()], 1)
    assert abs(found_modes(ring)[1]) < 0.1
