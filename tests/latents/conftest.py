"""The distribution `acme-latent`, as pip would leave it, and a latent model of its codec."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glidepath.registry.assembly.build import build_parts
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

HERE = Path(__file__).parent

SPEC = """\
schedule: cosine
denoiser:
  use: adm-unet
  image_size: 8
  in_channels: 4
  channels: 32
  channel_mult: [1, 1]
  res_blocks: 1
  attention_resolutions: [4]
  head_channels: 16
  learned_variance: false
  weights: unet.safetensors
sampler: {use: ddim, steps: 4}
codec: patches
"""
"""Latents of 8 x 8, which are images of 16 x 16."""


@pytest.fixture
def latent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with latent.yaml and its weights, which is the current one."""
    info = tmp_path / "site" / "acme_latent-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-latent\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[glidepath.plugins]\nacme-latent = acme_latent_plugin\n")
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.syspath_prepend(str(info.parent))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "latent.yaml").write_text(SPEC)
    (folder / "unet.safetensors").write_bytes(b"")
    save_file(_weights(), folder / "unet.safetensors")
    yield folder
    for module in ("acme_latent", "acme_latent_config", "acme_latent_plugin"):
        sys.modules.pop(module, None)


def _weights() -> dict[str, torch.Tensor]:
    """From which something comes out: a network starts with a last layer of zeros."""
    catalogue = load_catalogue()
    plan = make_plan(read_spec("latent.yaml", catalogue=catalogue), catalogue)
    generator = torch.Generator().manual_seed(1)
    network = build_parts(plan, ("denoiser",), catalogue, load=False)["denoiser"]
    return {name: _random(value, generator) for name, value in network.state_dict().items()}


def _random(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(value.shape, generator=generator)
    return noise / value[0].numel() ** 0.5 if value.ndim > 1 else value + 0.2 * noise
