"""Pieces of tiny models: settings, encoders, tokenizers, autoencoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

UNET = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
}
SDXL_UNET = {
    **UNET,
    "cross_attention_dim": 64,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 24,
    "transformer_layers_per_block": (1, 2),
}
SD3 = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 16,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 4,
    "joint_attention_dim": 96,
    "caption_projection_dim": 32,
    "pooled_projection_dim": 40,
    "out_channels": 16,
    "pos_embed_max_size": 16,
}
FLUX = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 48,
    "pooled_projection_dim": 32,
    "axes_dims_rope": (4, 6, 6),
}
LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def vae(channels: int, shift: float | None = None, scale: float = 0.3, levels: int = 2) -> Any:
    """An autoencoder that halves the size, at each level but one."""
    return diffusers.AutoencoderKL(
        block_out_channels=(8, *(16,) * (levels - 1)),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=scale,
        shift_factor=shift,
    )


def clip(width: int = 32, projection: int | None = None) -> Any:
    """A CLIP of three layers."""
    config = transformers.CLIPTextConfig(
        vocab_size=600,
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=projection or width,
        bos_token_id=512,
        eos_token_id=513,
        hidden_act="gelu" if projection else "quick_gelu",
    )
    if projection:
        return transformers.CLIPTextModelWithProjection(config)
    return transformers.CLIPTextModel(config)


def t5_encoder(width: int) -> Any:
    """A T5 of two layers, its encoder alone."""
    config = transformers.T5Config(
        vocab_size=200,
        d_model=width,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    return transformers.T5EncoderModel(config)


def clip_tokenizer(folder: Path, padding: str = "<|endoftext|>") -> Any:
    """CLIP's byte-pair encoding that merges nothing: a token is a byte, or a byte that ends a word."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(_bytes_to_text().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token=padding, model_max_length=77
    )


def t5_tokenizer(length: int = 512) -> Any:
    """A unigram tokenizer of letters."""
    letters = [(letter, -3.0) for letter in "▁abcdefghijklmnopqrstuvwxyz,."]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters]
    return transformers.T5Tokenizer(vocab=words, extra_ids=0, model_max_length=length)


def _bytes_to_text() -> dict[int, str]:
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def seed() -> None:
    """Weights are the same each time."""
    torch.manual_seed(0)


def saved(pipeline: Any, folder: Path) -> Path:
    """The folder of a pipeline, each of whose layers has its say."""
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            spread(part)
    pipeline.save_pretrained(folder)
    return folder


def spread(network: torch.nn.Module) -> None:
    """Weights that leave no layer without effect: published initialisations have zeros at many ends."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.05)
        elif name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.02)
