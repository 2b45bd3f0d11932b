"""The memory that a plan tells is that of a run."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from glidepath.registry import load_catalogue, make_plan, read_spec
from glidepath.registry.assembly.cost import measure

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
UNET = {
    "sample_size": 32,
    "block_out_channels": (128, 256, 512),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
VAE = {
    "block_out_channels": (64, 128, 256, 256),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}

# what libraries take when they are first used is no part of a model: a convolution and attention run before
RUN = """\
import json, sys
import diffusers, torch
from glidepath.registry import build_pipeline, load_catalogue, make_plan, read_spec

def mebibytes(key):
    (line,) = [line for line in open("/proc/self/status") if line.startswith(key)]
    return int(line.split()[1]) / 1024

torch.set_num_threads(1)
diffusers.UNet2DConditionModel, diffusers.AutoencoderKL
catalogue = load_catalogue()
plan = make_plan(read_spec(json.loads(sys.argv[1]), catalogue=catalogue), catalogue)
with torch.inference_mode():
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(1, 32, 16, 16).to(memory_format=layout)
        torch.nn.Conv2d(32, 32, 3, padding=1).to(memory_format=layout)(x)
    q = torch.randn(2, 4, 32, 64)
    torch.nn.functional.scaled_dot_product_attention(torch.nn.Linear(64, 64)(q), q, q)
before = mebibytes("VmRSS")
pipeline = build_pipeline(plan, catalogue, load=False)
open("/proc/self/clear_refs", "w").write("5")
pipeline(["a red star"], seed=1)
print(mebibytes("VmHWM") - before)
"""


SMALL: dict[str, Any] = {
    "sample_size": 8,
    "image_size": 8,
    "size": 8,
    "depth": 2,
    "num_layers": 2,
    "num_hidden_layers": 2,
    "vocab_size": 1000,
    "layers_per_block": 1,
    "transformer_layers_per_block": [1, 1, 1],
    "num_single_layers": 1,
    "attention_resolutions": [8],
}
MODELS = ["shapes", "adm-unet", "dit", "edm2-unet", "sd-1.5", "sdxl", "sd-3", "flux", "pixart"]
OFFLOADED = ["shapes", "dit", "sd-1.5", "sd-3"]
"""Those whose parts are off the device at times, one of each sort; of the others that is a slow test."""


def small(spec: Any) -> Any:
    if isinstance(spec, list):
        return [small(item) for item in spec]
    if not isinstance(spec, dict):
        return spec
    return {key: SMALL[key] if key in SMALL else small(item) for key, item in spec.items()}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("model", "modes"),
    [
        *((model, ("none",)) for model in MODELS),
        *((model, ("parts", "layers")) for model in OFFLOADED),
        *(
            pytest.param(model, ("parts", "layers"), marks=pytest.mark.slow)
            for model in MODELS
            if model not in OFFLOADED
        ),
    ],
)
def test_bytes_and_operations_of_a_plan_are_those_of_a_run(
    model: str, modes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside what torch's allocator gives out, whole and with each kind of offload. Kernels that do with
    fewer operations on some processors are a test of their own, below."""
    monkeypatch.setattr("glidepath.plugins.adm.unet.AdmUNet._kernels", lambda *_: None)
    monkeypatch.syspath_prepend(BENCHMARKS)
    memory = importlib.import_module("memory")
    assert set(memory.MODELS) == set(MODELS)
    rows = list(memory.measured(small(memory.MODELS[model]), modes))
    layered = model not in ("shapes", "adm-unet")  # networks of diffusers are off the device layer by layer
    assert [row["offload"] for row in rows] == [mode for mode in modes if mode != "layers" or layered]
    for row in rows:
        assert row["planned"] == pytest.approx(row["allocated"], rel=0.15), row
        assert row["flops"] == pytest.approx(row["counted"], rel=0.01), row


@pytest.mark.thorough
def test_operations_of_a_plan_are_those_that_a_network_is_written_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kernels that do with fewer, on a CPU, do not change what a plan says of a network."""
    here = torch.backends.cpu.get_cpu_capability()
    monkeypatch.setattr("glidepath.plugins.adm.kernels.TILED_BY", here)  # on other processors too
    monkeypatch.syspath_prepend(BENCHMARKS)
    memory = importlib.import_module("memory")
    small = {"image_size": 16, "channels": 128, "res_blocks": 1, "attention_resolutions": [8]}
    spec = {**memory.MODELS["adm-unet"], "sampler": {"use": "ddim", "steps": 1}, "runtime": {"device": "cpu"}}
    spec["denoiser"] = {**spec["denoiser"], **small}
    catalogue = load_catalogue()
    plan = make_plan(read_spec(spec, catalogue=catalogue), catalogue)
    with_kernels = measure(plan, catalogue)[""]
    assert memory.allocated(plan, catalogue)["counted"] < 0.95 * with_kernels.total_flops
    monkeypatch.setattr("glidepath.plugins.adm.unet.AdmUNet._kernels", lambda *_: None)
    plain = measure(plan, catalogue)[""]
    assert plain.flops["model"] == with_kernels.flops["model"]
    assert plain.total_flops == memory.allocated(plan, catalogue)["counted"]


@pytest.mark.thorough
@pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="reads the peak of a process on Linux"
)
def test_the_memory_of_a_plan_is_within_15_percent_of_that_of_a_run(tmp_path: Path) -> None:
    """A UNet and an autoencoder of 360 MiB. The allocator is told to give back what is freed: what it keeps
    for later, in pieces that nothing fits into, is in no plan."""
    import diffusers
    import torch

    with torch.device("meta"):
        diffusers.UNet2DConditionModel(**UNET).save_config(tmp_path / "unet")
        diffusers.AutoencoderKL(**VAE).save_config(tmp_path / "vae")
    spec: dict[str, Any] = {
        "schedule": {"use": "quadratic", "beta_start": 0.00085, "beta_end": 0.012, "num_steps": 1000},
        "denoiser": {"use": "diffusers-network", "config": str(tmp_path / "unet" / "config.json")},
        "codec": {"use": "autoencoder", "config": str(tmp_path / "vae" / "config.json")},
        "text_encoder": {"use": "zero-text", "width": 768, "context": 77},
        "sampler": {"use": "ddim", "steps": "trailing2"},
        "guidance": [{"use": "classifier-free", "scale": 4.0}],
        "runtime": {"device": "cpu", "dtype": "float32"},
    }
    catalogue = load_catalogue()
    planned = measure(make_plan(read_spec(spec, catalogue=catalogue), catalogue), catalogue)[""].memory_bytes
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, json.dumps(spec)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert planned / 2**20 == pytest.approx(float(ran.stdout.split()[-1]), rel=0.15)
