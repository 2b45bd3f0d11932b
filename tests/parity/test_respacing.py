"""Fewer steps are chosen, and variances follow, as in openai/guided-diffusion and openai/glide-text2im."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glidepath.core.spacing import Spacing, timesteps

from .recorded import DATA, described, make_schedule

TOLERANCE = 1e-12
TABLES = load_file(DATA / "respacing.safetensors")
RESPACINGS: dict[str, dict[str, Any]] = described("respacing")["respacings"]


def spacing_of(spec: str | list[int]) -> Spacing:
    """The reference takes a list as section counts; here a list is the timesteps themselves."""
    return spec if isinstance(spec, str) else ",".join(str(count) for count in spec)


@pytest.mark.parametrize("name", [name for name in RESPACINGS if f"{name}.timesteps" in TABLES])
def test_a_spacing_takes_the_timesteps_of_the_reference(name: str) -> None:
    row = RESPACINGS[name]
    assert timesteps(spacing_of(row["spec"]), row["T"]) == TABLES[f"{name}.timesteps"].tolist()


@pytest.mark.parametrize("name", [name for name in RESPACINGS if f"{name}.error" in TABLES])
def test_a_spacing_that_the_reference_refuses_is_refused(name: str) -> None:
    row = RESPACINGS[name]
    with pytest.raises(ValueError, match=r"cannot take|no whole stride"):
        timesteps(spacing_of(row["spec"]), row["T"])


@pytest.mark.parametrize("name", [name for name, row in RESPACINGS.items() if "schedule" in row])
def test_a_respaced_chain_has_the_tables_of_the_reference(name: str) -> None:
    row = RESPACINGS[name]
    levels = make_schedule(row).levels(spacing_of(row["spec"]))
    ours = {
        "betas": levels.beta,
        "alphas_cumprod": levels.alpha[:-1] ** 2,
        "posterior_variance": levels.posterior_variance,
        "posterior_log_variance_clipped": levels.posterior_log_variance_clipped,
        "posterior_mean_coef1": levels.posterior_mean_coef1,
        "posterior_mean_coef2": levels.posterior_mean_coef2,
    }
    for array, values in ours.items():
        torch.testing.assert_close(values.flip(0), TABLES[f"{name}.{array}"], rtol=TOLERANCE, atol=0)
