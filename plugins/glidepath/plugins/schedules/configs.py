"""The parameters of each schedule. Imports no torch; imported where one is used, not where it is listed."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs.validators import ge, gt, le, lt, optional

from glidepath.registry import doc

_RESCALE = "give the denoiser t * 1000 / N, a float, in place of t"
Time = Literal["t", "log-ratio"]
_TIME = (
    "what the denoiser receives: t, or log-ratio, log(sigma / alpha) / 4, as networks do that are "
    "preconditioned (Karras et al. 2022, table 1)"
)
_ZERO_SNR = (
    "shift and scale alpha so that the last timestep is noise alone; for a denoiser that predicts velocity "
    "or sample, as its epsilon says nothing there"
)
_NUM_STEPS = "N, the number of timesteps, at least 1"


def _beta(default: float, text: str) -> Any:
    return attrs.field(default=default, validator=[gt(0), le(1)], metadata=doc(f"{text}; above 0, at most 1"))


@attrs.frozen(kw_only=True)
class LinearConfig:
    """Betas that grow linearly, from 0.1 / N to 20 / N."""

    num_steps: int = attrs.field(
        default=1000,
        validator=ge(20),
        metadata=doc("N, the number of timesteps; at least 20, at which the last beta is 1"),
    )
    beta_start: float | None = attrs.field(
        default=None,
        validator=optional([gt(0), lt(1)]),
        metadata=doc("the first beta, between 0 and 1; none: 0.1 / N"),
    )
    beta_end: float | None = attrs.field(
        default=None,
        validator=optional([gt(0), le(1)]),
        metadata=doc("the last beta, above 0, at most 1; none: 20 / N"),
    )
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))
    time: Time = attrs.field(default="t", metadata=doc(_TIME))
    zero_terminal_snr: bool = attrs.field(default=False, metadata=doc(_ZERO_SNR))


@attrs.frozen(kw_only=True)
class CosineConfig:
    """alpha_bar that falls as a squared cosine."""

    num_steps: int = attrs.field(default=1000, validator=ge(1), metadata=doc(_NUM_STEPS))
    max_beta: float = attrs.field(
        default=0.999,
        validator=[gt(0), le(1)],
        metadata=doc("no beta is larger; above 0, at most 1: then the last timestep is noise alone"),
    )
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))
    time: Time = attrs.field(default="t", metadata=doc(_TIME))
    zero_terminal_snr: bool = attrs.field(default=False, metadata=doc(_ZERO_SNR))


@attrs.frozen(kw_only=True)
class QuadraticConfig:
    """Betas whose square root grows linearly."""

    num_steps: int = attrs.field(default=1000, validator=ge(1), metadata=doc(_NUM_STEPS))
    beta_start: float = _beta(0.0001, "the first beta; Stable Diffusion has 0.00085")
    beta_end: float = _beta(0.02, "the last beta; Stable Diffusion has 0.012")
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))
    time: Time = attrs.field(default="t", metadata=doc(_TIME))
    zero_terminal_snr: bool = attrs.field(default=False, metadata=doc(_ZERO_SNR))


@attrs.frozen(kw_only=True)
class ConstantConfig:
    """Betas that are all the same."""

    num_steps: int = attrs.field(default=1000, validator=ge(1), metadata=doc(_NUM_STEPS))
    beta: float = _beta(0.02, "every beta")
    rescale_timesteps: bool = attrs.field(default=False, metadata=doc(_RESCALE))
    time: Time = attrs.field(default="t", metadata=doc(_TIME))
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
    time: Time = attrs.field(default="t", metadata=doc(_TIME))
    zero_terminal_snr: bool = attrs.field(default=False, metadata=doc(_ZERO_SNR))


@attrs.frozen(kw_only=True)
class FlowConfig:
    """The straight path from image to noise, in continuous time."""

    shift: float = attrs.field(
        default=1.0,
        validator=gt(0),
        metadata=doc("what sigma over alpha is multiplied by: 1 changes nothing, Stable Diffusion 3 has 3"),
    )
    dynamic: Literal["none", "exponential", "linear"] = attrs.field(
        default="none",
        metadata=doc(
            "a shift that grows with the size of the latent, in place of `shift`: exponential, e^mu, as Flux "
            "has it; linear, mu. mu grows evenly with the number of tokens"
        ),
    )
    base_shift: float = attrs.field(
        default=0.5, validator=gt(0), metadata=doc("mu at base_tokens, where the shift is dynamic")
    )
    max_shift: float = attrs.field(
        default=1.15, validator=gt(0), metadata=doc("mu at max_tokens, where the shift is dynamic")
    )
    base_tokens: int = attrs.field(
        default=256, validator=ge(1), metadata=doc("the number of tokens at which mu is base_shift")
    )
    max_tokens: int = attrs.field(
        default=4096, validator=ge(1), metadata=doc("the number of tokens at which mu is max_shift")
    )
    patch: int = attrs.field(
        default=2, validator=ge(1), metadata=doc("the side of a token, in values of the latent")
    )
    grid: Literal["trailing", "flow-match-euler", "dpm-solver", "unipc"] = attrs.field(
        default="trailing",
        metadata=doc(
            "where N steps begin, before the shift. trailing: at 1, 1 - 1/N, ..., 1/N, as Flux has it; the "
            "others as the schedulers of diffusers have it. flow-match-euler: evenly from 1 to the first "
            "timestep, shifted; dpm-solver: from 0.999 to 0, without it; unipc: from 1 to 0.001, without it; "
            "the last two give the denoiser whole numbers"
        ),
    )
    spacing: Literal["even", "karras", "exponential"] = attrs.field(
        default="even",
        metadata=doc(
            "how sigma lies between the first and the last step, after the shift. even: as the grid has it; "
            "karras, evenly in sigma^(1/7), and exponential, in log sigma, as diffusers spaces a flow (the "
            "`sigmas` of a sampler space sigma over alpha)"
        ),
    )
    shift_terminal: float | None = attrs.field(
        default=None,
        validator=optional([gt(0), lt(1)]),
        metadata=doc("stretch the grid so that its last step begins at this sigma; none: leave it"),
    )
    time_scale: float = attrs.field(
        default=1000.0,
        validator=gt(0),
        metadata=doc("the denoiser receives this times sigma (elsewhere: num_train_timesteps)"),
    )


@attrs.frozen(kw_only=True)
class EdmConfig:
    """Noise that grows while the image stays as it is, in continuous time."""

    sigma_min: float = attrs.field(
        default=0.002, validator=gt(0), metadata=doc("the noise level of the last step")
    )
    sigma_max: float = attrs.field(
        default=80.0, validator=gt(0), metadata=doc("the noise level of the first step")
    )
    rho: float = attrs.field(
        default=7.0,
        validator=gt(0),
        metadata=doc("how the levels lie: evenly in sigma^(1/rho); the higher, the more at low noise"),
    )
