"""What the kit knows of each kind: how its parts are used, and the checks that only they have."""

from __future__ import annotations

from collections.abc import Mapping

from glidepath.testing.check import Check
from glidepath.testing.kinds import (
    adapters,
    codecs,
    conditioners,
    denoisers,
    guidances,
    handovers,
    samplers,
    schedules,
    text_encoders,
    tokenizers,
)
from glidepath.testing.trial import Trial

TRIALS: Mapping[str, type[Trial]] = {
    "schedule": schedules.ScheduleTrial,
    "denoiser": denoisers.DenoiserTrial,
    "text_encoder": text_encoders.TextEncoderTrial,
    "conditioner": conditioners.ConditionerTrial,
    "tokenizer": tokenizers.TokenizerTrial,
    "guidance": guidances.GuidanceTrial,
    "sampler": samplers.SamplerTrial,
    "codec": codecs.CodecTrial,
    "adapter": adapters.AdapterTrial,
    "handover": handovers.HandoverTrial,
}

CHECKS: Mapping[str, tuple[Check, ...]] = {
    "schedule": schedules.CHECKS,
    "denoiser": denoisers.CHECKS,
    "text_encoder": text_encoders.CHECKS,
    "tokenizer": tokenizers.CHECKS,
    "guidance": guidances.CHECKS,
    "sampler": samplers.CHECKS,
    "codec": codecs.CHECKS,
}
