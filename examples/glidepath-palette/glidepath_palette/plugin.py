"""What this package supplies. Imports no torch: glidepath imports it whenever it lists or checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from glidepath.registry import Component, Need, hookimpl

_HERE = "glidepath_palette"
_SMALL = {
    "use": "glidepath-diffusion/adm-unet",
    "image_size": 8,
    "channels": 32,
    "channel_mult": [1],
    "res_blocks": 1,
    "attention_resolutions": [8],
    "head_channels": 16,
    "text_width": 32,
}


def _reads(_config: object, inner: Mapping[str, Any]) -> dict[str, object]:
    """A denoiser inside another does not answer for it: what it provides is said here."""
    return {**inner["denoiser"], "reads.palette": True}


def _needs_of_denoiser(_config: object) -> dict[str, Need]:
    why = "conditioners: [palette] makes one"
    return {"condition.palette": Need(value=True, why=why)}


def _needs_of_conditioner(_config: object) -> dict[str, Need]:
    return {"reads.palette": Need(value=True, why="denoiser: {use: with-palette} reads one")}


@hookimpl
def components() -> Iterable[Component]:
    """What makes palettes, what reads them, and what they are trained on."""
    return [
        Component(
            kind="conditioner",
            name="palette",
            target=f"{_HERE}.conditioner:PaletteConditioner",
            config=f"{_HERE}.config:PaletteConfig",
            summary="the main colours of a picture (--input palette=FILE)",
            provides=lambda _config: {"condition.palette": True},
            needs=_needs_of_conditioner,
            references=['Heckbert 1982, "Color Image Quantization for Frame Buffer Display"'],
        ),
        Component(
            kind="denoiser",
            name="with-palette",
            target=f"{_HERE}.denoiser:WithPalette",
            config=f"{_HERE}.config:WithPaletteConfig",
            summary="a denoiser of texts that reads a palette too",
            provides=_reads,
            needs=_needs_of_denoiser,
            example={"denoiser": _SMALL},
        ),
        Component(
            kind="dataset",
            name="with-palette",
            target=f"{_HERE}.dataset:WithPalettes",
            config=f"{_HERE}.config:PaletteDatasetConfig",
            summary="a dataset whose images have palettes",
            provides=lambda _config, inner: inner["dataset"],
            example={"dataset": "glidepath-diffusion/shapes"},
        ),
    ]
