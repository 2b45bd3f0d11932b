"""The parameters of each schedule. Imports no torch; imported where one is used, not where it is listed."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import ge, gt, le, lt, optional

from glidepath.registry import doc

_RESCALE = "give the denoiser t * 1000 / N, a float, in place of t"
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
