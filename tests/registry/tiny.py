"""Specs of a pipeline and of a cascade that run in a moment, with weights written beside them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from glidepath.registry.assembly.build import build_parts
from glidepath.registry.cli import main
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

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

CASCADE = """\
stages:
  small: {extends: tiny.yaml, weights: null}
  large:
    extends: tiny.yaml
    weights: null
    schedule: linear
    denoiser: {image_size: 16, attention_resolutions: [16], upsamples: true}
    guidance: []
    sampler: {steps: 3, temperature: 0.997}
weights: cascade.safetensors
"""
"""Images of 8 pixels, and of 16 from them. The names are in an order that sorting would not give."""


def write_tiny(folder: Path, text: str = SPEC) -> Path:
    """Write tiny.yaml and tiny.safetensors, with weights from which something comes out; returns the spec."""
    spec = folder / "tiny.yaml"
    weights = folder / "tiny.safetensors"
    spec.write_text(text, encoding="utf-8")
    if not weights.exists():
        weights.write_bytes(b"")
        save_file(_weights(spec), weights)
    return spec


def write_cascade(folder: Path, text: str = CASCADE) -> Path:
    """Write cascade.yaml, what it extends, and cascade.safetensors; returns the spec."""
    write_tiny(folder)
    spec = folder / "cascade.yaml"
    spec.write_text(text, encoding="utf-8")
    weights = folder / "cascade.safetensors"
    if not weights.exists():
        weights.write_bytes(b"")
        save_file(_weights(spec), weights)
    return spec


def _weights(spec: Path) -> dict[str, torch.Tensor]:
    """Of every network of a spec, by stage, slot and name."""
    catalogue = load_catalogue()
    plan = make_plan(read_spec(spec, catalogue=catalogue), catalogue)
    generator = torch.Generator().manual_seed(1)
    return {
        ".".join(filter(None, (stage, slot, name))): _random(value, generator)
        for stage, pipeline in plan.pipelines().items()
        for slot, part in build_parts(pipeline, ("denoiser", "text_encoder"), catalogue).items()
        for name, value in part.state_dict().items()
    }


def _random(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Matrices that keep the size of what they map; gains around 1; no zero anywhere."""
    noise = torch.randn(value.shape, generator=generator)
    return noise / value[0].numel() ** 0.5 if value.ndim > 1 else value + 0.2 * noise


def run(*arguments: object) -> int:
    """The exit status of a command."""
    return main([str(argument) for argument in arguments])
