"""What this plugin supplies, and the parameters of each part. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import attrs
from attrs.validators import ge, gt, le, lt, optional

from glidepath.core.spacing import spacing_fault
from glidepath.registry.component import Component, Need, doc
from glidepath.registry.hooks import hookimpl

_STEPS = (
    "which timesteps are visited: a number of them (50), sections ('10,10,5'), 'fast27', 'ddim50', "
    "'leading50', 'trailing50', 'uniform50', or a list ([0, 10, 500])"
)
_CLIP = "clip each predicted x_0 to [-1, 1]; false for latent spaces"
_TEMPERATURE = "what the first noise is multiplied by; GLIDE's upsampler uses 0.997"
_RESCALE = "give the denoiser t * 1000 / N, a float, in place of t"
_ZERO_SNR = (
    "shift and scale alpha so that the last timestep is noise alone; for a denoiser that predicts velocity "
    "or sample, as its epsilon says nothing there"
)
_NUM_STEPS = "N, the number of timesteps, at least 1"
_END = (
    "where the last step ends: clean, at the image; first, at the noise level of timestep 0 (elsewhere: "
    "set_alpha_to_one: false)"
)


def _beta(default: float, text: str) -> Any:
    return attrs.field(default=default, validator=[gt(0), lt(1)], metadata=doc(f"{text}; between 0 and 1"))


@attrs.frozen(kw_only=True)
class LinearConfig:
    """Betas that grow linearly, from 0.1 / N to 20 / N."""

    num_steps: int = attrs.field(
        default=1000,
        validator=gt(20),
        metadata=doc("N, the number of timesteps; more than 20, as with fewer the last beta would reach 1"),
    )
    beta_start: float | None = attrs.field(
        default=None,
        validator=optional([gt(0), lt(1)]),
        metadata=doc("the first beta, between 0 and 1; none: 0.1 / N"),
    )
    beta_end: float | None = attrs.field(
        default=None,
        validator=optional([gt(0), lt(1)]),
        metadata=doc("the last beta, between 0 and 1; none: 20 / N"),
    )
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))
    zero_terminal_snr: bool = attrs.field(default=False, metadata=doc(_ZERO_SNR))


@attrs.frozen(kw_only=True)
class CosineConfig:
    """alpha_bar that falls as a squared cosine."""

    num_steps: int = attrs.field(default=1000, validator=ge(1), metadata=doc(_NUM_STEPS))
    max_beta: float = attrs.field(
        default=0.999,
        validator=[gt(0), lt(1)],
        metadata=doc("no beta is larger; between 0 and 1, both excluded"),
    )
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))
    zero_terminal_snr: bool = attrs.field(default=False, metadata=doc(_ZERO_SNR))


@attrs.frozen(kw_only=True)
class QuadraticConfig:
    """Betas whose square root grows linearly."""

    num_steps: int = attrs.field(default=1000, validator=ge(1), metadata=doc(_NUM_STEPS))
    beta_start: float = _beta(0.0001, "the first beta; Stable Diffusion has 0.00085")
    beta_end: float = _beta(0.02, "the last beta; Stable Diffusion has 0.012")
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))
    zero_terminal_snr: bool = attrs.field(default=False, metadata=doc(_ZERO_SNR))


@attrs.frozen(kw_only=True)
class ConstantConfig:
    """Betas that are all the same."""

    num_steps: int = attrs.field(default=1000, validator=ge(1), metadata=doc(_NUM_STEPS))
    beta: float = _beta(0.02, "every beta")
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))
    zero_terminal_snr: bool = attrs.field(default=False, metadata=doc(_ZERO_SNR))


@attrs.frozen(kw_only=True)
class WarmUpConfig:
    """Betas that grow linearly, and then stay."""

    num_steps: int = attrs.field(default=1000, validator=ge(1), metadata=doc(_NUM_STEPS))
    share: float = attrs.field(
        default=0.1, validator=[ge(0), le(1)], metadata=doc("the part of the chain in which they grow")
    )
    beta_start: float = _beta(0.0001, "the first beta")
    beta_end: float = _beta(0.02, "the beta that is reached")
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))
    zero_terminal_snr: bool = attrs.field(default=False, metadata=doc(_ZERO_SNR))


_ScheduleConfig = LinearConfig | CosineConfig | QuadraticConfig | ConstantConfig | WarmUpConfig


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
    epsilon: Literal["clipped", "predicted"] = attrs.field(
        default="clipped",
        metadata=doc(
            "which noise is kept where x_0 is clipped: clipped, the one that follows from the clipped x_0, "
            "as ADM and GLIDE have it; predicted, the denoiser's own, as diffusers has it"
        ),
    )
    end: Literal["clean", "first"] = attrs.field(default="clean", metadata=doc(_END))
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
            config=LinearConfig,
            summary="betas that grow linearly (DDPM, ADM at 128 pixels and more, GLIDE's upsampler)",
            provides=_provides_steps,
            needs=_needs_signal,
            references=(f"{_DDPM}, section 4", _ZERO),
        ),
        Component(
            kind="schedule",
            name="cosine",
            target=f"{_HERE}.schedules:CosineSchedule",
            config=CosineConfig,
            summary="alpha_bar that falls as a squared cosine (GLIDE's base model, ADM at 64 pixels)",
            provides=_provides_steps,
            needs=_needs_signal,
            references=(f"{_IMPROVED}, equation 17", _ZERO),
        ),
        Component(
            kind="schedule",
            name="quadratic",
            target=f"{_HERE}.schedules:QuadraticSchedule",
            config=QuadraticConfig,
            summary="betas whose root grows linearly (Stable Diffusion, where it is called scaled linear)",
            provides=_provides_steps,
            needs=_needs_signal,
            references=(f"{_DDPM}, the program published with it", f"{_LATENT}, the same", _ZERO),
        ),
        Component(
            kind="schedule",
            name="constant",
            target=f"{_HERE}.schedules:ConstantSchedule",
            config=ConstantConfig,
            summary="betas that are all the same",
            provides=_provides_steps,
            needs=_needs_signal,
            references=(f"{_DDPM}, the program published with it", _ZERO),
        ),
        Component(
            kind="schedule",
            name="warm-up",
            target=f"{_HERE}.schedules:WarmUpSchedule",
            config=WarmUpConfig,
            summary="betas that grow linearly, and then stay",
            provides=_provides_steps,
            needs=_needs_signal,
            references=(f"{_DDPM}, the program published with it", _ZERO),
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
