"""The parameters of each part. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from pathlib import Path

import attrs
from attrs.validators import ge, le

from glidepath.registry import asset, doc


@attrs.frozen(kw_only=True)
class EmojiConfig:
    """Pictures of a table that `glidepath emoji-table` made."""

    table: Path | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Path),
        metadata=asset(
            "the file that the command emoji-table wrote; none: in the current folder "
            "emoji-table.safetensors, or emoji-table-64.safetensors by the `size`"
        ),
    )
    size: int = attrs.field(
        default=32, validator=ge(8), metadata=doc("height and width of the table's pictures, in pixels")
    )
    recoloured: float = attrs.field(
        default=0.0,
        validator=[ge(0), le(1)],
        metadata=doc(
            "share of pictures whose red, green and blue change places; captions do not follow: "
            "for an upsampler, which shall take colours from the small picture"
        ),
    )


@attrs.frozen(kw_only=True)
class ObjectConfig:
    """When an object counts as right."""

    within: int = attrs.field(
        default=1,
        validator=ge(1),
        metadata=doc("the right object is among so many of the judge's likeliest"),
    )
