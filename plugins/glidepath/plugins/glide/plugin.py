"""Presets of the published GLIDE models. Their parts are other plugins'. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from glidepath.registry import Component, Preset, hookimpl

_SUMMARIES = {
    "glide": "GLIDE, text to images of 64 x 64, then of 256 x 256: glide-base and glide-upsample",
    "glide-clip": "GLIDE steered by its noised CLIP, text to images of 64 x 64, then of 256 x 256",
    "glide-inpaint": "GLIDE that fills in what a mask leaves open, at 64 x 64, then at 256 x 256",
    "glide-base": "GLIDE, text to images of 64 x 64; you give the weights and GPT-2's vocabulary",
    "glide-upsample": "GLIDE's upsampler, 64 x 64 to 256 x 256 under the same prompt",
    "glide-base-inpaint": "GLIDE's base model that fills in what a mask leaves open, 64 x 64",
    "glide-upsample-inpaint": "GLIDE's upsampler that fills in what a mask leaves open, to 256 x 256",
}


@hookimpl
def components() -> Iterable[Component]:
    """None."""
    return ()


@hookimpl
def presets() -> Iterable[Preset]:
    """The published models, each by itself and one after the other."""
    folder = Path(__file__).parent
    return [
        Preset(name=name, file=folder / f"{name}.yaml", summary=summary)
        for name, summary in _SUMMARIES.items()
    ]
