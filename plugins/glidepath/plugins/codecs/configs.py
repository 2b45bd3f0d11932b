"""The parameters of handovers. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import gt, le

from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class HandoverConfig:
    """What the stage before made, in the size of this one, noised."""

    strength: float = attrs.field(
        default=0.3,
        validator=[gt(0), le(1)],
        metadata=doc(
            "the share of its steps that the stage takes: near 0 it changes little, at 1 all. An upsampler "
            "takes all of them"
        ),
    )
    resize: Literal["nearest", "bilinear", "bicubic"] = attrs.field(
        default="bicubic", metadata=doc("how it is brought to another size, where it has one")
    )


@attrs.frozen(kw_only=True)
class UnfinishedConfig:
    """What the stage before has made half way, noise included."""

    level: float = attrs.field(
        validator=gt(0),
        metadata=doc(
            "the noise level, sigma over alpha, at which the stage before stops and this one goes on; 0.5716 "
            "is what denoising_end and denoising_start 0.8 of SDXL are elsewhere"
        ),
    )
