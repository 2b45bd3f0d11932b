"""The parameters of datasets. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import deep_iterable, ge, gt, le, lt, matches_re, min_len, optional

from glidepath.registry import doc, parts


@attrs.frozen(kw_only=True)
class PicturesConfig:
    """What is done with captioned pictures, wherever they lie."""

    size: int = attrs.field(
        default=64,
        validator=ge(1),
        metadata=doc("pixels of each side: the largest square in the middle is cut out and resized"),
    )
    transforms: Any = attrs.field(
        default=(),
        metadata=parts("transform", "what is done with each picture before that, in this order"),
    )
    templates: tuple[str, ...] = attrs.field(
        default=(),
        validator=deep_iterable(matches_re(r"[\s\S]*\{caption\}[\s\S]*")),
        metadata=doc(
            'forms of words around a caption, of which one is drawn each time: "a photo of {caption}"; none: '
            "the caption alone"
        ),
    )
    part_dropout: float = attrs.field(
        default=0.0,
        validator=[ge(0), le(1)],
        metadata=doc(
            "share of the parts of a caption, between its commas, that are left out, drawn anew each time; "
            "never the first"
        ),
    )


@attrs.frozen(kw_only=True)
class ColumnsConfig(PicturesConfig):
    """What is said of a picture: what the columns are called, or the endings of files."""

    text: str = attrs.field(
        default="text", metadata=doc("the column of the caption; several of one picture may stand in a list")
    )
    label: str = attrs.field(
        default="",
        metadata=doc('a column of classes, as numbers from 0 or as names, which are sorted; "": none'),
    )
    held_out_share: float = attrs.field(
        default=0.0,
        validator=[ge(0), lt(1)],
        metadata=doc("share of the pictures that is kept from training, by a hash of their names"),
    )


@attrs.frozen(kw_only=True)
class ListedConfig(ColumnsConfig):
    """Captioned pictures that are listed."""

    weight: str = attrs.field(
        default="",
        metadata=doc(
            'a column of numbers: a picture of weight 2 comes twice as often as one of weight 1; "": all '
            "come alike"
        ),
    )
    facts: tuple[str, ...] = attrs.field(
        default=(),
        metadata=doc(
            "columns of what captions say (the colour, the style): questions to which each text in them is "
            "an answer, and an empty one leaves it open. A trainer's facts_steps teaches them"
        ),
    )
    bucket_step: int = attrs.field(
        default=0,
        validator=ge(0),
        metadata=doc(
            "pictures keep their proportions: each batch is of one size, of about size x size pixels, whose "
            "sides are multiples of so many pixels; 0: all are cut to squares"
        ),
    )
    bucket_ratio: float = attrs.field(
        default=2.0,
        validator=ge(1),
        metadata=doc("the longer side of such a size is at most so many times the shorter"),
    )
    held_out: str = attrs.field(
        default="",
        metadata=doc('a column that is true where a picture is kept from training; "": none is marked'),
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


@attrs.frozen(kw_only=True)
class HuggingfaceConfig(ListedConfig):
    """A dataset of the package datasets, as it saves them or of files here. Nothing is downloaded."""

    folder: Path = attrs.field(
        converter=Path, metadata=doc("what `save_to_disk` has written: a dataset, or several by their splits")
    )
    split: str = attrs.field(default="train", metadata=doc("which of them, where there are several"))
    image: str = attrs.field(default="image", metadata=doc("the column of the pictures"))


@attrs.frozen(kw_only=True)
class WebDatasetConfig(ColumnsConfig):
    """Tar files of pictures, with a caption for each in a file of the same name: a.png, a.txt or a.json."""

    LOCATED = ("shards",)  # what says where it lies: a run knows it by what it holds

    shards: tuple[str, ...] = attrs.field(
        validator=min_len(1),
        metadata=doc(
            "tar files: paths, with {000..099} for numbers and * for any letters; addresses that fsspec "
            "reads (s3://, https://; simplecache::s3:// keeps what it has read), with the extra [remote]"
        ),
    )
    text: str = attrs.field(
        default="txt",
        metadata=doc("the ending of the file of the caption, or a key of the JSON in the .json file"),
    )
    label: str = attrs.field(
        default="", metadata=doc('likewise, of the class, a number from 0, such as cls; "": none')
    )
    window: int = attrs.field(
        default=8,
        validator=ge(1),
        metadata=doc("shards whose samples are shuffled together, and that are open at once"),
    )


@attrs.frozen(kw_only=True)
class MixtureConfig:
    """Several datasets as one."""

    datasets: Any = attrs.field(metadata=parts("dataset", "those that are mixed; of images of one size"))
    proportions: tuple[float, ...] = attrs.field(
        default=(),
        validator=deep_iterable(gt(0)),
        metadata=doc("how often each comes, in proportion; none: all alike"),
    )


@attrs.frozen(kw_only=True)
class CropConfig:
    """A part of the picture, with the proportions of the batch, at a place that is drawn."""

    least: float = attrs.field(
        default=1.0,
        validator=[gt(0), le(1)],
        metadata=doc("its sides, as a share of the largest such part's, are drawn from this to 1"),
    )


@attrs.frozen(kw_only=True)
class ResizeConfig:
    """Another size, the proportions kept."""

    side: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("pixels of the shorter side; none: as small as covers the size of the batch"),
    )
    method: Literal["nearest", "area", "bilinear", "bicubic", "lanczos"] = attrs.field(
        default="bicubic", metadata=doc("how pixels are made of others; nearest is for pixel art")
    )


@attrs.frozen(kw_only=True)
class FlipConfig:
    """Mirrored pictures."""

    share: float = attrs.field(
        default=0.5, validator=[ge(0), le(1)], metadata=doc("of the pictures that is mirrored")
    )
    words: Literal["keep", "swap"] = attrs.field(
        default="keep",
        metadata=doc(
            "of pictures whose caption says left or right: keep mirrors none, swap mirrors them and "
            "exchanges the words"
        ),
    )


@attrs.frozen(kw_only=True)
class ColourJitterConfig:
    """Colours that are drawn anew each time. What a caption says of colours holds for small values alone."""

    brightness: float = attrs.field(
        default=0.1, validator=ge(0), metadata=doc("a factor drawn from 1 - this to 1 + this")
    )
    contrast: float = attrs.field(default=0.1, validator=ge(0), metadata=doc("likewise"))
    saturation: float = attrs.field(default=0.1, validator=ge(0), metadata=doc("likewise"))
    hue: float = attrs.field(
        default=0.0, validator=[ge(0), le(0.5)], metadata=doc("the most that hues are turned by; 1 is round")
    )
