"""The parameters. Imports no torch: glidepath imports it whenever it checks a spec that uses them."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import ge, le

from glidepath.registry import doc, part


@attrs.frozen(kw_only=True)
class PaletteConfig:
    """The main colours of a picture."""

    colours: int = attrs.field(
        default=5, validator=[ge(3), le(5)], metadata=doc("how many are taken of a picture of more")
    )


@attrs.frozen(kw_only=True)
class WithPaletteConfig:
    """A denoiser to which the colours are further tokens of the text."""

    denoiser: Any = attrs.field(metadata=part("denoiser", "reads the text, and the colours in it"))


@attrs.frozen(kw_only=True)
class PaletteDatasetConfig:
    """Images with their palettes."""

    dataset: Any = attrs.field(metadata=part("dataset", "the images and their captions"))
    colours: int = attrs.field(
        default=5, validator=[ge(3), le(5)], metadata=doc("how many are taken of each image")
    )
