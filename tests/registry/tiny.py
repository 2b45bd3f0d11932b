"""A spec whose pipeline runs in a moment, with weights written beside it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from glidepath.registry.assembly import PIPELINE_SLOTS, build_parts
from glidepath.registry.catalogue import load_catalogue
from glidepath.registry.plan import make_plan
from glidepath.registry.spec import read_spec

SPEC = """\
schedule: cosine
text_encoder:
  use: transformer
  width: 32
  layers: 1
  heads: 2
  context: 6
  pooled_width: 128
  tokenizer: {use: words, vocabulary: [a, green, red, star, ring]}
denoiser:
  use: adm-unet
  image_size: 8
  channels: 32
  channel_mult: [1]
  res_blocks: 1
  attention_resolutions: [8]
  head_channels: 16
  text_width: 32
  learned_variance: false
guidance: [{use: classifier-free, scale: 2}]
sampler: {use: ddim, steps: 4}
weights: tiny.safetensors
"""


def write_tiny(folder: Path, text: str = SPEC) -> Path:
    """Write tiny.yaml and tiny.safetensors, with weights from which something comes out; returns the spec."""
    spec = folder / "tiny.yaml"
    weights = folder / "tiny.safetensors"
    spec.write_text(text, encoding="utf-8")
    if not weights.exists():
        weights.write_bytes(b"")
        catalogue = load_catalogue()
        plan = make_plan(read_spec(spec, catalogue=catalogue), catalogue)
        parts = build_parts(plan, PIPELINE_SLOTS, catalogue)
        generator = torch.Generator().manual_seed(1)
        tensors = {
            f"{slot}.{name}": _random(value, generator)
            for slot in ("denoiser", "text_encoder")
            for name, value in parts[slot].state_dict().items()
        }
        save_file(tensors, weights)
    return spec


def _random(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Matrices that keep the size of what they map; gains around 1; no zero anywhere."""
    noise = torch.randn(value.shape, generator=generator)
    return noise / value[0].numel() ** 0.5 if value.ndim > 1 else value + 0.2 * noise
