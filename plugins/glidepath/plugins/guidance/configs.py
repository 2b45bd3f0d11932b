"""The parameters of the guidances that predict twice.

Imports no torch; imported where one is used, not where it is listed.
"""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import ge, gt, lt, min_len, optional

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
    channels: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("guide the first so many channels alone, as DiT's program guides 3 of 4; none: all"),
    )


@attrs.frozen(kw_only=True)
class PerConditionConfig:
    """Classifier-free guidance with a scale for each of several conditions."""

    scales: dict[str, float] = attrs.field(
        factory=lambda: {"text": 3.0},
        validator=min_len(1),
        metadata=doc(
            "the scale of each condition, in the order in which they are left out: {text: 7.5, edit_image: "
            "1.5} compares the image and the text with the image alone, and that with nothing. 1: no guidance"
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
