"""Parameters of metrics that look at no features of the probe. Imports no torch."""

from __future__ import annotations

from typing import Any

import attrs

from glidepath.registry.component import part


@attrs.frozen(kw_only=True)
class ClipScoreConfig:
    """The cosine of image and prompt, as a CLIP sees them that no arm is guided by."""

    clip: Any = attrs.field(
        metadata=part("clip", "compares image and prompt; another than guides an arm; give it weights")
    )
