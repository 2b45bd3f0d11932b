"""Its parameters. Imports no torch."""

from __future__ import annotations

import attrs

from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class AutoencoderConfig:
    channels: int = attrs.field(default=4, metadata=doc("of its latents"))
    deviation: float = attrs.field(default=0.1, metadata=doc("of the distribution that an image becomes"))
