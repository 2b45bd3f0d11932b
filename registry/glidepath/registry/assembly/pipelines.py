"""Which class of pipeline holds the parts of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glidepath.core.image_pipeline import ImagePipeline


def pipeline_of(parts: Mapping[str, Any], model_slot: str, **options: Any) -> ImagePipeline:
    """The pipeline of built parts, by slot, around what stands in `model_slot`: a denoiser or a generator.

    options: keywords of its class, such as its device.
    """
    from glidepath.core.generator import GeneratorPipeline
    from glidepath.core.pipeline import Pipeline

    if model_slot == "denoiser":
        return Pipeline(**parts, **options)
    others = {slot: part for slot, part in parts.items() if slot != model_slot}
    return GeneratorPipeline(parts[model_slot], **others, **options)
