"""Parameters that all samplers have. Imports no torch."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import gt

from glidepath.registry import WholeAtLeast, doc

_STEPS = (
    "which timesteps are visited: a number of them (20), sections ('10,10,5'), 'fast27', 'ddim50', "
    "'leading50', 'leading50+1', 'trailing50', 'uniform50', or a list ([0, 10, 500]); in continuous time, a "
    "number of them, or a list of times from 1, noise, down ([1, 0.75, 0.5])"
)
_END = (
    "where the last step ends: clean, at the image; first, at the noise level of timestep 0 (elsewhere: "
    "final_sigmas_type: sigma_min, or set_alpha_to_one: false)"
)
_CLIP = (
    "clip each predicted x_0 to [-clip_range, clip_range]; auto: where the codec is bounded, as pixels are "
    "and latents are not"
)
_CLIP_RANGE = "where each predicted x_0 is clipped (elsewhere: clip_sample_range)"
_START = (
    "the standard deviation of the first x. unit: sqrt(alpha^2 + sigma^2), that of noised data of unit "
    "variance; sigma_max: sigma, as most schedulers of diffusers have it; noise: 1"
)
_KNOWN = (
    "where the pixels that a mask keeps are restored: x_0, in each predicted x_0, as GLIDE inpaints; x_t, in "
    "each x_t too, with the first noise, as pipelines of diffusers inpaint with a network of plain images"
)
_TEMPERATURE = "what the first noise is multiplied by; GLIDE's upsampler uses 0.997"


def steps_field(default: int | str, more: str = "") -> Any:
    """Which timesteps are visited. more: what else is to be said of them."""
    return attrs.field(default=default, validator=WholeAtLeast(1), metadata=doc(_STEPS + more))


def end_field() -> Any:
    """Where the last step ends."""
    return attrs.field(default="clean", metadata=doc(_END))


def clip_field() -> Any:
    """Whether x_0 is clipped."""
    return attrs.field(default="auto", metadata=doc(_CLIP))


def clip_range_field() -> Any:
    """Where x_0 is clipped."""
    return attrs.field(default=1.0, validator=gt(0), metadata=doc(_CLIP_RANGE, unbounded=True))


def temperature_field() -> Any:
    """What the first noise is multiplied by."""
    return attrs.field(default=1.0, validator=gt(0), metadata=doc(_TEMPERATURE))


def start_field() -> Any:
    """The standard deviation of the first x."""
    return attrs.field(default="unit", metadata=doc(_START))


def known_field() -> Any:
    """Where the pixels that a mask keeps are restored."""
    return attrs.field(default="x_0", metadata=doc(_KNOWN))
