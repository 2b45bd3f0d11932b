"""The noise schedules are those of openai/guided-diffusion and openai/glide-text2im, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.schedules.betas import (
    ConstantSchedule,
    LinearSchedule,
    QuadraticSchedule,
    WarmUpSchedule,
)
from glidepath.plugins.schedules.configs import ConstantConfig, LinearConfig, QuadraticConfig, WarmUpConfig

from .recorded import DATA, described, make_schedule

TOLERANCE = 1e-12
TABLES = load_file(DATA / "schedules.safetensors")
SCHEDULES = {name: row for name, row in described("schedules")["schedules"].items() if "legacy" not in row}
ARRAYS = [key for key in TABLES if not key.startswith("legacy")]
LEGACY = {name: row for name, row in described("schedules")["schedules"].items() if "legacy" in row}


@pytest.mark.parametrize("key", ARRAYS)
def test_a_table_is_the_references(key: str) -> None:
    name, _, array = key.partition(".")
    schedule = make_schedule(SCHEDULES[name])
    assert isinstance(schedule, VariancePreservingSchedule)
    torch.testing.assert_close(table(array, schedule), TABLES[key], rtol=TOLERANCE, atol=0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_betas_are_the_references_to_the_last_bit(name: str) -> None:
    schedule = make_schedule(SCHEDULES[name])
    assert isinstance(schedule, VariancePreservingSchedule)
    assert torch.equal(schedule.beta, TABLES[f"{name}.betas"])
    assert torch.equal(schedule.alpha_bar, TABLES[f"{name}.alphas_cumprod"])


@pytest.mark.parametrize("name", LEGACY)
def test_betas_that_no_published_model_uses_are_the_references_too(name: str) -> None:
    row = LEGACY[name]
    ends = {"num_steps": row["T"], "beta_start": row["beta_start"], "beta_end": row["beta_end"]}
    makers: dict[str, Callable[[], VariancePreservingSchedule]] = {
        "linear": lambda: LinearSchedule(LinearConfig(**ends)),
        "quad": lambda: QuadraticSchedule(QuadraticConfig(**ends)),
        "const": lambda: ConstantSchedule(ConstantConfig(num_steps=row["T"], beta=row["beta_end"])),
        "warmup10": lambda: WarmUpSchedule(WarmUpConfig(**ends, share=0.1)),
    }
    assert torch.equal(makers[row["legacy"]]().beta, TABLES[f"{name}.betas"])


def table(array: str, schedule: VariancePreservingSchedule) -> Tensor:
    """The reference's array of that name, clean to noisy, from our schedule and its levels."""
    levels = schedule.levels(schedule.num_steps)
    one = torch.ones(1, dtype=torch.float64)
    alpha, sigma = levels.alpha[:-1].flip(0), levels.sigma[:-1].flip(0)
    tables = {
        "betas": lambda: levels.beta.flip(0),
        "alphas_cumprod": lambda: alpha**2,
        "alphas_cumprod_prev": lambda: levels.alpha[1:].flip(0) ** 2,
        "alphas_cumprod_next": lambda: torch.cat([alpha[1:] ** 2, 0 * one]),
        "sqrt_alphas_cumprod": lambda: alpha,
        "sqrt_one_minus_alphas_cumprod": lambda: sigma,
        "log_one_minus_alphas_cumprod": lambda: (1 - schedule.alpha_bar).log(),
        "sqrt_recip_alphas_cumprod": lambda: 1 / alpha,
        "sqrt_recipm1_alphas_cumprod": lambda: sigma / alpha,
        "posterior_variance": lambda: levels.posterior_variance.flip(0),
        "posterior_log_variance_clipped": lambda: levels.posterior_log_variance_clipped.flip(0),
        "posterior_mean_coef1": lambda: levels.posterior_mean_coef1.flip(0),
        "posterior_mean_coef2": lambda: levels.posterior_mean_coef2.flip(0),
    }
    return tables[array]()
