"""Parameters that the UNet and the classifier share: a field for each. Imports no torch."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import deep_iterable, ge, gt, in_, le, min_len, optional

from glidepath.registry import doc


def channels(default: int) -> Any:
    return attrs.field(
        default=default,
        validator=ge(1),
        metadata=doc(
            "the unit of width: channel_mult multiplies it, and the timestep embedding is 4 times as wide"
        ),
    )


def channel_mult(default: tuple[float, ...]) -> Any:
    return attrs.field(
        default=default,
        validator=deep_iterable(gt(0), min_len(1)),
        metadata=doc("width of each level, in channels; each level after the first halves the size"),
    )


def attention_resolutions() -> Any:
    return attrs.field(
        default=(32, 16, 8),
        metadata=doc(
            "sizes inside the network at which attention follows each residual block; "
            "the middle of the network always has it"
        ),
    )


def heads() -> Any:
    return attrs.field(
        default=1, validator=ge(1), metadata=doc("attention heads, where head_channels is none")
    )


def head_channels() -> Any:
    return attrs.field(
        default=64,
        validator=optional(ge(1)),  # type: ignore[arg-type]  # attrs infers int from the default
        metadata=doc("channels of each attention head; none: heads says how many heads there are instead"),
    )


def scale_shift_norm() -> Any:
    return attrs.field(
        default=True,
        metadata=doc("the timestep scales and shifts in each block; false: it is added"),
    )


def resblock_updown() -> Any:
    return attrs.field(
        default=True, metadata=doc("residual blocks change the size; false: a layer of its own does")
    )


def conv_resample() -> Any:
    return attrs.field(
        default=True, metadata=doc("where resblock_updown is false: change the size with a convolution")
    )


def dropout() -> Any:
    return attrs.field(
        default=0.0,
        validator=[ge(0), le(1)],
        metadata=doc("share of the activations that training drops, in each residual block", free=True),
    )


def dims() -> Any:
    return attrs.field(
        default=2,
        validator=in_((1, 2, 3)),
        metadata=doc("spatial dimensions: 2 for images; of 3, the first (frames, depth) keeps its size"),
    )
