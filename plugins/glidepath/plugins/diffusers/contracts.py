"""What the parts provide, what they need, what is wrong with them. Imports neither torch nor parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core import GlidepathError
from glidepath.registry import Need

if TYPE_CHECKING:
    from glidepath.plugins.diffusers.configs import (
        AutoencoderConfig,
        ClipTextConfig,
        JoinedTextConfig,
        NetworkConfig,
        T5TextConfig,
        ZeroTextConfig,
    )
    from glidepath.plugins.diffusers.steering_configs import ControlNetConfig, ImagePromptConfig, LoraConfig

_WEIGHTS = ("weights", "has random numbers until it is given those of its folder")

WORDS: Mapping[str, tuple[str, ...]] = {
    "clip-text": ("vocab.json", "merges.txt"),
    "t5-text": ("spiece.model",),
}
"""The files of a tokenizer, by the text encoder that reads it. tokenizer.json may be in their place."""

MADE: Mapping[str, tuple[str, ...]] = {
    "size-ids": ("size_ids",),
    "resolution": ("resolution", "aspect_ratio"),
    "inpainting": ("inpaint_mask", "inpaint_image"),
    "edit-image": ("edit_image",),
    "noised-low-res": ("noise_level",),
    "latent-low-res": ("low_res_level",),
}
"""Which conditions the conditioners make that a network cannot do without."""


def network_provides(config: NetworkConfig) -> dict[str, object]:
    from glidepath.plugins.diffusers.known import describe

    known = describe(config)
    return {
        "image.channels": known.channels,
        "image.size": known.size[0],
        "image.upsamples": "low_res" in known.reads,
        "prediction.kind": config.predicts,
        "prediction.learned_variance": known.learned_variance,
        **({"labels.null": True} if known.num_classes else {}),
        "guidance.distilled": "guidance" in known.arguments.values(),
    }


def network_needs(config: NetworkConfig) -> dict[str, Need]:
    from glidepath.plugins.diffusers.known import describe

    known = describe(config)
    needs = {}
    if known.text_width is not None:
        why = "so wide are the token vectors that its attention takes in"
        needs["text.width"] = Need(value=known.text_width, field="config", why=why)
    if known.pooled_widths:
        why = "so wide is the pooled text that joins the timestep embedding"
        needs["text.pooled"] = Need(value=known.pooled_widths, field="config", why=why)
    if known.preconditioned:
        needs["schedule.time"] = Need(value="log-ratio", why="it is told its noise level, and no timestep")
    for name in (name for names in MADE.values() for name in names if name in known.reads):
        needs[f"condition.{name}"] = Need(value=True, field="config", why=f"{known.name} reads it")
    return needs


def network_faults(config: NetworkConfig) -> list[tuple[str, str]]:
    from glidepath.plugins.diffusers.known import describe

    try:
        known = describe(config)
    except GlidepathError as error:
        return [("config", str(error))]
    if known.preconditioned and config.predicts != "velocity":
        return [("predicts", f"{known.name} is preconditioned, and so predicts the velocity")]
    return []


def saved_faults(
    config: AutoencoderConfig | ClipTextConfig | ControlNetConfig | ImagePromptConfig | T5TextConfig,
) -> list[tuple[str, str]]:
    from glidepath.plugins.diffusers.saved import read_config

    try:
        read_config(config.config)
    except GlidepathError as error:
        return [("config", str(error))]
    return []


def control_faults(config: ControlNetConfig) -> list[tuple[str, str]]:
    from glidepath.plugins.diffusers.saved import CONTROLNETS, read_config

    if faults := saved_faults(config):
        return faults
    name = read_config(config.config).get("_class_name")
    known = ", ".join(CONTROLNETS)
    return [] if name in CONTROLNETS else [("config", f"{name} is no ControlNet that is known: {known}")]


def control_needs(config: ControlNetConfig) -> dict[str, Need]:
    from glidepath.plugins.diffusers.saved import read_config

    if not read_config(config.config).get("guidance_embeds"):
        return {}
    why = "it reads the scale of a distilled guidance, which the denoiser is told (guidance_embeds)"
    return {"guidance.distilled": Need(value=True, field="config", why=why)}


def lora_faults(config: LoraConfig) -> list[tuple[str, str]]:
    """A range that holds no noise level."""
    if config.low < config.high:
        return []
    return [("low", f"low must be below high: no noise level is above {config.low} and up to {config.high}")]


def pixels_needed(_config: object) -> dict[str, Need]:
    why = "it enlarges a picture: without a handover the stage before gives it its images"
    return {"handover.latent": Need(value=False, optional=True, why=why)}


def codec_provides(config: AutoencoderConfig) -> dict[str, object]:
    from glidepath.plugins.diffusers.saved import latent_channels, latent_factor, read_config

    saved = read_config(config.config)
    return {
        "codec.channels": latent_channels(saved),
        "codec.factor": latent_factor(saved),
        "codec.bounded": False,
    }


def clip_provides(config: ClipTextConfig) -> dict[str, object]:
    from glidepath.plugins.diffusers.saved import has_projection, read_config

    saved = read_config(config.config)
    width = saved.get("hidden_size", 512)
    pooled = saved.get("projection_dim", 512) if has_projection(saved) else width
    return {
        "text.width": width,
        "text.pooled": pooled,
        "text.context": saved.get("max_position_embeddings", 77),
    }


def t5_provides(config: T5TextConfig) -> dict[str, object]:
    from glidepath.plugins.diffusers.saved import read_config

    return {"text.width": read_config(config.config).get("d_model", 512), "text.context": config.context}


def zero_provides(config: ZeroTextConfig) -> dict[str, object]:
    return {"text.width": config.width, "text.context": config.context}


def joined_provides(
    config: JoinedTextConfig, inner: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, object]:
    encoders = inner["encoders"]
    groups = [[encoders[index] for index in group] for group in config.tokens]
    provided: dict[str, object] = {
        "text.width": max(sum(one["text.width"] for one in group) for group in groups),
        "text.context": sum(group[0]["text.context"] for group in groups),
    }
    if config.pooled:
        provided["text.pooled"] = sum(encoders[index]["text.pooled"] for index in config.pooled)
    return provided


def network_lacks(config: NetworkConfig) -> list[tuple[str, str]]:
    """Weights; and what it predicts, where the scheduler beside it says another thing.

    The scheduler of a preconditioned one is told x_0, which its pipeline makes of the velocity.
    """
    from glidepath.plugins.diffusers.known import describe
    from glidepath.plugins.diffusers.saved import read_json
    from glidepath.plugins.diffusers.schedulers import read_scheduler

    file = config.config.parent.parent / "scheduler" / "scheduler_config.json"
    try:
        said = read_scheduler(read_json(file), 1).predicts
    except GlidepathError:
        return [_WEIGHTS]
    if describe(config).preconditioned:
        return [_WEIGHTS]
    other = ("predicts", f"predicts {config.predicts}, and the scheduler of its folder says {said}: {file}")
    return [_WEIGHTS, *([other] if said != config.predicts else [])]


def lacks_weights(_config: object) -> list[tuple[str, str]]:
    return [_WEIGHTS]


def clip_lacks(config: ClipTextConfig) -> list[tuple[str, str]]:
    return _text_lacks(config.tokenizer, "clip-text")


def t5_lacks(config: T5TextConfig) -> list[tuple[str, str]]:
    return _text_lacks(config.tokenizer, "t5-text")


def without_words(tokenizer: Path, encoder: str) -> str:
    """What is wrong with a tokenizer's folder that has no words; empty: nothing, or there is no folder.

    transformers makes a tokenizer that knows no word of it, so that all prompts are one.
    """
    missing = [name for name in WORDS[encoder] if not (tokenizer / name).is_file()]
    if not missing or not tokenizer.is_dir() or (tokenizer / "tokenizer.json").is_file():
        return ""
    return f"{tokenizer} has no tokenizer.json, and no {' and no '.join(missing)}"


def _text_lacks(tokenizer: Path | None, encoder: str) -> list[tuple[str, str]]:
    if tokenizer is None:
        what = "give it the folder of its tokenizer, as tokenizer"
    else:
        what = without_words(tokenizer, encoder)
    return [_WEIGHTS, ("tokenizer", f"can read no prompt yet: {what}")] if what else [_WEIGHTS]
