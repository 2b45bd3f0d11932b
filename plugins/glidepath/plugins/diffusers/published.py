"""The presets of the published models: their sizes, and how they are sampled. Users give the weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glidepath.registry import Preset

PRESETS = {
    "sd-1.5": "Stable Diffusion 1.5, 512 x 512",
    "sd-1.5-inpainting": "Stable Diffusion 1.5 for inpainting, 512 x 512",
    "sd-2.1-v": "Stable Diffusion 2.1, 768 x 768, which predicts the velocity",
    "sdxl": "SDXL's base, 1024 x 1024",
    "sdxl-refiner": "SDXL's refiner, 1024 x 1024",
    "sdxl-refined": "SDXL's base and its refiner as one walk, 1024 x 1024",
    "sdxl-inpainting": "SDXL for inpainting, 1024 x 1024",
    "sd-3-medium": "Stable Diffusion 3 medium, 1024 x 1024",
    "sd-3.5-medium": "Stable Diffusion 3.5 medium, 1024 x 1024",
    "sd-3.5-large": "Stable Diffusion 3.5 large, 1024 x 1024",
    "flux-dev": "Flux dev, 1024 x 1024",
    "flux-schnell": "Flux schnell, 1024 x 1024, in four steps",
    "pixart-sigma": "PixArt-Sigma, 1024 x 1024",
}


def preset_file(name: str) -> Path:
    """Where a preset of this plugin is."""
    return Path(__file__).with_name("presets") / f"{name}.yaml"


def published_presets() -> Sequence[Preset]:
    """All of them."""
    what = "you give weights and tokenizers"
    return [
        Preset(name=name, file=preset_file(name), summary=f"{summary}; {what}")
        for name, summary in PRESETS.items()
    ]
