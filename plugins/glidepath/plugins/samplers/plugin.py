"""What this plugin supplies. Imports no torch, and the parameters of a part only where it is used."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from glidepath.core import spacing_fault
from glidepath.registry import Component, Need, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig, PndmConfig
    from glidepath.plugins.samplers.grid_configs import GridConfig

_DDPM = 'Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239'
_DDIM = 'Song et al. 2021, "Denoising Diffusion Implicit Models", arXiv:2010.02502'
_IMPROVED = 'Nichol & Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models", arXiv:2102.09672'
_ADM = 'Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233'
_EDM = (
    'Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", '
    "arXiv:2206.00364"
)
_DPMPP = (
    'Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models", '
    "arXiv:2211.01095"
)
_UNIPC = (
    'Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of '
    'Diffusion Models", arXiv:2302.04867'
)
_PNDM = 'Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds", arXiv:2202.09778'
_HERE = "glidepath.plugins.samplers"


_Needs = Callable[[Any], dict[str, Need]]
_Faults = list[tuple[str, str]]


@hookimpl
def components() -> Iterable[Component]:
    """The samplers."""
    return (
        _sampler(
            "ddpm",
            "ddpm:DdpmSampler",
            "configs:DdpmConfig",
            "ancestral sampling, with learned or fixed variance",
            f"{_DDPM}, algorithm 2 and equation 7",
            f"{_IMPROVED}, equation 15",
            f"{_ADM}, algorithm 1",
            needs=_needs_of_ddpm,
        ),
        _sampler(
            "ddim",
            "ddim:DdimSampler",
            "configs:DdimConfig",
            "implicit sampling: few steps, deterministic at eta 0",
            f"{_DDIM}, equations 12 and 16",
            f"{_ADM}, algorithm 2",
            needs=_needs_of_ddim,
        ),
        _sampler(
            "euler",
            "ddim:DdimSampler",
            "grid_configs:EulerConfig",
            "straight lines in sigma over alpha: DDIM without noise, with a choice of noise levels",
            f"{_EDM}, equation 4, algorithm 2 and appendix D.1",
        ),
        _sampler(
            "euler-ancestral",
            "ddim:DdimSampler",
            "grid_configs:EulerAncestralConfig",
            "Euler's method with noise drawn anew at each step: DDIM at eta 1",
            f"{_DDIM}, equation 16",
            f"{_EDM}, appendix D.1",
        ),
        _sampler(
            "heun",
            "heun:HeunSampler",
            "grid_configs:HeunConfig",
            "second order, two predictions for each step",
            f"{_EDM}, algorithms 1 and 2",
            order=2,
        ),
        _sampler(
            "dpmpp-2m",
            "dpmpp:DpmppSampler",
            "multistep_configs:DpmppConfig",
            "second order at one prediction for each step",
            f"{_DPMPP}, algorithm 2",
            order=2,
        ),
        _sampler(
            "dpmpp-3m",
            "dpmpp:Dpmpp3Sampler",
            "multistep_configs:Dpmpp3Config",
            "three predictions joined in each step, for images without much guidance",
            f"{_DPMPP}, the program published with it (multistep, order 3)",
            order=2,
        ),
        _sampler(
            "dpmpp-2m-sde",
            "dpmpp:DpmppSdeSampler",
            "multistep_configs:DpmppSdeConfig",
            "second order of the stochastic equation: noise drawn anew at each step",
            f"{_DPMPP}, equations 18 and 19",
        ),
        _sampler(
            "unipc",
            "unipc:UniPcSampler",
            "multistep_configs:UniPcConfig",
            "predictor and corrector at one prediction for each step",
            f"{_UNIPC}, algorithms 1, 2, 5 and 6",
            order=2,
        ),
        _sampler(
            "pndm",
            "pndm:PndmSampler",
            "configs:PndmConfig",
            "fourth order in epsilon, for 50 even steps (Stable Diffusion's PLMS)",
            f"{_PNDM}, algorithm 2",
            order=2,
            needs=_needs_of_pndm,
        ),
    )


def _sampler(
    name: str,
    target: str,
    config: str,
    summary: str,
    *references: str,
    order: int = 1,
    needs: _Needs | None = None,
) -> Component:
    """A row of the list; order: by which power of the step its error falls over all steps."""
    return Component(
        kind="sampler",
        name=name,
        target=f"{_HERE}.{target}",
        config=f"{_HERE}.{config}",
        summary=summary,
        provides=lambda _config: {"sampler.order": order},
        needs=needs or _needs_of_grid,
        check=_no_faults if needs else _faults_of_grid,
        references=references,
    )


def _needs_spacing(config: DdpmConfig | DdimConfig | GridConfig | PndmConfig) -> dict[str, Need]:
    def fault(num_steps: int) -> str:
        return spacing_fault(config.steps, num_steps)

    def continuous_fault(continuous: bool) -> str:
        return spacing_fault(config.steps, None) if continuous else ""

    # optional: a schedule that does not say its number of steps still refuses the spacing itself, when built
    return {
        "schedule.num_steps": Need(field="steps", test=fault, optional=True),
        "schedule.continuous": Need(field="steps", test=continuous_fault, optional=True),
    }


def _needs_bounds(config: DdpmConfig | DdimConfig | GridConfig | PndmConfig) -> dict[str, Need]:
    if config.clip is not True:
        return {}
    why = "there is nothing to clip x_0 to; auto and false leave it as it is"
    return {"codec.bounded": Need(value=True, field="clip", why=why, optional=True)}


def _needs_of_ddpm(config: DdpmConfig) -> dict[str, Need]:
    needs = _needs_of_ddim(config)
    if config.variance.startswith("learned"):
        needs["prediction.learned_variance"] = Need(
            value=True,
            field="variance",
            why=f"variance {config.variance} is the denoiser's; auto, fixed-small and fixed-large do without",
        )
    return needs


def _needs_of_ddim(config: DdpmConfig | DdimConfig) -> dict[str, Need]:
    return {**_needs_spacing(config), **_needs_bounds(config)}


def _needs_of_grid(config: GridConfig) -> dict[str, Need]:
    needs = _needs_bounds(config)
    if isinstance(config.sigmas, str):
        needs |= _needs_spacing(config)
    if config.timesteps == "rounded" and config.sigmas != "schedule":
        needs["schedule.continuous"] = Need(field="timesteps", test=_needs_timesteps, optional=True)
    if not isinstance(config.sigmas, str):
        return needs
    if config.sigmas != "schedule" and config.sigma_max is None:
        needs["schedule.zero_terminal_snr"] = Need(field="sigmas", test=_needs_signal, optional=True)
    elif not getattr(config, "predict_x0", True):
        needs["schedule.zero_terminal_snr"] = Need(field="predict_x0", test=_needs_signal, optional=True)
    return needs


def _needs_of_pndm(config: PndmConfig) -> dict[str, Need]:
    return {
        **_needs_spacing(config),
        **_needs_bounds(config),
        "schedule.zero_terminal_snr": Need(test=_needs_signal, optional=True),
    }


def _needs_timesteps(continuous: bool) -> str:
    return "in continuous time there is no nearest timestep; leave timesteps at exact" if continuous else ""


def _needs_signal(zero_terminal_snr: bool) -> str:
    return "the first sigma over alpha is infinite" if zero_terminal_snr else ""


def _faults_of_grid(config: GridConfig) -> _Faults:
    sigmas = config.sigmas
    if isinstance(sigmas, str):
        if config.sigma_max is None or sigmas != "schedule":
            return []
        return [("sigma_max", "sigma_max bounds noise levels that are spaced anew; set sigmas: karras, say")]
    if config.sigma_max is not None:
        return [("sigma_max", "sigma_max bounds noise levels that are spaced anew, and sigmas lists them")]
    falls = all(before > after for before, after in itertools.pairwise(sigmas))
    if not falls or not sigmas or sigmas[0] <= 0 or sigmas[-1] < 0:
        return [("sigmas", "a list of sigmas falls: numbers above 0, the noisiest first; the last may be 0")]
    return []


def _no_faults(_config: object) -> _Faults:
    return []
