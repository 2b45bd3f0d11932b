"""What a part is: the interfaces, the values that pass between them, and the pipeline.

Names are imported when first used, so that the modules without torch (`errors`, `spacing`) stay light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glidepath.core.cascade import Cascade as Cascade
    from glidepath.core.codec import Codec as Codec
    from glidepath.core.codec import IdentityCodec as IdentityCodec
    from glidepath.core.conditioning import Conditioning as Conditioning
    from glidepath.core.conditioning import TextEmbedding as TextEmbedding
    from glidepath.core.contrast import Contrast as Contrast
    from glidepath.core.contrast import Move as Move
    from glidepath.core.contrast import Pair as Pair
    from glidepath.core.contrast import with_and_without_prompt as with_and_without_prompt
    from glidepath.core.denoiser import Bind as Bind
    from glidepath.core.denoiser import Denoiser as Denoiser
    from glidepath.core.denoiser import Predict as Predict
    from glidepath.core.errors import Diverged as Diverged
    from glidepath.core.errors import GlidepathError as GlidepathError
    from glidepath.core.errors import PartError as PartError
    from glidepath.core.errors import UnreadablePrompt as UnreadablePrompt
    from glidepath.core.guidance import Guidance as Guidance
    from glidepath.core.guidance import GuidanceModifier as GuidanceModifier
    from glidepath.core.guidance import Weight as Weight
    from glidepath.core.guidance import fold as fold
    from glidepath.core.levels import NoiseLevels as NoiseLevels
    from glidepath.core.levels import Step as Step
    from glidepath.core.noise import Noise as Noise
    from glidepath.core.noise import PerSampleNoise as PerSampleNoise
    from glidepath.core.noise import ReferenceNoise as ReferenceNoise
    from glidepath.core.pipeline import Pipeline as Pipeline
    from glidepath.core.prediction import Prediction as Prediction
    from glidepath.core.sampler import Sampler as Sampler
    from glidepath.core.sampler import State as State
    from glidepath.core.schedule import NoiseSchedule as NoiseSchedule
    from glidepath.core.spacing import Spacing as Spacing
    from glidepath.core.spacing import spacing_fault as spacing_fault
    from glidepath.core.text_encoder import TextEncoder as TextEncoder
    from glidepath.core.text_encoder import Tokenizer as Tokenizer
    from glidepath.core.text_encoder import encode_all as encode_all
    from glidepath.core.variance_preserving import (
        VariancePreservingSchedule as VariancePreservingSchedule,
    )

_HOMES = {
    "Bind": "denoiser",
    "Cascade": "cascade",
    "Codec": "codec",
    "Conditioning": "conditioning",
    "Contrast": "contrast",
    "Denoiser": "denoiser",
    "Diverged": "errors",
    "GlidepathError": "errors",
    "Guidance": "guidance",
    "GuidanceModifier": "guidance",
    "IdentityCodec": "codec",
    "Move": "contrast",
    "Noise": "noise",
    "NoiseLevels": "levels",
    "NoiseSchedule": "schedule",
    "Pair": "contrast",
    "PartError": "errors",
    "PerSampleNoise": "noise",
    "Pipeline": "pipeline",
    "Predict": "denoiser",
    "Prediction": "prediction",
    "ReferenceNoise": "noise",
    "Sampler": "sampler",
    "Spacing": "spacing",
    "State": "sampler",
    "Step": "levels",
    "TextEmbedding": "conditioning",
    "TextEncoder": "text_encoder",
    "Tokenizer": "text_encoder",
    "UnreadablePrompt": "errors",
    "VariancePreservingSchedule": "variance_preserving",
    "Weight": "guidance",
    "encode_all": "text_encoder",
    "fold": "guidance",
    "spacing_fault": "spacing",
    "with_and_without_prompt": "contrast",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'glidepath.core' has no attribute {name!r}")
    return getattr(import_module(f"glidepath.core.{_HOMES[name]}"), name)
