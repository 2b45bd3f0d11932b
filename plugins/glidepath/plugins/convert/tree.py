"""The spec of a recognised checkpoint, as a tree of plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glidepath.plugins.convert.models import ClassifierModel, ClipImage, ClipText, Diffusion, Text
from glidepath.plugins.convert.published import ATTENTION_SIZES, Published
from glidepath.plugins.convert.recognise import Recognised
from glidepath.plugins.convert.trunk import Trunk

Tree = dict[str, Any]

_HEAD_CHANNELS = 64  # of all published models, text encoders included, but for two
UNCONDITIONAL_SCALE = 10.0
_CLASSIFIER_SCALES = {64: 1.0, 128: 0.5, 256: 1.0, 512: 4.0}
"""Scales of the published samples (Dhariwal & Nichol 2021, section 4.3 and the program published with it)."""


def denoiser_tree(model: Diffusion, nearest: Published, image_size: int | None = None) -> Tree:
    """The parameters of `adm-unet`. image_size: where it is known."""
    trunk, unseen = model.trunk, nearest.unseen
    size = image_size or assumed_size(trunk, unseen.image_size)
    return {
        "use": "adm-unet",
        "image_size": size,
        "in_channels": model.image_channels,
        "upsamples": model.upsamples,
        "inpaints": model.inpaints,
        **_trunk_tree(trunk, size),
        **_heads(trunk, nearest),
        "attention_order": unseen.attention_order,
        "num_classes": model.num_classes,
        "text_width": trunk.text_width,
        "learned_variance": model.learned_variance,
        "dims": trunk.dims,
    }


def text_tree(text: Text, pooled_width: int) -> Tree:
    """The parameters of the text encoder, without its tokenizer."""
    return {
        "use": "transformer",
        "width": text.width,
        "layers": text.layers,
        "heads": _text_heads(text.width),
        "context": text.context,
        "pooled_width": pooled_width,
        "final_layer_norm": text.final_layer_norm,
        "padding_embedding": text.padding_embedding,
    }


def diffusion_tree(found: Recognised, model: Diffusion, image_size: int | None = None) -> Tree:
    """The spec of a diffusion model, but for tokenizer and weights."""
    unseen = found.nearest.unseen
    tree: Tree = {"schedule": unseen.schedule}
    if model.text is not None:
        tree["text_encoder"] = text_tree(model.text, 4 * model.trunk.channels)
    tree["denoiser"] = denoiser_tree(model, found.nearest, image_size)
    if model.text is not None and not model.upsamples:
        tree["guidance"] = [{"use": "classifier-free", "scale": 5.0 if model.inpaints else 3.0}]
    tree["sampler"] = {"use": unseen.sampler, "steps": unseen.steps}
    if model.text is not None and model.upsamples:
        tree["sampler"]["temperature"] = 0.997
    if model.text is None:
        tree["codec"] = "truncating"
    return tree


def with_variance(tree: Tree, model: Diffusion) -> Tree:
    """The spec, in which ancestral sampling says the variance of a model that learned none.

    Then it is beta, which is the default of the program published with ADM (guided-diffusion), not ours.
    """
    sampler = tree.get("sampler")
    if model.learned_variance or _name(sampler) not in ("ddpm", "glidepath-diffusion/ddpm"):
        return tree
    named = sampler if isinstance(sampler, Mapping) else {"use": sampler}
    return {**tree, "sampler": {**named, "variance": named.get("variance", "fixed-large")}}


def classifier_tree(found: Recognised, model: ClassifierModel, image_size: int | None = None) -> Tree:
    """Guidance by a classifier, but for its weights."""
    size = image_size or model.image_size or assumed_size(model.trunk, found.nearest.unseen.image_size)
    return {
        "use": "classifier",
        "scale": _CLASSIFIER_SCALES.get(size, 1.0),
        "classifier": {
            "use": "adm-classifier",
            "image_size": size,
            **_trunk_tree(model.trunk, size),
            **_heads(model.trunk, found.nearest),
            "attention_order": found.nearest.unseen.attention_order,
            "pool": model.pool,
            "num_classes": model.classes,
            "in_channels": model.trunk.input_channels,
            "dims": model.trunk.dims,
        },
    }


def clip_tree(text: ClipText, image: ClipImage) -> Tree:
    """Guidance by a noised CLIP, but for its tokenizer and its weights."""
    return {
        "use": "clip",
        "scale": 3.0,
        "clip": {
            "use": "noised-clip",
            "width": text.embedding,
            "text_width": text.width,
            "text_layers": text.layers,
            "text_heads": _text_heads(text.width),
            "context": text.context,
            "vocabulary_rows": text.vocabulary,
            "image_size": image.image_size,
            "patch_size": image.patch_size,
            "image_width": image.width,
            "image_layers": image.layers,
            "image_heads": _text_heads(image.width),
            "timesteps": image.timesteps,
        },
    }


def assumed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a diffusion model's spec says that its tensors do not show, by dotted path."""
    denoiser, sampler = tree["denoiser"], tree["sampler"]
    heads = "heads" if denoiser["head_channels"] is None else "head_channels"
    said = {f"denoiser.{key}": denoiser[key] for key in ("image_size", heads, "attention_order")}
    said["denoiser.predicts"] = denoiser.get("predicts", "epsilon")
    if "text_encoder" in tree:
        said["text_encoder.heads"] = tree["text_encoder"]["heads"]
    schedule = tree["schedule"]
    said["schedule"] = _name(schedule)
    said["schedule.num_steps"] = schedule.get("num_steps", 1000) if isinstance(schedule, Mapping) else 1000
    said["sampler"] = _name(sampler)
    if isinstance(sampler, Mapping) and "variance" in sampler:
        said["sampler.variance"] = sampler["variance"]
    return said


def assumed_size(trunk: Trunk, nearest: int) -> int:
    """The image size that puts the outermost attention where published models have it.

    nearest: the size of the nearest published model, for a network without attention on its way down.
    """
    outermost = ATTENTION_SIZES[0] * min(trunk.attention) if trunk.attention else nearest
    halvings: int = 2 ** (len(trunk.channel_mult) - 1)
    return max(outermost // halvings, 1) * halvings


def _name(part: Any) -> Any:
    return part.get("use") if isinstance(part, Mapping) else part


def _trunk_tree(trunk: Trunk, size: int) -> Tree:
    return {
        "channels": trunk.channels,
        "res_blocks": trunk.res_blocks,
        "channel_mult": list(trunk.channel_mult),
        "attention_resolutions": [size // factor for factor in trunk.attention],
        "scale_shift_norm": trunk.scale_shift_norm,
        "resblock_updown": trunk.resampling == "blocks",
        "conv_resample": trunk.resampling != "none",
    }


def _heads(trunk: Trunk, nearest: Published) -> Tree:
    """The nearest model's heads where the widths allow them, else what divides every width with attention."""
    widths = {
        trunk.widths[-1],
        *(width for level, width in enumerate(trunk.widths) if trunk.attends(level)),
    }
    unseen = nearest.unseen
    if unseen.head_channels is not None and all(width % unseen.head_channels == 0 for width in widths):
        return {"heads": 1, "head_channels": unseen.head_channels}
    wanted = unseen.heads if unseen.head_channels is None else 4
    heads = wanted if all(width % wanted == 0 for width in widths) else 1
    return {"heads": heads, "head_channels": None}


def _text_heads(width: int) -> int:
    return width // _HEAD_CHANNELS if width % _HEAD_CHANNELS == 0 else 1
