"""The parameters of what modifies the guidance before it. Imports no torch."""

from __future__ import annotations

import math
from typing import Literal

import attrs
from attrs.validators import deep_iterable, ge, gt, le, min_len, optional

from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class RescaleConfig:
    """The spread that guidance added, taken back."""

    phi: float = attrs.field(
        default=0.7,
        validator=[ge(0), le(1)],
        metadata=doc("how much of the spread is taken back, from 0 (nothing) to 1 (all)"),
    )


@attrs.frozen(kw_only=True)
class LowResConsistencyConfig:
    """Predictions that average to the picture that an upsampler enlarges."""

    strength: float = attrs.field(
        default=1.0,
        validator=[ge(0), le(1)],
        metadata=doc("how much of the difference is put right at each step, from 0 (nothing) to 1 (all)"),
    )


@attrs.frozen(kw_only=True)
class IntervalConfig:
    """Guidance at some noise levels only. A level is sigma / alpha."""

    low: float = attrs.field(
        default=0.0,
        validator=ge(0),
        metadata=doc("guide at noise levels (sigma / alpha) above this one; 0: down to the image"),
    )
    high: float = attrs.field(
        default=math.inf,
        validator=gt(0),
        metadata=doc("guide at noise levels up to this one; .inf: from the first step"),
    )


@attrs.frozen(kw_only=True)
class ScaleScheduleConfig:
    """A weight for each step."""

    shape: Literal["constant", "linear", "inverse-linear", "cosine", "power-cosine"] = attrs.field(
        default="linear",
        metadata=doc(
            "the weight of a step, where u rises from 1 / steps at the first step to 1 at the last. "
            "constant: 1; linear: u; inverse-linear: 1 - u; cosine: (1 - cos(pi u)) / 2; "
            "power-cosine: (1 - cos(pi u^power)) / 2"
        ),
    )
    power: float = attrs.field(
        default=4.0, validator=gt(0), metadata=doc("of power-cosine: the larger, the later guidance sets in")
    )
    floor: float = attrs.field(
        default=0.0, validator=ge(0), metadata=doc("no weight is lower (clamp-linear, clamp-cosine)")
    )
    values: tuple[float, ...] | None = attrs.field(
        default=None,
        validator=optional(deep_iterable(ge(0), min_len(1))),  # type: ignore[arg-type]  # attrs infers None
        metadata=doc(
            "weights in place of a shape, first step first; fewer than there are steps are spread evenly"
        ),
    )


@attrs.frozen(kw_only=True)
class DynamicThresholdConfig:
    """Each predicted x_0 brought back to [-1, 1] by what most of its pixels need."""

    percentile: float = attrs.field(
        default=0.995,
        validator=[gt(0), le(1)],
        metadata=doc("the share of the values of |x_0| that end within the bounds; the rest is clipped"),
    )
    sample_max: float = attrs.field(
        default=math.inf,
        validator=ge(1),
        metadata=doc(
            "no x_0 is scaled down by more; 1 clips to [-1, 1], and .inf scales by whatever is needed "
            "(elsewhere: sample_max_value, which is 1 by default)"
        ),
    )
