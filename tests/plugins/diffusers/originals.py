"""Networks of diffusers under the names of their authors' own code, written from the authors' layouts.

It goes the other way than the parts do: from a network to the names of CompVis, stability, OpenCLIP and
black-forest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = Mapping[str, Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def unet(tensors: Tensors, layers: int) -> dict[str, Tensor]:
    """CompVis' UNet: `input_blocks`, each of a resnet and its attention, or a step down."""
    ups = [name for name in tensors if name.startswith("up_blocks")]
    attends = {name.split(".")[1] for name in ups if "attentions" in name}
    found = {}
    for name, tensor in tensors.items():
        stem, end = name.rsplit(".", 1)
        match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", stem)
        middle = re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", stem)
        if match:
            side, block, what, index = match[1], int(match[2]), match[3], int(match[4])
            at = block * (layers + 1) + (layers if what.endswith("samplers") else index)
            place = f"input_blocks.{at + 1}" if side == "down" else f"output_blocks.{at}"
            if what == "resnets":
                renamed = f"{place}.0.{_RESNET[match[5]]}"
            elif what == "attentions":
                renamed = f"{place}.1.{match[5]}"
            elif side == "down":
                renamed = f"{place}.0.op"
            else:
                renamed = f"{place}.{2 if match[2] in attends else 1}.conv"
        elif middle:
            inside = middle[3] if middle[1] == "attentions" else _RESNET[middle[3]]
            at = 1 if middle[1] == "attentions" else 2 * int(middle[2])
            renamed = f"middle_block.{at}.{inside}"
        else:
            renamed = _UNET_ENDS[stem]
        found[f"{renamed}.{end}"] = tensor
    return found


_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def vae(tensors: Tensors, levels: int) -> dict[str, Tensor]:
    """CompVis' autoencoder, whose attention is of convolutions, and whose levels go up backwards."""
    found = {}
    for name, tensor in tensors.items():
        stem, end = name.rsplit(".", 1)
        stem = stem.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        stem = re.sub(r"mid_block\.resnets\.(\d)", lambda it: f"mid.block_{int(it[1]) + 1}", stem)
        stem = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", stem)
        stem = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", stem)
        stem = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda it: f"up.{levels - 1 - int(it[1])}.block.", stem)
        stem = re.sub(
            r"up_blocks\.(\d)\.upsamplers\.0", lambda it: f"up.{levels - 1 - int(it[1])}.upsample", stem
        )
        if attention := re.fullmatch(r"(\w+)\.mid_block\.attentions\.0\.(.+)", stem):
            stem = f"{attention[1]}.mid.attn_1.{_ATTENTION[attention[2]]}"
            tensor = tensor[..., None, None] if tensor.ndim == 2 else tensor
        found[f"{stem}.{end}"] = tensor
    return found


_OPEN_CLIP = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def open_clip(tensors: Tensors, projection: int) -> dict[str, Tensor]:
    """OpenCLIP's text tower; one that is read without its last layer, and not projected, has both."""
    bare = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    width = bare["final_layer_norm.weight"].shape[0]
    found = {
        "token_embedding.weight": bare["embeddings.token_embedding.weight"],
        "positional_embedding": bare["embeddings.position_embedding.weight"],
        "ln_final.weight": bare["final_layer_norm.weight"],
        "ln_final.bias": bare["final_layer_norm.bias"],
        "logit_scale": torch.ones(()),
    }
    projects = "text_projection.weight" in bare
    found["text_projection"] = (
        bare["text_projection.weight"].T if projects else torch.randn(width, projection)
    )
    layers = 1 + max(int(name.split(".")[2]) for name in bare if name.startswith("encoder.layers"))
    for layer in range(layers):
        old, new = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for end in ("weight", "bias"):
            joined = [bare[f"{old}.self_attn.{letter}_proj.{end}"] for letter in "qkv"]
            found[f"{new}.attn.in_proj_{end}"] = torch.cat(joined)
            for theirs, ours in _OPEN_CLIP.items():
                found[f"{new}.{ours}.{end}"] = bare[f"{old}.{theirs}.{end}"]
    if not projects:
        last, more = f"transformer.resblocks.{layers - 1}.", f"transformer.resblocks.{layers}."
        unread = {name.replace(last, more): value for name, value in found.items() if name.startswith(last)}
        found |= {name: torch.randn_like(value) for name, value in unread.items()}
    return found


def _joined(tensors: Tensors, stems: list[str], end: str) -> Tensor:
    return torch.cat([tensors[f"{stem}.{end}"] for stem in stems])


def _swapped(tensor: Tensor) -> Tensor:
    scale, shift = tensor.chunk(2)
    return torch.cat([shift, scale])


_ENDS = ("weight", "bias")


def mmdit(tensors: Tensors) -> dict[str, Tensor]:
    """Stability's `joint_blocks`."""
    found = {"pos_embed": tensors["pos_embed.pos_embed"]}
    single = {
        "pos_embed.proj": "x_embedder.proj",
        "context_embedder": "context_embedder",
        "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
        "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
        "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
        "proj_out": "final_layer.linear",
    }
    blocks = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("transformer_blocks"))
    for end in _ENDS:
        found |= {f"{new}.{end}": tensors[f"{old}.{end}"] for old, new in single.items()}
        found[f"final_layer.adaLN_modulation.1.{end}"] = _swapped(tensors[f"norm_out.linear.{end}"])
    for block in range(blocks):
        old, x = f"transformer_blocks.{block}", f"joint_blocks.{block}.x_block"
        context = f"joint_blocks.{block}.context_block"
        names = {
            f"{old}.norm1.linear": f"{x}.adaLN_modulation.1",
            f"{old}.attn.to_out.0": f"{x}.attn.proj",
            f"{old}.ff.net.0.proj": f"{x}.mlp.fc1",
            f"{old}.ff.net.2": f"{x}.mlp.fc2",
            f"{old}.attn.norm_q": f"{x}.attn.ln_q",
            f"{old}.attn.norm_k": f"{x}.attn.ln_k",
            f"{old}.attn2.norm_q": f"{x}.attn2.ln_q",
            f"{old}.attn2.norm_k": f"{x}.attn2.ln_k",
            f"{old}.attn2.to_out.0": f"{x}.attn2.proj",
            f"{old}.norm1_context.linear": f"{context}.adaLN_modulation.1",
            f"{old}.attn.to_add_out": f"{context}.attn.proj",
            f"{old}.attn.norm_added_q": f"{context}.attn.ln_q",
            f"{old}.attn.norm_added_k": f"{context}.attn.ln_k",
            f"{old}.ff_context.net.0.proj": f"{context}.mlp.fc1",
            f"{old}.ff_context.net.2": f"{context}.mlp.fc2",
        }
        for end in _ENDS:
            there = {theirs: ours for theirs, ours in names.items() if f"{theirs}.{end}" in tensors}
            found |= {f"{ours}.{end}": tensors[f"{theirs}.{end}"] for theirs, ours in there.items()}
            found[f"{x}.attn.qkv.{end}"] = _joined(tensors, [f"{old}.attn.to_{it}" for it in "qkv"], end)
            added = [f"{old}.attn.add_{letter}_proj" for letter in "qkv"]
            found[f"{context}.attn.qkv.{end}"] = _joined(tensors, added, end)
            if f"{old}.attn2.to_q.{end}" in tensors:
                twice = [f"{old}.attn2.to_{letter}" for letter in "qkv"]
                found[f"{x}.attn2.qkv.{end}"] = _joined(tensors, twice, end)
            if block == blocks - 1:
                last = f"{context}.adaLN_modulation.1.{end}"
                found[last] = _swapped(found[last])
    return found


def flux(tensors: Tensors) -> dict[str, Tensor]:
    """Black-forest's `double_blocks` and `single_blocks`."""
    single = {
        "x_embedder": "img_in",
        "context_embedder": "txt_in",
        "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
        "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
        "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
        "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
        "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
        "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
        "proj_out": "final_layer.linear",
    }
    found: dict[str, Tensor] = {}
    for end in _ENDS:
        found |= {
            f"{new}.{end}": tensors[f"{old}.{end}"]
            for old, new in single.items()
            if f"{old}.{end}" in tensors
        }
        found[f"final_layer.adaLN_modulation.1.{end}"] = _swapped(tensors[f"norm_out.linear.{end}"])
    for kind in ("transformer_blocks", "single_transformer_blocks"):
        blocks = {name.split(".")[1] for name in tensors if name.startswith(f"{kind}.")}
        for block in blocks:
            old = f"{kind}.{block}"
            rename = _double if kind == "transformer_blocks" else _single
            for end in _ENDS:
                found |= rename(tensors, old, block, end)
    return found


def _double(tensors: Tensors, old: str, block: str, end: str) -> dict[str, Tensor]:
    new = f"double_blocks.{block}"
    names = {
        "norm1.linear": "img_mod.lin",
        "norm1_context.linear": "txt_mod.lin",
        "ff.net.0.proj": "img_mlp.0",
        "ff.net.2": "img_mlp.2",
        "ff_context.net.0.proj": "txt_mlp.0",
        "ff_context.net.2": "txt_mlp.2",
        "attn.to_out.0": "img_attn.proj",
        "attn.to_add_out": "txt_attn.proj",
    }
    found = {f"{new}.{ours}.{end}": tensors[f"{old}.{theirs}.{end}"] for theirs, ours in names.items()}
    found[f"{new}.img_attn.qkv.{end}"] = _joined(tensors, [f"{old}.attn.to_{it}" for it in "qkv"], end)
    added = [f"{old}.attn.add_{letter}_proj" for letter in "qkv"]
    found[f"{new}.txt_attn.qkv.{end}"] = _joined(tensors, added, end)
    if end == "weight":
        for stream, added_ in (("img", ""), ("txt", "added_")):
            for letter, word in (("q", "query"), ("k", "key")):
                norm = tensors[f"{old}.attn.norm_{added_}{letter}.weight"]
                found[f"{new}.{stream}_attn.norm.{word}_norm.scale"] = norm
    return found


def _single(tensors: Tensors, old: str, block: str, end: str) -> dict[str, Tensor]:
    new = f"single_blocks.{block}"
    stems = [*(f"{old}.attn.to_{letter}" for letter in "qkv"), f"{old}.proj_mlp"]
    found = {
        f"{new}.modulation.lin.{end}": tensors[f"{old}.norm.linear.{end}"],
        f"{new}.linear1.{end}": _joined(tensors, stems, end),
        f"{new}.linear2.{end}": tensors[f"{old}.proj_out.{end}"],
    }
    if end == "weight":
        for letter, word in (("q", "query"), ("k", "key")):
            found[f"{new}.norm.{word}_norm.scale"] = tensors[f"{old}.attn.norm_{letter}.weight"]
    return found


def below(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def saved(folder: Path, part: str) -> dict[str, Tensor]:
    """The tensors of a part of a folder that diffusers wrote."""
    (file,) = (folder / part).glob("*.safetensors")
    return load_file(file)


def with_text_model(tensors: Tensors) -> dict[str, Tensor]:
    """A CLIP as transformers wrote it once, below `text_model.`, with its positions."""
    old = {
        name if name.startswith("text_") else f"text_model.{name}": tensor for name, tensor in tensors.items()
    }
    return {**old, "text_model.embeddings.position_ids": torch.arange(77)[None]}


def stable_diffusion(folder: Path) -> dict[str, Tensor]:
    """Of the first Stable Diffusions, with the averages and the schedule that were saved beside."""
    own = unet(saved(folder, "unet"), 1)
    averages = {name.replace(".", ""): torch.zeros_like(tensor) for name, tensor in own.items()}
    return {
        **below("model.diffusion_model.", own),
        **below("first_stage_model.", vae(saved(folder, "vae"), 2)),
        **below("cond_stage_model.transformer.", with_text_model(saved(folder, "text_encoder"))),
        **below("model_ema.", averages),
        "alphas_cumprod": torch.ones(1000),
    }


def stable_diffusion_2(folder: Path) -> dict[str, Tensor]:
    """Of Stable Diffusion 2, whose CLIP is OpenCLIP's."""
    return {
        **below("model.diffusion_model.", unet(saved(folder, "unet"), 1)),
        **below("first_stage_model.", vae(saved(folder, "vae"), 2)),
        **below("cond_stage_model.model.", open_clip(saved(folder, "text_encoder"), 32)),
    }


def stable_diffusion_xl(folder: Path) -> dict[str, Tensor]:
    """Of SDXL."""
    first = with_text_model(saved(folder, "text_encoder"))
    return {
        **below("model.diffusion_model.", unet(saved(folder, "unet"), 1)),
        **below("first_stage_model.", vae(saved(folder, "vae"), 2)),
        **below("conditioner.embedders.0.transformer.", first),
        **below("conditioner.embedders.1.model.", open_clip(saved(folder, "text_encoder_2"), 24)),
    }


def refiner(folder: Path) -> dict[str, Tensor]:
    """Of SDXL's refiner."""
    return {
        **below("model.diffusion_model.", unet(saved(folder, "unet"), 1)),
        **below("first_stage_model.", vae(saved(folder, "vae"), 2)),
        **below("conditioner.embedders.0.model.", open_clip(saved(folder, "text_encoder_2"), 24)),
    }


def stable_diffusion_3(folder: Path) -> dict[str, Tensor]:
    """Of SD 3 with its text encoders; the first gives its pooled vector as it is."""
    first = with_text_model(saved(folder, "text_encoder"))
    del first["text_projection.weight"]
    second = with_text_model(saved(folder, "text_encoder_2"))
    return {
        **below("model.diffusion_model.", mmdit(saved(folder, "transformer"))),
        **below("first_stage_model.", vae(saved(folder, "vae"), 2)),
        **below("text_encoders.clip_l.transformer.", first),
        **below("text_encoders.clip_g.transformer.", second),
        **below("text_encoders.t5xxl.transformer.", saved(folder, "text_encoder_3")),
    }


def flux_alone(folder: Path) -> dict[str, Tensor]:
    """Of Flux: the transformer alone."""
    return flux(saved(folder, "transformer"))


def write(path: Path, tensors: Tensors) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return path


def without_weights(folder: Path, copy: Path, keep: tuple[str, ...] = ()) -> Path:
    """A copy of a folder that has no weights but those of some parts."""
    for file in folder.rglob("*"):
        kept = file.suffix != ".safetensors" or file.parent.name in keep
        if file.is_file() and kept:
            target = copy / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return copy


def shapes(network: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
