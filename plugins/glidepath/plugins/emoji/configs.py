"""The parameters of each part. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from pathlib import Path

import attrs
from attrs.validators import ge

from glidepath.registry import asset, doc


@attrs.frozen(kw_only=True)
class EmojiConfig:
    """Pictures of a table that `glidepath emoji-table` made."""

    table: Path | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Path),
        metadata=asset(
            "the file that the command emoji-table wrote; none: emoji-table.safetensors in the current folder"
        ),
    )
    size: int = attrs.field(
        default=32, validator=ge(8), metadata=doc("height and width of the table's pictures, in pixels")
    )


@attrs.frozen(kw_only=True)
class ObjectConfig:
    """When an object counts as right."""

    within: int = attrs.field(
        default=1,
        validator=ge(1),
        metadata=doc("the right object is among so many of the judge's likeliest"),
    )
