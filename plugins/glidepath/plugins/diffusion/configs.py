"""The parameters of each part. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs.validators import ge, gt, le, lt, optional

from glidepath.registry import WholeAtLeast, doc

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


@attrs.frozen(kw_only=True)
class DdpmConfig:
    """Ancestral sampling."""

    steps: int | str | tuple[int, ...] = attrs.field(
        default=150, validator=WholeAtLeast(1), metadata=doc(_STEPS)
    )
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

    steps: int | str | tuple[int, ...] = attrs.field(
        default=50, validator=WholeAtLeast(1), metadata=doc(_STEPS)
    )
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
