"""A folder with a spec that runs in a moment, and metrics that misbehave on purpose."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from glidepath.registry.assembly.build import build_parts
from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

SPEC = """\
schedule: {use: cosine, num_steps: 50}
text_encoder:
  use: transformer
  width: 16
  layers: 1
  heads: 2
  context: 4
  pooled_width: 128
  tokenizer: {use: words, vocabulary: [red, green]}
denoiser:
  use: adm-unet
  image_size: 8
  channels: 32
  channel_mult: [1]
  res_blocks: 1
  attention_resolutions: []
  text_width: 16
  head_channels: 16
  learned_variance: false
guidance: [{use: classifier-free, scale: 2}]
sampler: {use: ddim, steps: 2}
weights: small.safetensors
data: {use: captioned-folder, folder: images, size: 8}
train: {use: diffusion, steps: 2, batch: 2, log_every: 1, checkpoint_every: 1, probe_every: 2}
runtime: {device: cpu}
"""

UNRULY = '''\
import os, signal, time
from pathlib import Path

import attrs

from glidepath.core.errors import Diverged
from glidepath.registry import Component, doc, hookimpl


@attrs.frozen(kw_only=True)
class Config:
    """does: what, as often as `times` says; marker: a file that counts."""

    does: str = attrs.field(default="raise", metadata=doc("what it does"))
    times: int = attrs.field(default=1000, metadata=doc("how often"))
    marker: str = attrs.field(default="", metadata=doc("a file that counts"))


@hookimpl
def components():
    return [
        Component(
            kind="metric", name="unruly", target="unruly.plugin:Unruly", config=Config, summary="misbehaves"
        )
    ]


class Unruly:
    name, direction, unit = "unruly", "higher", ""

    def __init__(self, config):
        self.config = config

    def per_prompt(self, images, prompts):
        marker = Path(self.config.marker)
        count = len(marker.read_bytes()) if self.config.marker and marker.exists() else 0
        if self.config.marker:
            marker.write_bytes(b"x" * (count + 1))
        if count < self.config.times:
            if self.config.does == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.config.does == "hang":
                time.sleep(600)
            if self.config.does == "diverge":
                raise Diverged("it is not a number")
            if self.config.does == "oom":
                raise MemoryError("no room")
            if self.config.does == "raise":
                raise ValueError("on purpose")
        return [float(image.float().mean()) for image in images]
'''


@pytest.fixture
def catalogue() -> Catalogue:
    """What is installed."""
    return load_catalogue()


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of SPEC from which something comes out."""
    folder = tmp_path_factory.mktemp("weights")
    spec = folder / "small.yaml"
    spec.write_text(SPEC)
    known = load_catalogue()
    parts = build_parts(
        make_plan(read_spec(spec, catalogue=known), known), ("denoiser", "text_encoder"), known
    )
    generator = torch.Generator().manual_seed(1)
    tensors = {
        f"{slot}.{name}": torch.randn(value.shape, generator=generator) / max(1, value[0].numel()) ** 0.5
        if value.ndim > 1
        else value + 0.2 * torch.randn(value.shape, generator=generator)
        for slot, part in parts.items()
        for name, value in part.state_dict().items()
    }
    save_file(tensors, folder / "small.safetensors")
    return folder / "small.safetensors"


@pytest.fixture
def small(tmp_path: Path, small_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with small.yaml, its weights and its images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SPEC)
    (tmp_path / "small.safetensors").symlink_to(small_weights)
    (tmp_path / "images").mkdir()
    for colour in ("red", "green"):
        Image.new("RGB", (9, 12), colour).save(tmp_path / "images" / f"{colour}.png")
        (tmp_path / "images" / f"{colour}.txt").write_text(colour)
    return tmp_path


@pytest.fixture
def unruly(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The metric `unruly`, installed for this process and those that it starts."""
    site = tmp_path_factory.mktemp("site")
    info = site / "unruly-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: unruly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[glidepath.plugins]\nunruly = unruly.plugin\n")
    (site / "unruly").mkdir()
    (site / "unruly" / "__init__.py").write_text("")
    (site / "unruly" / "plugin.py").write_text(UNRULY)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    importlib.invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "unruly"]:
        del sys.modules[name]
