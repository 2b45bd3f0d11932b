"""Tensors under the names of the authors' own code, as the networks of diffusers and transformers have them.

A single file holds a whole model: each part takes its own of it. Tensors are renamed and cut, not copied, but
for the few rows that stand in another order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from glidepath.plugins.diffusers.places import DENOISER, VAE, below, clip_place, t5_place

Tensors = Mapping[str, Tensor]

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""The names of attention without text, of autoencoders and UNets, in older files of diffusers."""
_OLD_NAME = re.compile(rf"\.({'|'.join(_OLD_ATTENTION)})\.(?=weight|bias)")


def denoiser_tensors(tensors: Tensors, network: Any) -> Tensors:
    """Those of a UNet or a transformer of diffusers, also of its older files.

    The names are those of CompVis' and stability's `input_blocks`, of stability's `joint_blocks` and of
    black-forest's `double_blocks`.
    """
    own = below(tensors, DENOISER)
    name = type(network).__name__
    if name == "UNet2DConditionModel" and "input_blocks.0.0.weight" in own:
        from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

        prefixed = {f"{DENOISER[0]}{key}": tensor for key, tensor in own.items()}
        renamed: dict[str, Tensor] = convert_ldm_unet_checkpoint(prefixed, network.config)
        known = {id(tensor) for tensor in renamed.values()}
        return renamed | {key: tensor for key, tensor in own.items() if id(tensor) not in known}
    if name == "SD3Transformer2DModel" and "joint_blocks.0.x_block.attn.qkv.weight" in own:
        return _sd3(own)
    if name == "FluxTransformer2DModel" and "double_blocks.0.img_attn.qkv.weight" in own:
        return _flux(own)
    return _newer(own, network)


def vae_tensors(tensors: Tensors, network: Any) -> Tensors:
    """Those of an autoencoder of diffusers."""
    own = below(tensors, VAE)
    if "encoder.down.0.block.0.conv1.weight" in own:
        from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

        renamed: Tensors = convert_ldm_vae_checkpoint(dict(own), network.config)
        return renamed
    return _newer({name: tensor for name, tensor in own.items() if not name.startswith("loss.")}, network)


def _newer(tensors: Tensors, network: Any) -> Tensors:
    """The same where attention has older names; what the network has itself keeps its name."""
    own = network.state_dict().keys()
    renamed = {name: _OLD_NAME.sub(lambda match: f".{_OLD_ATTENTION[match[1]]}.", name) for name in tensors}
    return {renamed[name] if renamed[name] in own else name: tensor for name, tensor in tensors.items()}


def clip_tensors(tensors: Tensors, width: int, layers: int, projects: bool) -> Tensors:
    """Those of the CLIP of that width, under the names of transformers without their `text_model.`.

    Stable Diffusion 2 reads the last layer but one of OpenCLIP's: the network has a layer less than the file.
    The first CLIP of SD 3 gives its pooled vector as it is: a projection that a file lacks is the identity.
    """
    place = clip_place({name: tuple(tensor.shape) for name, tensor in tensors.items()}, width)
    own = tensors if place is None else below(tensors, (place.prefix,))
    unread: tuple[str, ...] = ("position_ids", "logit_scale")
    if place is not None and place.is_open_clip:
        own = _open_clip(own)
        unread = (*unread, f"encoder.layers.{layers}.")
    bare = {name.removeprefix("text_model."): tensor for name, tensor in own.items()}
    kept = {
        name: tensor
        for name, tensor in bare.items()
        if not any(part in name for part in unread) and (projects or name != _PROJECTION)
    }
    if projects and _PROJECTION not in kept and (like := kept.get("final_layer_norm.weight")) is not None:
        kept[_PROJECTION] = torch.eye(width, dtype=like.dtype, device=like.device)
    return kept


def t5_tensors(tensors: Tensors) -> Tensors:
    """Those of the encoder of a T5."""
    return below(tensors, (t5_place(tensors),))


_PROJECTION = "text_projection.weight"
_OPEN_CLIP = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_OPEN_CLIP_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def _open_clip(tensors: Tensors) -> Tensors:
    """OpenCLIP's text tower: queries, keys and values are one matrix there."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)", name)
        if name == "text_projection":
            renamed[_PROJECTION] = tensor.T
        elif layer is None:
            renamed[_OPEN_CLIP.get(name, name)] = tensor
        else:
            inside = f"encoder.layers.{layer[1]}"
            if layer[2] == "attn.in_proj":
                for letter, piece in zip("qkv", tensor.chunk(3), strict=True):
                    renamed[f"{inside}.self_attn.{letter}_proj.{layer[3]}"] = piece
            else:
                renamed[f"{inside}.{_OPEN_CLIP_LAYER.get(layer[2], layer[2])}.{layer[3]}"] = tensor
    return renamed


_QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
_ADDED_QKV = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
_SD3 = {
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
_SD3_BLOCK: Mapping[str, str | tuple[str, ...]] = {
    "x_block.attn.qkv": _QKV,
    "x_block.attn.ln_q": "attn.norm_q",
    "x_block.attn.ln_k": "attn.norm_k",
    "x_block.attn.proj": "attn.to_out.0",
    "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    "x_block.attn2.ln_q": "attn2.norm_q",
    "x_block.attn2.ln_k": "attn2.norm_k",
    "x_block.attn2.proj": "attn2.to_out.0",
    "x_block.adaLN_modulation.1": "norm1.linear",
    "x_block.mlp.fc1": "ff.net.0.proj",
    "x_block.mlp.fc2": "ff.net.2",
    "context_block.attn.qkv": _ADDED_QKV,
    "context_block.attn.ln_q": "attn.norm_added_q",
    "context_block.attn.ln_k": "attn.norm_added_k",
    "context_block.attn.proj": "attn.to_add_out",
    "context_block.adaLN_modulation.1": "norm1_context.linear",
    "context_block.mlp.fc1": "ff_context.net.0.proj",
    "context_block.mlp.fc2": "ff_context.net.2",
}
_FLUX = {
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "txt_in": "context_embedder",
    "img_in": "x_embedder",
    "final_layer.linear": "proj_out",
}
_FLUX_DOUBLE: Mapping[str, str | tuple[str, ...]] = {
    "img_mod.lin": "norm1.linear",
    "txt_mod.lin": "norm1_context.linear",
    "img_attn.qkv": _QKV,
    "txt_attn.qkv": _ADDED_QKV,
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_mlp.0": "ff.net.0.proj",
    "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj",
    "txt_mlp.2": "ff_context.net.2",
}
_FLUX_SINGLE: Mapping[str, str | tuple[str, ...]] = {
    "modulation.lin": "norm.linear",
    "linear1": (*_QKV, "proj_mlp"),
    "linear2": "proj_out",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}
_BLOCK = re.compile(r"(joint_blocks|double_blocks|single_blocks)\.(\d+)\.(.+)")
_SWAPPED = "final_layer.adaLN_modulation.1"


def _sd3(tensors: Tensors) -> Tensors:
    """Stability's MMDiT; the last block modulates its text by shift and scale alone."""
    last = max(int(match[2]) for name in tensors if (match := _BLOCK.match(name)))
    swapped = {_SWAPPED: "norm_out.linear"}
    context = "context_block.adaLN_modulation.1"
    swapped[f"joint_blocks.{last}.{context}"] = f"transformer_blocks.{last}.norm1_context.linear"
    names = {"joint_blocks": ("transformer_blocks", _SD3_BLOCK)}
    return _renamed(tensors, _SD3, names, swapped, 0)


def _flux(tensors: Tensors) -> Tensors:
    """Black-forest's Flux; queries, keys, values and what enters the MLP are one matrix in single blocks."""
    names = {
        "double_blocks": ("transformer_blocks", _FLUX_DOUBLE),
        "single_blocks": ("single_transformer_blocks", _FLUX_SINGLE),
    }
    width = tensors["img_in.weight"].shape[0]
    return _renamed(tensors, _FLUX, names, {_SWAPPED: "norm_out.linear"}, width)


def _renamed(
    tensors: Tensors,
    single: Mapping[str, str],
    blocks: Mapping[str, tuple[str, Mapping[str, str | tuple[str, ...]]]],
    swapped: Mapping[str, str],
    width: int,
) -> Tensors:
    """What is in none of the tables keeps its name, and is told when the weights are loaded.

    swapped: what is shift and scale there, and scale and shift here. width: of the first three pieces of a
    matrix that is cut into more; the last has what is left.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        stem, _, end = name.rpartition(".")
        end = "weight" if end == "scale" else end
        if name == "pos_embed":
            renamed["pos_embed.pos_embed"] = tensor
        elif stem in swapped:
            shift, scale = tensor.chunk(2)
            renamed[f"{swapped[stem]}.{end}"] = torch.cat([scale, shift])
        elif (match := _BLOCK.fullmatch(stem)) and match[1] in blocks:
            block, table = blocks[match[1]]
            found = table.get(match[3], match[3])
            if isinstance(found, str):
                renamed[f"{block}.{match[2]}.{found}.{end}"] = tensor
            else:
                pieces = _pieces(tensor, len(found), width)
                renamed |= {
                    f"{block}.{match[2]}.{to}.{end}": piece for to, piece in zip(found, pieces, strict=True)
                }
        else:
            renamed[f"{single.get(stem, stem)}.{end}" if stem else name] = tensor
    return renamed


def _pieces(tensor: Tensor, count: int, width: int) -> tuple[Tensor, ...]:
    sizes = [width] * 3 + [tensor.shape[0] - 3 * width]
    return tensor.chunk(3) if count == 3 else torch.split_with_sizes(tensor, sizes)
