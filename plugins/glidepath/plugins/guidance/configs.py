"""The parameters of each guidance. Imports no torch; imported where one is used, not where it is listed."""

from __future__ import annotations

import math
from typing import Any, Literal

import attrs
from attrs.validators import deep_iterable, ge, gt, le, lt, min_len, optional

from glidepath.registry import doc, part


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


@attrs.frozen(kw_only=True)
class RescaleConfig:
    """The spread that guidance added, taken back."""

    phi: float = attrs.field(
        default=0.7,
        validator=[ge(0), le(1)],
        metadata=doc("how much of the spread is taken back, from 0 (nothing) to 1 (all)"),
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


@attrs.frozen(kw_only=True)
class AdaptiveProjectedConfig:
    """Classifier-free guidance without what oversaturates."""

    scale: float = attrs.field(
        default=3.0,
        validator=ge(0),
        metadata=doc("as for classifier-free guidance; 1 follows the prompt without guidance"),
    )
    eta: float = attrs.field(
        default=0.0,
        validator=ge(0),
        metadata=doc(
            "how much is kept of the difference that lies along the prediction itself; 1: all, as in "
            "classifier-free guidance"
        ),
    )
    norm_threshold: float | None = attrs.field(
        default=None,
        validator=optional(gt(0)),
        metadata=doc(
            "the longest that the difference of a sample may be, as the Euclidean norm of all its values; "
            "none: any length",
            unbounded=True,
        ),
    )
    momentum: float = attrs.field(
        default=-0.5,
        validator=[gt(-1), lt(1)],
        metadata=doc(
            "what is kept of earlier steps' differences; below 0 pushes away from them, 0 forgets them"
        ),
    )


@attrs.frozen(kw_only=True)
class AutoguidanceConfig:
    """Guidance by a worse denoiser, the guide."""

    scale: float = attrs.field(
        default=2.0,
        validator=ge(0),
        metadata=doc("0 is the guide, 1 the pipeline's own denoiser, 2 as far again beyond it"),
    )
    denoiser: Any = attrs.field(
        metadata=part(
            "denoiser",
            "the guide: smaller, or trained for less time, on the same data; give it weights",
        ),
    )
