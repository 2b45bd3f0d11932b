"""The names that diffusers gives to the tensors of a DiT, as this project's."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_EMBEDDERS = "norm1.emb."
"""Of these each block has a copy in diffusers, all alike in what was published."""

_LAYERS = {
    "pos_embed.proj": "x_embedder.proj",
    "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "transformer_blocks.0.norm1.emb.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "transformer_blocks.0.norm1.emb.class_embedder.embedding_table": "y_embedder.embedding_table",
    "proj_out_1": "final_layer.adaLN_modulation.1",
    "proj_out_2": "final_layer.linear",
}
_LAYERS_OF_BLOCK = {
    "norm1.linear": "adaLN_modulation.1",
    "attn1.to_out.0": "attn.proj",
    "ff.net.0.proj": "mlp.fc1",
    "ff.net.2": "mlp.fc2",
}
_QUERIES = "attn1.to_q"


def from_diffusers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file of `DiTTransformer2DModel` under the published names.

    Queries, keys and values become one layer. What it does not know keeps its name.
    """
    renamed = {}
    for name, tensor in tensors.items():
        layer, _, value = name.rpartition(".")
        block = re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", layer)
        if layer in _LAYERS:
            renamed[f"{_LAYERS[layer]}.{value}"] = tensor
        elif block is None:
            renamed[name] = tensor
        elif block[2] in _LAYERS_OF_BLOCK:
            renamed[f"blocks.{block[1]}.{_LAYERS_OF_BLOCK[block[2]]}.{value}"] = tensor
        elif block[2] == _QUERIES:
            parts = [tensors[name.replace("to_q", part)] for part in ("to_q", "to_k", "to_v")]
            renamed[f"blocks.{block[1]}.attn.qkv.{value}"] = torch.cat(parts)
        elif block[2].startswith(_EMBEDDERS):
            if not torch.equal(tensor, tensors[re.sub(r"\d+", "0", name, count=1)]):
                renamed[name] = tensor
        elif block[2] not in ("attn1.to_k", "attn1.to_v"):
            renamed[name] = tensor
    return renamed
