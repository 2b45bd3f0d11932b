"""A CLIP of the package transformers, made up small, in a folder."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch

START, END = "<|startoftext|>", "<|endoftext|>"
MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def write_clip(folder: Path) -> None:
    """Write a model of random weights, with the letters of the alphabet as its tokens."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    letters = string.ascii_lowercase
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    marks = {"bos_token_id": vocabulary[START], "eos_token_id": vocabulary[END]}
    side = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**side, **marks, "vocab_size": len(tokens), "max_position_embeddings": 24}
    vision = {**side, "image_size": 32, "patch_size": 16}
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    torch.random.set_rng_state(generator_state)
    model.save_pretrained(folder)
    CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    colours = {"image_mean": MEAN, "image_std": DEVIATION}
    (folder / "preprocessor_config.json").write_text(json.dumps(colours), encoding="utf-8")
