"""Which words a caption is said in, each time its picture comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import PicturesConfig

CAPTION = "{caption}"
"""What stands for the caption in a template."""


def drawn(captions: Sequence[str], config: PicturesConfig, rng: np.random.Generator) -> str:
    """One of the captions of a picture, without some of its parts, in one of the templates."""
    caption = captions[int(rng.integers(len(captions)))]
    if config.part_dropout:
        first, *parts = caption.split(",")
        kept = rng.random(len(parts)) >= config.part_dropout
        caption = ",".join([first, *(part for part, stays in zip(parts, kept, strict=True) if stays)])
    if config.templates:
        caption = in_template(caption, config.templates[int(rng.integers(len(config.templates)))])
    return caption


def whole(captions: Iterable[str], config: PicturesConfig) -> Iterator[str]:
    """Every caption in every template, no part left out."""
    for caption in captions:
        yield from (in_template(caption, template) for template in config.templates or [CAPTION])


def in_template(caption: str, template: str) -> str:
    """The template with the caption in its place."""
    return template.replace(CAPTION, caption)
