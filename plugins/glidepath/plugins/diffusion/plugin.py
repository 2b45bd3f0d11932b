"""What this plugin supplies. Imports no torch, and the parameters of a part only where it is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from glidepath.core import spacing_fault
from glidepath.registry import Component, Need, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.diffusion.configs import (
        ClassifierFreeConfig,
        ConstantConfig,
        CosineConfig,
        DdimConfig,
        DdpmConfig,
        LinearConfig,
        QuadraticConfig,
        WarmUpConfig,
    )

    _ScheduleConfig = LinearConfig | CosineConfig | QuadraticConfig | ConstantConfig | WarmUpConfig


def _provides_steps(config: _ScheduleConfig) -> dict[str, object]:
    return {
        "schedule.num_steps": config.num_steps,
        "schedule.rescale_timesteps": config.rescale_timesteps,
        "schedule.zero_terminal_snr": config.zero_terminal_snr,
    }


def _needs_signal(config: _ScheduleConfig) -> dict[str, Need]:
    if not config.zero_terminal_snr:
        return {}
    why = "where x_t is noise alone, its epsilon says nothing of the image"
    return {
        "prediction.kind": Need(
            value=("velocity", "sample"), field="zero_terminal_snr", why=why, optional=True
        )
    }


def _needs_spacing(config: DdpmConfig | DdimConfig) -> dict[str, Need]:
    def fault(num_steps: int) -> str:
        return spacing_fault(config.steps, num_steps)

    # optional: a schedule that does not say its number of steps still refuses the spacing itself, when built
    return {"schedule.num_steps": Need(field="steps", test=fault, optional=True)}


def _provides_contrast(_config: ClassifierFreeConfig) -> dict[str, object]:
    return {"guidance.contrast": True, "guidance.weight": True}


def _needs_null(config: ClassifierFreeConfig) -> dict[str, Need]:
    if config.scale == 1:
        return {}
    why = "without a label for no class there is nothing to compare with"
    # optional: only a denoiser that hears class labels says whether it has one
    return {"labels.null": Need(value=True, why=why, optional=True)}


def _needs_of_ddpm(config: DdpmConfig) -> dict[str, Need]:
    needs = _needs_spacing(config)
    if config.variance.startswith("learned"):
        needs["prediction.learned_variance"] = Need(
            value=True,
            field="variance",
            why=f"variance {config.variance} is the denoiser's; auto, fixed-small and fixed-large do without",
        )
    return needs


_DDPM = 'Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239'
_DDIM = 'Song et al. 2021, "Denoising Diffusion Implicit Models", arXiv:2010.02502'
_IMPROVED = 'Nichol & Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models", arXiv:2102.09672'
_ADM = 'Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233'
_GLIDE = 'Nichol et al. 2021, "GLIDE", arXiv:2112.10741'
_CFG = 'Ho & Salimans 2022, "Classifier-Free Diffusion Guidance", arXiv:2207.12598'
_LATENT = (
    'Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", arXiv:2112.10752'
)
_ZERO = (
    'Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed", arXiv:2305.08891, '
    "algorithm 1 (zero_terminal_snr)"
)
_HERE = "glidepath.plugins.diffusion"


@hookimpl
def components() -> Iterable[Component]:
    """Schedules, samplers, guidance and codec."""
    return (
        Component(
            kind="schedule",
            name="linear",
            target=f"{_HERE}.schedules:LinearSchedule",
            config=f"{_HERE}.configs:LinearConfig",
            summary="betas that grow linearly (DDPM, ADM at 128 pixels and more, GLIDE's upsampler)",
            provides=_provides_steps,
            needs=_needs_signal,
            references=(f"{_DDPM}, section 4", _ZERO),
        ),
        Component(
            kind="schedule",
            name="cosine",
            target=f"{_HERE}.schedules:CosineSchedule",
            config=f"{_HERE}.configs:CosineConfig",
            summary="alpha_bar that falls as a squared cosine (GLIDE's base model, ADM at 64 pixels)",
            provides=_provides_steps,
            needs=_needs_signal,
            references=(f"{_IMPROVED}, equation 17", _ZERO),
        ),
        Component(
            kind="schedule",
            name="quadratic",
            target=f"{_HERE}.schedules:QuadraticSchedule",
            config=f"{_HERE}.configs:QuadraticConfig",
            summary="betas whose root grows linearly (Stable Diffusion, where it is called scaled linear)",
            provides=_provides_steps,
            needs=_needs_signal,
            references=(f"{_DDPM}, the program published with it", f"{_LATENT}, the same", _ZERO),
        ),
        Component(
            kind="schedule",
            name="constant",
            target=f"{_HERE}.schedules:ConstantSchedule",
            config=f"{_HERE}.configs:ConstantConfig",
            summary="betas that are all the same",
            provides=_provides_steps,
            needs=_needs_signal,
            references=(f"{_DDPM}, the program published with it", _ZERO),
        ),
        Component(
            kind="schedule",
            name="warm-up",
            target=f"{_HERE}.schedules:WarmUpSchedule",
            config=f"{_HERE}.configs:WarmUpConfig",
            summary="betas that grow linearly, and then stay",
            provides=_provides_steps,
            needs=_needs_signal,
            references=(f"{_DDPM}, the program published with it", _ZERO),
        ),
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
        Component(
            kind="guidance",
            name="classifier-free",
            target=f"{_HERE}.classifier_free:ClassifierFreeGuidance",
            config=f"{_HERE}.configs:ClassifierFreeConfig",
            summary="pulls each step further from the prediction without a prompt",
            provides=_provides_contrast,
            needs=_needs_null,
            neutral={"scale": 1},
            references=(f"{_GLIDE}, section 2.3", f"{_CFG}, equation 6"),
        ),
        Component(
            kind="codec",
            name="identity",
            target="glidepath.core.codec:IdentityCodec",
            summary="pixels: 8 bits to [-1, 1] and back, rounded as GLIDE does",
        ),
    )
