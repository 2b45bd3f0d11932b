"""The parameters of metrics. Imports no torch; imported where one is used, not where they are listed."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import ge

from glidepath.registry import doc, part


@attrs.frozen(kw_only=True)
class ClipScoreConfig:
    """The cosine of image and prompt, as a CLIP sees them that no arm is guided by."""

    clip: Any = attrs.field(
        metadata=part("clip", "compares image and prompt; another than guides an arm; give it weights")
    )


@attrs.frozen(kw_only=True)
class FeatureConfig:
    """A comparison with real images, by features of the probe."""

    images: int = attrs.field(
        default=2048,
        validator=ge(2),
        metadata=doc("real images of the spec's dataset that are compared with; part of what a value means"),
    )
    seed: int = attrs.field(
        default=1_000_003,
        validator=ge(0),
        metadata=doc("of the real images; another than that of training, so that none was trained on"),
    )


@attrs.frozen(kw_only=True)
class NeighbourConfig(FeatureConfig):
    """A share of one set within the support of another."""

    neighbours: int = attrs.field(
        default=3, validator=ge(1), metadata=doc("k: the ball around a point reaches its k-th neighbour")
    )


@attrs.frozen(kw_only=True)
class DiversityConfig:
    """Distances between images of one prompt."""
