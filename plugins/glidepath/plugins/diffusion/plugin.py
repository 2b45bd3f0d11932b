"""What this plugin supplies, and the parameters of each part. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs
from attrs.validators import ge, gt, le, lt

from glidepath.core.spacing import timesteps
from glidepath.registry.component import Component, Need, doc
from glidepath.registry.hooks import hookimpl

_STEPS = (
    "which timesteps are visited: a number of them (50), sections ('10,10,5'), 'fast27', 'ddim50', "
    "'leading50', 'trailing50', or a list ([0, 10, 500])"
)
_CLIP = "clip each predicted x_0 to [-1, 1]; false for latent spaces"
_TEMPERATURE = "what the first noise is multiplied by; GLIDE's upsampler uses 0.997"
_RESCALE = "give the denoiser t * 1000 / N, a float, in place of t"


@attrs.frozen(kw_only=True)
class LinearConfig:
    """Betas that grow linearly, from 0.1 / N to 20 / N."""

    num_steps: int = attrs.field(
        default=1000,
        validator=gt(20),
        metadata=doc("N, the number of timesteps; more than 20, as with fewer the last beta would reach 1"),
    )
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))


@attrs.frozen(kw_only=True)
class CosineConfig:
    """alpha_bar that falls as a squared cosine."""

    num_steps: int = attrs.field(
        default=1000, validator=ge(1), metadata=doc("N, the number of timesteps, at least 1")
    )
    max_beta: float = attrs.field(
        default=0.999,
        validator=[gt(0), lt(1)],
        metadata=doc("no beta is larger; between 0 and 1, both excluded"),
    )
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))


@attrs.frozen(kw_only=True)
class DdpmConfig:
    """Ancestral sampling."""

    steps: int | str | tuple[int, ...] = attrs.field(default=150, metadata=doc(_STEPS))
    variance: Literal["auto", "learned-range", "learned", "fixed-small", "fixed-large"] = attrs.field(
        default="auto",
        metadata=doc(
            "of the noise that each step adds. auto: learned-range where the denoiser learns its variance, "
            "fixed-small where it does not; learned-range: between the two fixed ones, where the denoiser "
            "says; learned: the second half of the denoiser's output is the log-variance itself; "
            "fixed-small: that of q(x_s | x_t, x_0); fixed-large: beta"
        ),
    )
    clip: bool = attrs.field(default=True, metadata=doc(_CLIP))
    temperature: float = attrs.field(default=1.0, validator=gt(0), metadata=doc(_TEMPERATURE))


@attrs.frozen(kw_only=True)
class DdimConfig:
    """Implicit sampling, deterministic unless eta is raised."""

    steps: int | str | tuple[int, ...] = attrs.field(default=50, metadata=doc(_STEPS))
    eta: float = attrs.field(
        default=0.0,
        validator=[ge(0), le(1)],
        metadata=doc(
            "how much of the noise is drawn anew, from 0 (none: deterministic) to 1 (as much as DDPM)"
        ),
    )
    clip: bool = attrs.field(default=True, metadata=doc(_CLIP))
    temperature: float = attrs.field(default=1.0, validator=gt(0), metadata=doc(_TEMPERATURE))


@attrs.frozen(kw_only=True)
class ClassifierFreeConfig:
    """Guidance by the difference that the prompt makes."""

    scale: float = attrs.field(
        default=3.0,
        validator=ge(0),
        metadata=doc(
            "0 ignores the prompt, 1 follows it without guidance, GLIDE uses 3 (5 to inpaint); at least 0"
        ),
    )


def _provides_steps(config: LinearConfig | CosineConfig) -> dict[str, object]:
    return {
        "schedule.num_steps": config.num_steps,
        "schedule.rescale_timesteps": config.rescale_timesteps,
    }


def _needs_spacing(config: DdpmConfig | DdimConfig) -> dict[str, Need]:
    def fault(num_steps: int) -> str:
        try:
            timesteps(config.steps, num_steps)
        except ValueError as error:
            return str(error)
        return ""

    # optional: a schedule that does not say its number of steps still refuses the spacing itself, when built
    return {"schedule.num_steps": Need(field="steps", test=fault, optional=True)}


def _provides_contrast(_config: ClassifierFreeConfig) -> dict[str, object]:
    return {"guidance.contrast": True, "guidance.weight": True}


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
_HERE = "glidepath.plugins.diffusion"


@hookimpl
def components() -> Iterable[Component]:
    """Schedules, samplers, guidance and codec."""
    return (
        Component(
            kind="schedule",
            name="linear",
            target=f"{_HERE}.schedules:LinearSchedule",
            config=LinearConfig,
            summary="betas that grow linearly (DDPM, ADM at 128 pixels and more, GLIDE's upsampler)",
            provides=_provides_steps,
            references=(f"{_DDPM}, section 4",),
        ),
        Component(
            kind="schedule",
            name="cosine",
            target=f"{_HERE}.schedules:CosineSchedule",
            config=CosineConfig,
            summary="alpha_bar that falls as a squared cosine (GLIDE's base model, ADM at 64 pixels)",
            provides=_provides_steps,
            references=(f"{_IMPROVED}, equation 17",),
        ),
        Component(
            kind="sampler",
            name="ddpm",
            target=f"{_HERE}.ddpm:DdpmSampler",
            config=DdpmConfig,
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
            config=DdimConfig,
            summary="implicit sampling: few steps, deterministic at eta 0",
            needs=_needs_spacing,
            references=(f"{_DDIM}, equations 12 and 16", f"{_ADM}, algorithm 2"),
        ),
        Component(
            kind="guidance",
            name="classifier-free",
            target=f"{_HERE}.classifier_free:ClassifierFreeGuidance",
            config=ClassifierFreeConfig,
            summary="pulls each step further from the prediction without a prompt",
            provides=_provides_contrast,
            references=(f"{_GLIDE}, section 2.3", f"{_CFG}, equation 6"),
        ),
        Component(
            kind="codec",
            name="identity",
            target="glidepath.core.codec:IdentityCodec",
            summary="pixels: 8 bits to [-1, 1] and back, rounded as GLIDE does",
        ),
    )
