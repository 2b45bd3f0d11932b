"""Where a single file of a whole model has the tensors of each part: by their names and shapes. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import attrs

Shapes = Mapping[str, tuple[int, ...]]
T = TypeVar("T")

DENOISER = ("model.diffusion_model.", "diffusion_model.")
VAE = ("first_stage_model.", "vae.")
_T5 = "text_encoders.t5xxl.transformer."
_CLIP = (
    "cond_stage_model.transformer.",
    "conditioner.embedders.0.transformer.",
    "text_encoders.clip_l.transformer.",
    "text_encoders.clip_g.transformer.",
)
_OPEN_CLIP = (
    "cond_stage_model.model.",
    "conditioner.embedders.1.model.",
    "conditioner.embedders.0.model.",
    "",
)


@attrs.frozen
class ClipPlace:
    """What the names of a CLIP begin with, and whether they are those of OpenCLIP's own code."""

    prefix: str
    is_open_clip: bool


def below(tensors: Mapping[str, T], prefixes: Iterable[str]) -> Mapping[str, T]:
    """What stands below the first prefix that occurs, without it; all, where none does."""
    for prefix in prefixes:
        found = {
            name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)
        }
        if found:
            return found
    return tensors


def clip_place(shapes: Shapes, width: int) -> ClipPlace | None:
    """Where the CLIP of that width is; None where the names are those of a CLIP alone, or of none."""
    for prefix in _OPEN_CLIP:
        if _width(shapes, f"{prefix}token_embedding.weight") == width:
            return ClipPlace(prefix, True)
    for prefix in _CLIP:
        for inner in ("text_model.", ""):  # which some merged models have not
            if _width(shapes, f"{prefix}{inner}embeddings.token_embedding.weight") == width:
                return ClipPlace(prefix, False)
    return None


def t5_place(names: Iterable[str]) -> str:
    """What the names of a T5 begin with; "" where there is none, or it is alone."""
    return _T5 if any(name.startswith(_T5) for name in names) else ""


def _width(shapes: Shapes, name: str) -> int | None:
    shape = shapes.get(name, ())
    return shape[-1] if len(shape) == 2 else None
