"""The kinds of part that glidepath itself knows; plugins may add others through the `kinds()` hook."""

from __future__ import annotations

from collections.abc import Mapping

from glidepath.registry.describe.component import Kind

CORE_KINDS: tuple[Kind, ...] = (
    Kind(
        name="schedule",
        interface="glidepath.core.schedule:NoiseSchedule",
        summary="how signal and noise mix at each timestep",
        slot="schedule",
        required=True,
    ),
    Kind(
        name="denoiser",
        interface="glidepath.core.denoiser:Denoiser",
        summary="the network that predicts the noise of x_t",
        slot="denoiser",
        required=True,
    ),
    Kind(
        name="text_encoder",
        interface="glidepath.core.text_encoder:TextEncoder",
        summary="turns prompts into embeddings",
        slot="text_encoder",
    ),
    Kind(
        name="conditioner",
        interface="glidepath.core.conditioner:Conditioner",
        summary="makes conditions that a denoiser reads, of pictures or of whatever else is asked for",
        slot="conditioners",
        many=True,
    ),
    Kind(
        name="tokenizer",
        interface="glidepath.core.text_encoder:Tokenizer",
        summary="turns text into integers, inside a text encoder",
    ),
    Kind(
        name="guidance",
        interface="glidepath.core.guidance:Guidance",
        summary="pulls a sample towards its prompt; several fold, left to right",
        slot="guidance",
        many=True,
    ),
    Kind(
        name="sampler",
        interface="glidepath.core.sampler:Sampler",
        summary="walks from noise to image",
        slot="sampler",
        required=True,
    ),
    Kind(
        name="codec",
        interface="glidepath.core.codec:Codec",
        summary="how images enter and leave the space that diffusion runs in",
        slot="codec",
        # The whole name: with the short one, a plugin with an `identity` of its own would break every spec.
        default="glidepath-diffusion/identity",
    ),
    Kind(
        name="adapter",
        interface="glidepath.core.adapter:Adapter",
        summary="changes networks after their weights are loaded, as LoRA does",
        slot="adapters",
        many=True,
    ),
    Kind(
        name="handover",
        interface="glidepath.core.handover:Handover",
        summary="how a stage of a cascade takes over what the stage before made",
        slot="handover",
    ),
)

RESERVED_KINDS = frozenset({"preset", "command"})
"""What `glidepath list` and `glidepath show` name beside the kinds of part."""

PIPELINE_SLOTS = (
    "schedule",
    "text_encoder",
    "conditioners",
    "denoiser",
    "guidance",
    "sampler",
    "codec",
    "adapters",
    "handover",
)

MODEL_SLOTS = ("schedule", "denoiser", "sampler")
"""What makes x where no other kind stands in their place."""


def generator_slots(slots: Mapping[str, Kind]) -> tuple[str, ...]:
    """The slots whose parts make x in place of a denoiser and what belongs to it."""
    return tuple(slot for slot, kind in slots.items() if kind.instead_of)
