"""What the layers of a network of diffusers are called in the program that the network was published with.

Some are one layer there and several here, as queries, keys and values of an attention: these have one name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

ROWS = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "proj_mlp")
"""How layers that are one in the original follow one another in it."""

_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_RESIDUAL = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_AROUND_UNET = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}

_FLUX_DOUBLE = {
    **dict.fromkeys(("attn.to_q", "attn.to_k", "attn.to_v"), "img_attn.qkv"),
    **dict.fromkeys(("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), "txt_attn.qkv"),
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
}
_FLUX_SINGLE = {
    **dict.fromkeys(("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"), "linear1"),
    "proj_out": "linear2",
    "norm.linear": "modulation.lin",
}
_AROUND_FLUX = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "proj_out": "final_layer.linear",
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
}

_SD3_BLOCK = {
    **dict.fromkeys(("attn.to_q", "attn.to_k", "attn.to_v"), "x_block.attn.qkv"),
    **dict.fromkeys(("attn2.to_q", "attn2.to_k", "attn2.to_v"), "x_block.attn2.qkv"),
    **dict.fromkeys(("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), "context_block.attn.qkv"),
    "attn.to_out.0": "x_block.attn.proj",
    "attn2.to_out.0": "x_block.attn2.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
}
_AROUND_SD3 = {
    "pos_embed.proj": "x_embedder.proj",
    "context_embedder": "context_embedder",
    "proj_out": "final_layer.linear",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
}


def original_name(class_name: str, config: Mapping[str, object], path: str) -> str | None:
    """The name of a layer in the original program; None where none is known, or it differs in more than that.

    class_name, config: of the network of diffusers. path: of the layer in it.
    """
    known = _KNOWN.get(class_name)
    return None if known is None else known(config, path)


def _unet(config: Mapping[str, object], path: str) -> str | None:
    """Blocks are counted through there, and samplers stand behind the last of a block."""
    layers = config.get("layers_per_block")
    if path in _AROUND_UNET:
        return _AROUND_UNET[path]
    if match := _MIDDLE.fullmatch(path):
        kind, number, rest = match.groups()
        return f"middle_block.{2 * int(number) if kind == 'resnets' else 1}.{_RESIDUAL.get(rest, rest)}"
    match = _BLOCK.fullmatch(path)
    if match is None or not isinstance(layers, int):
        return None
    side, block, kind, number, rest = match.groups()
    before = int(block) * (layers + 1)
    if kind == "downsamplers":
        return f"input_blocks.{1 + before + layers}.0.op"
    if kind == "upsamplers":
        types = config.get("up_block_types")
        attends = isinstance(types, list | tuple) and "Attn" in str(types[int(block)])
        return f"output_blocks.{before + layers}.{2 if attends else 1}.conv"
    index = before + int(number)
    where = f"input_blocks.{1 + index}" if side == "down" else f"output_blocks.{index}"
    return f"{where}.{0 if kind == 'resnets' else 1}.{_RESIDUAL.get(rest, rest)}"


def _flux(_config: Mapping[str, object], path: str) -> str | None:
    first, _, rest = path.partition(".")
    number, _, layer = rest.partition(".")
    if first == "transformer_blocks" and layer in _FLUX_DOUBLE:
        return f"double_blocks.{number}.{_FLUX_DOUBLE[layer]}"
    if first == "single_transformer_blocks" and layer in _FLUX_SINGLE:
        return f"single_blocks.{number}.{_FLUX_SINGLE[layer]}"
    return _AROUND_FLUX.get(path)


def _sd3(config: Mapping[str, object], path: str) -> str | None:
    first, _, rest = path.partition(".")
    number, _, layer = rest.partition(".")
    if first != "transformer_blocks" or layer not in _SD3_BLOCK:
        return _AROUND_SD3.get(path)
    if layer == "norm1_context.linear" and int(number) + 1 == config.get("num_layers"):
        return None  # its halves stand the other way round there
    return f"joint_blocks.{number}.{_SD3_BLOCK[layer]}"


_KNOWN: Mapping[str, Callable[[Mapping[str, object], str], str | None]] = {
    "UNet2DConditionModel": _unet,
    "FluxTransformer2DModel": _flux,
    "SD3Transformer2DModel": _sd3,
}
