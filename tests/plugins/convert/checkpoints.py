"""Small models, and checkpoints of them as GLIDE and ADM are published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from glidepath.registry.assembly.build import build_parts
from glidepath.registry.describe.kinds import PIPELINE_SLOTS
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec

WORDS = "{use: words, vocabulary: [a, green, red, star, ring]}"

GLIDE = f"""\
schedule: cosine
text_encoder:
  {{use: transformer, width: 32, layers: 2, heads: 2, context: 6, pooled_width: 128, tokenizer: {WORDS}}}
denoiser:
  use: adm-unet
  image_size: 16
  channels: 32
  channel_mult: [1, 2]
  res_blocks: 1
  attention_resolutions: [8]
  heads: 2
  head_channels: null
  text_width: 32
guidance: [{{use: classifier-free, scale: 3}}]
sampler: {{use: ddpm, steps: 4}}
"""
GLIDE_SETTINGS = [
    "--set",
    "denoiser.image_size=16",
    "--set",
    "denoiser.heads=2",
    "--set",
    "text_encoder.heads=2",
    "--set",
    f"text_encoder.tokenizer={WORDS}",
    "--set",
    "sampler.steps=4",
]
ADM = """\
schedule: linear
denoiser:
  use: adm-unet
  image_size: 8
  channels: 32
  channel_mult: [1, 1]
  res_blocks: 1
  attention_resolutions: [4]
  heads: 2
  head_channels: null
  num_classes: 5
  resblock_updown: false
  learned_variance: false
sampler: {use: ddim, steps: 3}
codec: truncating
"""
ADM_SETTINGS = [
    "--set",
    "denoiser.image_size=8",
    "--set",
    "denoiser.heads=2",
    "--set",
    "denoiser.attention_order=legacy",
    "--set",
    "schedule=linear",
    "--set",
    "sampler={use: ddim, steps: 3}",
]


def parts(text: str, *overrides: str, device: str = "cpu") -> dict[str, Any]:
    """The parts of a spec as they are initialised."""
    catalogue = load_catalogue()
    spec = parse_spec(text, "test", list(overrides), catalogue=catalogue, folder=Path())
    with torch.device(device):
        return build_parts(make_plan(spec, catalogue), PIPELINE_SLOTS, catalogue, load=False)


def randomise(tensors: Mapping[str, Tensor], seed: int = 1) -> dict[str, Tensor]:
    """Matrices that keep the size of what they map; gains around 1; no zero anywhere."""
    generator = torch.Generator().manual_seed(seed)

    def random(value: Tensor) -> Tensor:
        noise = torch.randn(value.shape, generator=generator)
        return noise / value[0].numel() ** 0.5 if value.ndim > 1 else value + 0.2 * noise

    return {name: random(value) for name, value in tensors.items()}


def published(built: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of text encoder and denoiser in one namespace, as GLIDE has them."""
    tensors = built["denoiser"].state_dict()
    if "text_encoder" in built:
        tensors |= built["text_encoder"].state_dict()
    return tensors


def shapes_of(module: nn.Module | Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shapes of a state dict."""
    tensors = module.state_dict() if isinstance(module, nn.Module) else module
    return {name: tuple(value.shape) for name, value in tensors.items()}


def write_model(text: str, name: str, *overrides: str, dtype: torch.dtype = torch.float32) -> None:
    """A spec NAME.before.yaml with weights of its own, and NAME.pt as it would be published."""
    built = parts(text, *overrides)
    slots = [slot for slot in ("denoiser", "text_encoder") if slot in built]
    tensors = {
        slot: {key: value.to(dtype) for key, value in randomise(built[slot].state_dict()).items()}
        for slot in slots
    }
    flat = {f"{slot}.{key}": value for slot, some in tensors.items() for key, value in some.items()}
    save_file(flat, f"{name}.before.safetensors")
    Path(f"{name}.before.yaml").write_text(f"{text}weights: {name}.before.safetensors\n")
    torch.save({key: value for some in tensors.values() for key, value in some.items()}, f"{name}.pt")
