"""Timestep densities: each has its distribution, and none biases a loss that is weighted back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.train.tiny import config, make_run
from torch import Tensor

from glidepath.core import NoiseSchedule, PartError
from glidepath.plugins.schedules.configs import CosineConfig, EdmConfig, FlowConfig
from glidepath.plugins.schedules.cosine import CosineSchedule
from glidepath.plugins.schedules.edm import EdmSchedule
from glidepath.plugins.schedules.flow import FlowSchedule
from glidepath.plugins.train.losses.configs import (
    AroundConfig,
    ImportanceConfig,
    LogNormalConfig,
    NormalConfig,
    ShiftedConfig,
    shifted_faults,
)
from glidepath.plugins.train.losses.density import (
    ImportanceDensity,
    LogitNormalDensity,
    LogNormalDensity,
    ShiftedDensity,
    StratifiedDensity,
    TimestepDensity,
    UniformDensity,
)
from glidepath.plugins.train.run.checkpoint import existing, load
from glidepath.plugins.train.run.run import WEIGHTS
from glidepath.plugins.train.trainers.diffusion import DiffusionTrainer

COSINE = CosineSchedule(CosineConfig())
SHORT = CosineSchedule(CosineConfig(num_steps=10))
FLOW = FlowSchedule(FlowConfig())
EDM = EdmSchedule(EdmConfig())
MANY = 20_000


def drawn(density: TimestepDensity, schedule: NoiseSchedule, count: int = MANY, seed: int = 0) -> Tensor:
    uniform = density.uniforms(count, torch.Generator().manual_seed(seed))
    return density.times(uniform, schedule, (8, 8))


def require_normal(values: Tensor, mean: float, std: float) -> None:
    """Kolmogorov and Smirnov's distance is below what 1 in 1,000 such samples exceeds."""
    ordered = torch.special.ndtr((values.sort().values - mean) / std)
    ranks = (torch.arange(len(values)) + 0.5) / len(values)
    assert float((ordered - ranks).abs().max()) < 1.95 / len(values) ** 0.5


def test_logit_normal_times_have_a_normal_logit() -> None:
    t = drawn(LogitNormalDensity(NormalConfig(mean=0.5, std=0.8)), FLOW)
    require_normal((t / (1 - t)).log(), 0.5, 0.8)


def test_logit_normal_timesteps_are_shares_of_the_chain() -> None:
    t = drawn(LogitNormalDensity(NormalConfig()), COSINE)
    share = (t + 0.5) / 1000
    require_normal((share / (1 - share)).log(), 0.0, 1.0)
    assert 0 <= int(t.min()) <= int(t.max()) <= 999


@pytest.mark.parametrize("schedule", [FLOW, EDM])
def test_log_normal_times_have_a_normal_log_of_sigma_over_alpha(schedule: NoiseSchedule) -> None:
    alpha, sigma = schedule.alpha_sigma(
        drawn(LogNormalDensity(LogNormalConfig(mean=-0.4, std=1.0)), schedule)
    )
    require_normal((sigma / alpha).log(), -0.4, 1.0)


def test_of_a_flow_log_normal_and_logit_normal_are_one() -> None:
    """Esser et al. 2024: sigma = t, so log(sigma / alpha) = logit(t)."""
    one = drawn(LogitNormalDensity(NormalConfig(mean=0.3, std=0.9)), FLOW)
    other = drawn(LogNormalDensity(LogNormalConfig(mean=0.3, std=0.9)), FLOW)
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_a_shift_moves_any_density() -> None:
    inner = LogNormalDensity(LogNormalConfig(mean=0.0, std=1.0))
    t = drawn(ShiftedDensity(ShiftedConfig(shift=3.0), density=inner), FLOW)
    alpha, sigma = FLOW.alpha_sigma(t)
    require_normal((sigma / alpha).log(), math.log(3.0), 1.0)


def test_a_shift_by_resolution_is_the_side_over_the_reference() -> None:
    """A latent of 16 x 4 has the pixels of 8 x 8, and so its shift."""
    u = torch.tensor([0.1, 0.5, 0.9])
    by_size = ShiftedDensity(ShiftedConfig(reference=4.0))
    by_factor = ShiftedDensity(ShiftedConfig(shift=2.0))
    for size in ((8, 8), (16, 4)):
        torch.testing.assert_close(by_size.times(u, FLOW, size), by_factor.times(u, FLOW, size))
    torch.testing.assert_close(by_size.times(u, FLOW, (4, 4)), UniformDensity().times(u, FLOW, (4, 4)))


def test_a_shift_is_said_in_one_way() -> None:
    assert not shifted_faults(ShiftedConfig(shift=2.0))
    assert shifted_faults(ShiftedConfig())
    assert shifted_faults(ShiftedConfig(shift=2.0, reference=8.0))


@pytest.mark.parametrize("count", [1, 7, 64])
def test_a_stratified_batch_has_one_sample_in_each_part(count: int) -> None:
    density = StratifiedDensity(AroundConfig())
    for seed in range(20):
        uniform = density.uniforms(count, torch.Generator().manual_seed(seed))
        assert sorted((uniform.double() * count).floor().int().tolist()) == list(range(count))


@pytest.mark.thorough
def test_each_place_of_a_stratified_batch_has_the_density_itself() -> None:
    density = StratifiedDensity(AroundConfig(), density=LogNormalDensity(LogNormalConfig(mean=0.0, std=1.0)))
    first = torch.stack([drawn(density, FLOW, 8, seed)[0] for seed in range(2000)])
    alpha, sigma = FLOW.alpha_sigma(first)
    require_normal((sigma / alpha).log(), 0.0, 1.0)


def test_a_stratified_mean_varies_less() -> None:
    means = {
        name: torch.stack([drawn(density, FLOW, 16, seed).mean() for seed in range(300)]).var()
        for name, density in {"even": UniformDensity(), "strata": StratifiedDensity(AroundConfig())}.items()
    }
    assert means["strata"] < means["even"] / 50  # 1 / 256 in theory


def losses_at(t: Tensor, last: float) -> Tensor:
    """A loss that differs much among times, and has noise that does not depend on what was drawn."""
    return ((t + 0.5) / last).float() ** 4 * 10 + 0.1


def learned(schedule: NoiseSchedule, **options: Any) -> ImportanceDensity:
    density = ImportanceDensity(ImportanceConfig(history=3, bins=10, **options))
    density.attach(schedule)
    for seed in range(40):
        t = drawn(density, schedule, 20, seed)
        density.observe(t, losses_at(t * 10 if schedule.continuous else t, 10))
    return density


@pytest.mark.parametrize("schedule", [SHORT, FLOW])
def test_importance_sampling_biases_no_loss_and_lets_it_vary_less(schedule: NoiseSchedule) -> None:
    density = learned(schedule)
    t = drawn(density, schedule, MANY, 99)
    scaled = t * 10 if schedule.continuous else t
    estimates = density.weights(t) * losses_at(scaled, 10)
    grid = torch.linspace(0, 1, 100_001)[:-1] * 10 if schedule.continuous else torch.arange(10)
    plain = losses_at(grid, 10)
    error = float(estimates.std()) / MANY**0.5
    assert abs(float(estimates.mean() - plain.mean())) < 4 * error
    assert float(estimates.var()) < 0.5 * float(plain.var())


def test_importance_is_the_root_of_the_second_moment() -> None:
    """Nichol & Dhariwal 2021, equation 18, of the last three losses of each timestep, written out."""
    density = ImportanceDensity(ImportanceConfig(history=3, uniform=0.001))
    density.attach(SHORT)
    kept: dict[int, list[float]] = {t: [] for t in range(10)}
    generator = torch.Generator().manual_seed(4)
    for _ in range(60):
        t, losses = torch.randint(10, (8,), generator=generator), torch.rand(8, generator=generator)
        density.observe(t, losses)
        for at, loss in zip(t.tolist(), losses.tolist(), strict=True):
            kept[at] = [*kept[at][-2:], loss]
    roots = torch.tensor([math.sqrt(sum(loss**2 for loss in kept[t]) / 3) for t in range(10)]).double()
    expected = 0.999 * roots / roots.sum() + 0.0001
    torch.testing.assert_close(density.probabilities, expected, rtol=1e-6, atol=0)
    counts = drawn(density, SHORT).bincount(minlength=10) / MANY
    torch.testing.assert_close(counts.double(), expected, rtol=0, atol=0.015)


def test_importance_is_uniform_until_every_timestep_is_known() -> None:
    density = ImportanceDensity(ImportanceConfig(history=2))
    density.attach(SHORT)
    for _ in range(5):
        density.observe(torch.arange(9), torch.arange(9).float())
    assert torch.equal(density.probabilities, torch.full((10,), 0.1, dtype=torch.float64))
    density.observe(torch.tensor([9, 9]), torch.ones(2))
    assert not torch.equal(density.probabilities, torch.full((10,), 0.1, dtype=torch.float64))


def test_what_weighs_losses_by_its_times_is_not_shifted() -> None:
    with pytest.raises(PartError, match="cannot be shifted"):
        ShiftedDensity(ShiftedConfig(shift=2.0), density=ImportanceDensity(ImportanceConfig()))


def test_a_run_with_importance_sampling_resumes_exactly(tmp_path: Path) -> None:
    def go(folder: Path, stop_after: int | None = None) -> None:
        importance = ImportanceDensity(ImportanceConfig(history=1))
        density = StratifiedDensity(AroundConfig(), density=importance)
        trainer = DiffusionTrainer(config(batch=16), timesteps=density)
        trainer.train(
            make_run(folder, schedule=CosineSchedule(CosineConfig(num_steps=4))), stop_after=stop_after
        )

    go(tmp_path / "whole")
    go(tmp_path / "cut", 7)
    found = load(existing(tmp_path / "cut")[-1])
    assert int(found.tensors["model.timesteps.density.counts"].sum()) == 7 * 16
    go(tmp_path / "cut")
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)
