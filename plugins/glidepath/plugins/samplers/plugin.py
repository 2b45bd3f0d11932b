"""What this plugin supplies. Imports no torch, and the parameters of a part only where it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from glidepath.core import spacing_fault
from glidepath.registry import Component, Need, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig, GridConfig, PndmConfig


def _needs_spacing(config: DdpmConfig | DdimConfig | GridConfig | PndmConfig) -> dict[str, Need]:
    def fault(num_steps: int) -> str:
        return spacing_fault(config.steps, num_steps)

    # optional: a schedule that does not say its number of steps still refuses the spacing itself, when built
    return {"schedule.num_steps": Need(field="steps", test=fault, optional=True)}


def _needs_of_ddpm(config: DdpmConfig) -> dict[str, Need]:
    needs = _needs_spacing(config)
    if config.variance.startswith("learned"):
        needs["prediction.learned_variance"] = Need(
            value=True,
            field="variance",
            why=f"variance {config.variance} is the denoiser's; auto, fixed-small and fixed-large do without",
        )
    return needs


def _needs(config: GridConfig | PndmConfig) -> dict[str, Need]:
    from glidepath.plugins.samplers.configs import PndmConfig

    needs = _needs_spacing(config)
    if isinstance(config, PndmConfig) or (config.sigmas != "schedule" and config.sigma_max is None):
        needs["schedule.zero_terminal_snr"] = Need(
            field="" if isinstance(config, PndmConfig) else "sigmas", test=_needs_signal, optional=True
        )
    return needs


def _order(order: int, _config: object) -> dict[str, object]:
    """By which power of the step its error falls, for all of a walk: its first steps have no past."""
    return {"sampler.order": order}


def _faults(config: GridConfig | PndmConfig) -> list[tuple[str, str]]:
    from glidepath.plugins.samplers.configs import PndmConfig

    if isinstance(config, PndmConfig) or config.sigma_max is None or config.sigmas != "schedule":
        return []
    return [("sigma_max", "sigma_max bounds noise levels that are spaced anew; set sigmas: karras, say")]


def _needs_signal(zero_terminal_snr: bool) -> str:
    return "at zero_terminal_snr the first sigma over alpha is infinite" if zero_terminal_snr else ""


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
_HERE = "glidepath.plugins.samplers"


@hookimpl
def components() -> Iterable[Component]:
    """The samplers."""
    return (
        Component(
            kind="sampler",
            name="ddpm",
            target=f"{_HERE}.ddpm:DdpmSampler",
            config=f"{_HERE}.configs:DdpmConfig",
            summary="ancestral sampling, with learned or fixed variance",
            needs=_needs_of_ddpm,
            references=(
                f"{_DDPM}, algorithm 2 and equation 7",
                f"{_IMPROVED}, equation 15",
                f"{_ADM}, algorithm 1",
            ),
        ),
        Component(
            kind="sampler",
            name="ddim",
            target=f"{_HERE}.ddim:DdimSampler",
            config=f"{_HERE}.configs:DdimConfig",
            summary="implicit sampling: few steps, deterministic at eta 0",
            needs=_needs_spacing,
            references=(f"{_DDIM}, equations 12 and 16", f"{_ADM}, algorithm 2"),
        ),
        *_solvers(),
    )


def _solvers() -> Iterator[Component]:
    rows: tuple[tuple[str, str, str, int, str, tuple[str, ...]], ...] = (
        (
            "euler",
            "ddim:DdimSampler",
            "EulerConfig",
            1,
            "straight lines in sigma over alpha: DDIM without noise, with a choice of noise levels",
            (f"{_EDM}, equation 4 and appendix D.1",),
        ),
        (
            "euler-ancestral",
            "ddim:DdimSampler",
            "EulerAncestralConfig",
            1,
            "Euler's method with noise drawn anew at each step: DDIM at eta 1",
            (
                f"{_DDIM}, equation 16",
                f"{_EDM}, appendix D.1",
            ),
        ),
        (
            "heun",
            "heun:HeunSampler",
            "HeunConfig",
            2,
            "second order, two predictions for each step",
            (f"{_EDM}, algorithm 1",),
        ),
        (
            "dpmpp-2m",
            "dpmpp:DpmppSampler",
            "DpmppConfig",
            2,
            "second order at one prediction for each step",
            (f"{_DPMPP}, algorithm 2",),
        ),
        (
            "dpmpp-3m",
            "dpmpp:Dpmpp3Sampler",
            "Dpmpp3Config",
            2,
            "three predictions joined in each step, for images without much guidance",
            (f"{_DPMPP}, the program published with it (multistep, order 3)",),
        ),
        (
            "dpmpp-2m-sde",
            "dpmpp:DpmppSdeSampler",
            "DpmppSdeConfig",
            1,
            "second order of the stochastic equation: noise drawn anew at each step",
            (f"{_DPMPP}, equations 18 and 19",),
        ),
        (
            "unipc",
            "unipc:UniPcSampler",
            "UniPcConfig",
            2,
            "predictor and corrector at one prediction for each step",
            (
                'Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of '
                'Diffusion Models", arXiv:2302.04867, algorithms 5 and 6',
            ),
        ),
        (
            "pndm",
            "pndm:PndmSampler",
            "PndmConfig",
            2,
            "fourth order in epsilon, for 50 even steps (Stable Diffusion's PLMS)",
            (
                'Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds", '
                "arXiv:2202.09778, algorithm 2",
            ),
        ),
    )
    for name, target, config, order, summary, references in rows:
        yield Component(
            kind="sampler",
            name=name,
            target=f"{_HERE}.{target}",
            config=f"{_HERE}.configs:{config}",
            summary=summary,
            provides=partial(_order, order),
            needs=_needs,
            check=_faults,
            references=references,
        )
