"""The parameters of datasets. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from pathlib import Path

import attrs
from attrs.validators import ge, lt

from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class PicturesConfig:
    """What is done with captioned pictures, wherever they lie."""

    size: int = attrs.field(
        default=64,
        validator=ge(1),
        metadata=doc("pixels of each side: the largest square in the middle is cut out and resized"),
    )
    flip: bool = attrs.field(
        default=False,
        metadata=doc(
            "mirror half of the images, drawn anew each time; none whose caption says left or right"
        ),
    )


@attrs.frozen(kw_only=True)
class ListedConfig(PicturesConfig):
    """Captioned pictures that are listed: what the columns of the list are called."""

    text: str = attrs.field(
        default="text", metadata=doc("the column of the caption; several of one picture may stand in a list")
    )
    weight: str = attrs.field(
        default="",
        metadata=doc(
            'a column of numbers: a picture of weight 2 comes twice as often as one of weight 1; "": all '
            "come alike"
        ),
    )
    label: str = attrs.field(
        default="",
        metadata=doc('a column of classes, as numbers from 0 or as names, which are sorted; "": none'),
    )
    facts: tuple[str, ...] = attrs.field(
        default=(),
        metadata=doc(
            "columns of what captions say (the colour, the style): questions to which each text in them is "
            "an answer, and an empty one leaves it open. A trainer's facts_steps teaches them"
        ),
    )
    held_out: str = attrs.field(
        default="",
        metadata=doc('a column that is true where a picture is kept from training; "": none is marked'),
    )
    held_out_share: float = attrs.field(
        default=0.0,
        validator=[ge(0), lt(1)],
        metadata=doc("share of the pictures that is kept from training too, by a hash of their names"),
    )


@attrs.frozen(kw_only=True)
class CaptionedFolderConfig(ListedConfig):
    """A folder of images, with captions in metadata.jsonl or in a text file beside each."""

    folder: Path = attrs.field(
        converter=Path,
        metadata=doc(
            "holds the images, also in folders inside; captions are in its metadata.jsonl, a line "
            '{"file_name": "a.png", "text": "..."} for each, or, without that file, in a.txt beside a.png'
        ),
    )


@attrs.frozen(kw_only=True)
class TableConfig(ListedConfig):
    """A table of captioned images: a row for each."""

    file: Path = attrs.field(
        converter=Path,
        metadata=doc("ends in .csv, .jsonl or .parquet; Parquet is read with the extra [parquet]"),
    )
    image: str = attrs.field(
        default="file_name",
        metadata=doc(
            "the column of the pictures: paths from the folder of the table on; in Parquet their bytes too"
        ),
    )
