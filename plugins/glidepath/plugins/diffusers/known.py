"""What is known of the denoisers of diffusers: which argument gets what, by class. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.diffusers.configs import NetworkConfig
from glidepath.plugins.diffusers.saved import read_config

Source = str | tuple[str, ...]
"""What an argument gets: a condition, a field of the text, or what is computed; or a list of these."""

JOIN = "+"
"""Stands between sources that are joined along their width."""

COMPUTED = ("image_ids", "text_ids", "joint_mask", "guidance")
"""What is no condition: computed from image and text, or told by a parameter."""

LEVEL_WIDTH = 128
"""How wide an upscaler of latents is told the noise level of what it enlarges."""

_IN_PATCHES = ("FluxTransformer2DModel", "ChromaTransformer2DModel")
_LOW_RES = "low_res"
_COLOURS = 3
_PATCH = 2
_SIZES = (6, 5)  # numbers beside SDXL's pooled vector; its refiner has an aesthetic score in place of two
_FLUX_SIZE = 128  # of latents; its config.json does not say


@attrs.frozen
class Network:
    """A denoiser as its config.json and the parameters of its part say it.

    name: of its class in diffusers. arguments: what each argument of `forward` gets.
    channels: of x; outputs: of what it returns. size: (height, width) of x.
    beside: conditions that join x as more channels.
    preconditioned: whether it returns minus the velocity, and is told log(sigma / alpha) / 4.
    patches: whether it takes x as a sequence of patches. time_scale: what t is multiplied by.
    divisor: each side of x is a multiple of it. most: the longest side of x, as a table of positions has it;
    None for no such table. text_width: of the text that it reads.
    pooled_widths: those that its pooled vector may have; () where it reads none.
    num_classes: how many labels it reads.
    """

    name: str
    config: Mapping[str, Any]
    arguments: Mapping[str, Source]
    channels: int
    outputs: int
    size: tuple[int, int]
    beside: tuple[str, ...]
    preconditioned: bool
    patches: bool
    time_scale: float
    divisor: int
    most: int | None
    text_width: int | None
    pooled_widths: tuple[int, ...]
    num_classes: int | None

    @property
    def reads(self) -> frozenset[str]:
        """The names of the conditions that it reads."""
        named = (name for source in self.arguments.values() for name in names(source))
        return frozenset(name.partition(".")[0] for name in named if name not in COMPUTED).union(self.beside)

    @property
    def learned_variance(self) -> bool:
        """Whether it returns as many channels again, which say the variance."""
        return self.outputs == 2 * self.channels


def describe(given: NetworkConfig) -> Network:
    """What there is to know of a denoiser before it is built.

    Raises:
        GlidepathError: its config.json cannot be read or says too little, or nothing is known of its class
            and no arguments are given.
    """
    config = read_config(given.config)
    name = str(config.get("_class_name", ""))
    known = _KNOWN.get(name)
    if known is None and not given.arguments:
        raise GlidepathError(
            f"nothing is known of the class {name or 'without a name'} of {given.config}; say what its "
            "arguments get, as `arguments: {encoder_hidden_states: text.tokens}`"
        )
    merged = {**(known(config) if known else {}), **given.arguments}
    arguments: dict[str, Source] = {name: source for name, source in merged.items() if source is not None}
    in_patches = name in _IN_PATCHES
    patches = in_patches if given.patches is None else given.patches
    channels = _number(config, "in_channels", given)
    outputs = config.get("out_channels") or channels
    beside = _beside(config, channels, int(outputs)) if given.beside is None else given.beside
    enlarges = _enlarges_latents(config)
    if beside:
        channels = channels // 2 if enlarges else int(outputs)
    if patches:
        channels, outputs = channels // _PATCH**2, outputs // _PATCH**2
    read = {name for source in arguments.values() for name in names(source)}
    return Network(
        name=name,
        config=config,
        arguments=arguments,
        channels=channels,
        outputs=int(outputs),
        size=_size(config, given),
        beside=beside,
        preconditioned=enlarges if given.preconditioned is None else given.preconditioned,
        patches=patches,
        time_scale=given.time_scale or (0.001 if in_patches else 1.0),
        divisor=_divisor(config, patches),
        most=_most(config),
        text_width=_first(config, "joint_attention_dim", "caption_channels", "cross_attention_dim")
        if "text.tokens" in read
        else None,
        pooled_widths=_pooled_widths(config) if "text.pooled" in read else (),
        num_classes=_first(config, "num_embeds_ada_norm", "num_class_embeds") if "labels" in read else None,
    )


def names(source: Source) -> tuple[str, ...]:
    """The conditions, and what else, that a source is made of."""
    listed = (source,) if isinstance(source, str) else source
    return tuple(name.strip() for one in listed for name in one.split(JOIN))


def _unet(config: Mapping[str, Any]) -> dict[str, str]:
    arguments = {"encoder_hidden_states": "text.tokens"}
    if config.get("addition_embed_type") == "text_time":
        arguments |= {
            "added_cond_kwargs.text_embeds": "text.pooled",
            "added_cond_kwargs.time_ids": "size_ids",
        }
    if _enlarges_latents(config):
        arguments |= {"timestep_cond": f"low_res_level {JOIN} text.pooled"}
    if config.get("num_class_embeds"):
        enlarges = _LOW_RES in _beside(config, config["in_channels"], config["out_channels"])
        arguments |= {"class_labels": "noise_level" if enlarges else "labels"}
    return arguments


def _plain_unet(config: Mapping[str, Any]) -> dict[str, str]:
    return {"class_labels": "labels"} if config.get("num_class_embeds") else {}


def _dit(_config: Mapping[str, Any]) -> dict[str, str]:
    return {"class_labels": "labels"}


def _pixart(config: Mapping[str, Any]) -> dict[str, str]:
    arguments = {"encoder_hidden_states": "text.tokens", "encoder_attention_mask": "text.mask"}
    if config.get("use_additional_conditions", config.get("sample_size") == 128):
        arguments |= {
            "added_cond_kwargs.resolution": "resolution",
            "added_cond_kwargs.aspect_ratio": "aspect_ratio",
        }
    return arguments


def _sd3(_config: Mapping[str, Any]) -> dict[str, str]:
    return {"encoder_hidden_states": "text.tokens", "pooled_projections": "text.pooled"}


def _flux(config: Mapping[str, Any]) -> dict[str, str]:
    guidance = {"guidance": "guidance"} if config.get("guidance_embeds") else {}
    return {**_sd3(config), "img_ids": "image_ids", "txt_ids": "text_ids", **guidance}


def _chroma(_config: Mapping[str, Any]) -> dict[str, str]:
    ids = {"img_ids": "image_ids", "txt_ids": "text_ids"}
    return {"encoder_hidden_states": "text.tokens", "attention_mask": "joint_mask", **ids}


_KNOWN = {
    "UNet2DConditionModel": _unet,
    "UNet2DModel": _plain_unet,
    "DiTTransformer2DModel": _dit,
    "Transformer2DModel": _dit,
    "PixArtTransformer2DModel": _pixart,
    "SD3Transformer2DModel": _sd3,
    "FluxTransformer2DModel": _flux,
    "ChromaTransformer2DModel": _chroma,
}


def _number(config: Mapping[str, Any], key: str, given: NetworkConfig) -> int:
    value = config.get(key)
    if not isinstance(value, int):
        raise GlidepathError(f"{given.config} does not say {key}, a whole number")
    return value


def _beside(config: Mapping[str, Any], channels: int, outputs: int) -> tuple[str, ...]:
    """What a network reads in the channels that it has beyond those of x.

    One for inpainting reads a mask and the image without what it hides (Flux a mask of all pixels, folded),
    one that edits an image that image, an upscaler a picture in colours, or latents, Flux with control a
    picture.
    """
    if config.get("_class_name") in _IN_PATCHES:
        if channels == 2 * outputs:
            return ("control",)
        return ("inpaint_image", "inpaint_mask") if channels > 2 * outputs else ()
    if _enlarges_latents(config):
        return (_LOW_RES,)
    if channels == 2 * outputs + 1:
        return ("inpaint_mask", "inpaint_image")
    if channels == 2 * outputs and config.get("_class_name") == "UNet2DConditionModel":
        return ("edit_image",)
    enlarges = channels == outputs + _COLOURS and config.get("num_class_embeds")
    return (_LOW_RES,) if enlarges else ()


def _enlarges_latents(config: Mapping[str, Any]) -> bool:
    """Whether it is Stable Diffusion's upscaler of latents: beside x it reads as many channels again.

    It returns a channel more than x has, which nothing reads.
    """
    given, returned = config.get("in_channels"), config.get("out_channels")
    is_told = isinstance(config.get("time_cond_proj_dim"), int)
    return is_told and isinstance(given, int) and isinstance(returned, int) and given == 2 * (returned - 1)


def _first(config: Mapping[str, Any], *keys: str) -> int | None:
    values = (config.get(key) for key in keys)
    return next((value for value in values if isinstance(value, int)), None)


def _size(config: Mapping[str, Any], given: NetworkConfig) -> tuple[int, int]:
    size = given.size or config.get("sample_size") or _FLUX_SIZE
    height, width = size if isinstance(size, list) else (size, size)
    return int(height), int(width)


def _divisor(config: Mapping[str, Any], patches: bool) -> int:
    """UNets halve the size at each level but the last; transformers cut it into patches."""
    if patches:
        return _PATCH
    if "down_block_types" in config:
        return 1 << (len(config["down_block_types"]) - 1)
    return int(config.get("patch_size") or 1)


def _most(config: Mapping[str, Any]) -> int | None:
    patches = config.get("pos_embed_max_size")
    return patches * int(config.get("patch_size") or 1) if isinstance(patches, int) else None


def _pooled_widths(config: Mapping[str, Any]) -> tuple[int, ...]:
    width = config.get("pooled_projection_dim")
    if isinstance(width, int):
        return (width,)
    joined, each = config.get("projection_class_embeddings_input_dim"), config.get("addition_time_embed_dim")
    if isinstance(joined, int) and isinstance(each, int):
        return tuple(joined - count * each for count in _SIZES if joined > count * each)
    return (config["time_cond_proj_dim"] - LEVEL_WIDTH,) if _enlarges_latents(config) else ()
