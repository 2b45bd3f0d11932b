"""The parameters of each part. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import ge, le, min_len

from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class ShapesConfig:
    """Procedural scenes of one or two flat shapes, with captions."""

    image_size: int = attrs.field(
        default=32, validator=ge(16), metadata=doc("height and width in pixels, at least 16")
    )
    two_objects: float = attrs.field(
        default=0.65, validator=[ge(0), le(1)], metadata=doc("share of scenes with two objects, from 0 to 1")
    )
    sizes: tuple[Literal["small", "large"], ...] = attrs.field(
        default=("small", "large"), validator=min_len(1), metadata=doc("that objects have")
    )


@attrs.frozen(kw_only=True)
class AccuracyConfig:
    """What has to be right."""

    of: Literal["all", "count", "shape", "color", "size", "background", "relation"] = attrs.field(
        default="all",
        metadata=doc(
            "all that the prompt says, or one thing; images whose prompt does not say it do not count"
        ),
    )
