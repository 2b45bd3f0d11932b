"""Tiny networks as their files describe them, with which the parts can be tried. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_UNET = {
    "_class_name": "UNet2DConditionModel",
    "in_channels": 4,
    "out_channels": 4,
    "sample_size": 8,
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
}
_CLIP = {
    "architectures": ["CLIPTextModel"],
    "vocab_size": 514,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
    "bos_token_id": 512,
    "eos_token_id": 513,
}
_SPECIAL = ["<pad>", "</s>", "<unk>"]


def network(folder: Path) -> dict[str, Any]:
    """The UNet of a small Stable Diffusion."""
    up = ["CrossAttnUpBlock2D", "UpBlock2D"]
    return {"config": _write(folder / "unet.json", {**_UNET, "up_block_types": up})}


def controlnet(folder: Path) -> dict[str, Any]:
    """A ControlNet of that UNet."""
    own = {"_class_name": "ControlNetModel", "conditioning_embedding_out_channels": [8, 8]}
    absent = ("sample_size", "out_channels")
    config = {name: value for name, value in {**_UNET, **own}.items() if name not in absent}
    return {"config": _write(folder / "controlnet.json", config)}


def autoencoder(folder: Path) -> dict[str, Any]:
    """An autoencoder that halves the size."""
    config = {
        "_class_name": "AutoencoderKL",
        "block_out_channels": [8, 16],
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "latent_channels": 4,
        "norm_num_groups": 4,
    }
    return {"config": _write(folder / "vae.json", config)}


def clip_text(folder: Path) -> dict[str, Any]:
    """A CLIP of two layers, whose tokens are bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in plain] + [chr(256 + index) for index in range(256 - len(plain))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = folder / "clip-tokenizer"
    _write(tokenizer / "vocab.json", {word: index for index, word in enumerate(words)})
    (tokenizer / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return {"config": _write(folder / "clip.json", _CLIP), "tokenizer": str(tokenizer)}


def t5_text(folder: Path) -> dict[str, Any]:
    """A T5 of two layers, whose tokens are letters."""
    config = {
        "vocab_size": 64,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
    }
    letters = [*_SPECIAL, *"▁abcdefghijklmnopqrstuvwxyz,."]
    saved = {
        "version": "1.0",
        "added_tokens": [
            {"id": index, "content": token, "special": True, "normalized": False, **_WHOLE}
            for index, token in enumerate(_SPECIAL)
        ],
        "model": {"type": "Unigram", "unk_id": 2, "vocab": [[letter, -3.0] for letter in letters]},
    }
    tokenizer = folder / "t5-tokenizer"
    _write(tokenizer / "tokenizer.json", saved)
    _write(tokenizer / "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer", "extra_ids": 0})
    return {"config": _write(folder / "t5.json", config), "tokenizer": str(tokenizer), "context": 16}


def joined_text(folder: Path) -> dict[str, Any]:
    """Two encoders along the width, and zeros after them."""
    first = {"use": "glidepath-diffusion/clip-text", **clip_text(folder)}
    zeros = {"use": "glidepath-diffusion/zero-text", "width": 80, "context": 4}
    return {"encoders": [first, {**first, "skip": 1}, zeros], "tokens": [[0, 1], [2]], "pooled": [0, 1]}


def image_prompt(folder: Path) -> dict[str, Any]:
    """A CLIP for pictures of 16 pixels."""
    config = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 16,
        "patch_size": 8,
        "projection_dim": 24,
    }
    size = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    return {
        "config": _write(folder / "vision.json", config),
        "processor": _write(folder / "preprocessor_config.json", size),
    }


def lora(folder: Path) -> dict[str, Any]:
    """Changes of rank 2 to the two convolutions that the conformance kit has for adapters."""
    import numpy as np
    from safetensors.numpy import save_file

    noise, changes = np.random.default_rng(0), {}
    for layer, (inputs, outputs) in {"enter": (3, 4), "leave": (4, 3)}.items():
        for name, shape in {"lora_A": (2, inputs, 3, 3), "lora_B": (outputs, 2, 1, 1)}.items():
            changes[f"{layer}.{name}.weight"] = noise.standard_normal(shape, dtype=np.float32)
    save_file(changes, folder / "lora.safetensors")
    return {"weights": str(folder / "lora.safetensors"), "scale": 0.5}


_WHOLE = {"single_word": False, "lstrip": False, "rstrip": False}


def _write(file: Path, content: Mapping[str, Any]) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return str(file)
