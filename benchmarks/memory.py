"""What a plan says that an image takes, beside what its run takes: bytes at the peak, and FLOPs.

python memory.py [--models NAME ...] [--offload none parts layers] [--resident] [--json FILE]

Weights are random. "allocated" are the bytes that torch's allocator has given out at a time, as its profiler
tells them: those of all tensors, and what operations take beside them. Weights that `offload` has off the
device are not among them. "resident" is the peak of the memory of a process of its own over that before,
which has what the C library keeps of memory that was given back too.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from glidepath.registry import Catalogue, Plan, build_pipeline, load_catalogue, make_plan, read_spec
from glidepath.registry.assembly.cost import Measurement, measure

MEBI = 2**20
LINE = "resident: "
MODES = ("none", "parts", "layers")
Spec = dict[str, Any]

CLIP = {
    "architectures": ["CLIPTextModel"],
    "vocab_size": 8000,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "projection_dim": 512,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
PROJECTED = {**CLIP, "architectures": ["CLIPTextModelWithProjection"]}
T5 = {
    "architectures": ["T5EncoderModel"],
    "vocab_size": 8000,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 1024,
    "num_layers": 4,
    "num_heads": 8,
    "feed_forward_proj": "gated-gelu",
}
UNET = {
    "_class_name": "UNet2DConditionModel",
    "in_channels": 4,
    "out_channels": 4,
    "sample_size": 32,
    "block_out_channels": [96, 192, 256],
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 512,
    "attention_head_dim": 8,
}
SDXL_UNET = {
    **UNET,
    "cross_attention_dim": 1024,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 64,
    "projection_class_embeddings_input_dim": 6 * 64 + 512,
    "transformer_layers_per_block": [1, 2, 2],
    "use_linear_projection": True,
}
VAE = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [64, 128, 128, 128],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
SD3 = {
    "_class_name": "SD3Transformer2DModel",
    "sample_size": 32,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 6,
    "num_attention_heads": 8,
    "attention_head_dim": 64,
    "joint_attention_dim": 1024,
    "caption_projection_dim": 512,
    "pooled_projection_dim": 1024,
    "pos_embed_max_size": 32,
}
FLUX = {
    "_class_name": "FluxTransformer2DModel",
    "in_channels": 64,
    "num_layers": 2,
    "num_single_layers": 4,
    "attention_head_dim": 64,
    "num_attention_heads": 8,
    "joint_attention_dim": 512,
    "pooled_projection_dim": 512,
    "axes_dims_rope": [16, 24, 24],
    "guidance_embeds": True,
}
PIXART = {
    "_class_name": "PixArtTransformer2DModel",
    "sample_size": 32,
    "patch_size": 2,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 6,
    "num_attention_heads": 8,
    "attention_head_dim": 64,
    "cross_attention_dim": 512,
    "caption_channels": 512,
    "use_additional_conditions": False,
}
LATENT = {"use": "quadratic", "beta_start": 0.00085, "beta_end": 0.012, "num_steps": 1000}
FREE = [{"use": "classifier-free", "scale": 4}]


def _clip(config: Mapping[str, Any] = CLIP, **more: Any) -> Spec:
    return {"use": "clip-text", "config": config, **more}


def _network(config: Mapping[str, Any], **more: Any) -> Spec:
    return {"use": "diffusers-network", "config": config, **more}


def _codec(**more: Any) -> Spec:
    return {"use": "autoencoder", "config": {**VAE, **more}}


MODELS: dict[str, Spec] = {
    "shapes": {"extends": "shapes", "weights": None, "sampler": {"steps": 2}},
    "adm-unet": {
        "schedule": "linear",
        "denoiser": {
            "use": "adm-unet",
            "image_size": 64,
            "channels": 64,
            "channel_mult": [1, 2, 3],
            "res_blocks": 2,
            "attention_resolutions": [32, 16],
            "num_classes": 10,
        },
        "sampler": {"use": "ddim", "steps": 2},
    },
    "dit": {
        "schedule": "linear",
        "denoiser": {"use": "dit", "image_size": 32, "width": 512, "depth": 8, "heads": 8, "num_classes": 10},
        "guidance": FREE,
        "sampler": {"use": "ddpm", "steps": 2},
        "codec": _codec(),
    },
    "edm2-unet": {
        "schedule": "edm",
        "denoiser": {
            "use": "edm2-unet",
            "image_size": 32,
            "channels": 64,
            "channel_mult": [1, 2, 3],
            "res_blocks": 2,
            "attention_resolutions": [16, 8],
            "num_classes": 10,
        },
        "sampler": {"use": "heun", "steps": 2, "start": "sigma_max"},
        "codec": _codec(),
    },
    "sd-1.5": {
        "schedule": LATENT,
        "text_encoder": _clip(),
        "denoiser": _network(UNET),
        "guidance": FREE,
        "sampler": {"use": "pndm", "steps": "leading2+1"},
        "codec": _codec(),
    },
    "sdxl": {
        "schedule": LATENT,
        "text_encoder": {
            "use": "joined-text",
            "tokens": [[0, 1]],
            "pooled": [1],
            "zeros_for_none": True,
            "encoders": [
                _clip(skip=1, final_norm=False),
                _clip(PROJECTED, skip=1, final_norm=False, padding="!"),
            ],
        },
        "conditioners": [{"use": "size-ids"}],
        "denoiser": _network(SDXL_UNET),
        "guidance": FREE,
        "sampler": {"use": "euler", "steps": "leading2+1"},
        "codec": _codec(),
    },
    "sd-3": {
        "schedule": {"use": "flow", "shift": 3, "grid": "flow-match-euler", "time_scale": 1000},
        "text_encoder": {
            "use": "joined-text",
            "tokens": [[0, 1], [2]],
            "pooled": [0, 1],
            "encoders": [
                _clip(PROJECTED, skip=1, final_norm=False),
                _clip(PROJECTED, skip=1, final_norm=False, padding="!"),
                {"use": "t5-text", "config": {**T5, "d_model": 1024}},
            ],
        },
        "denoiser": _network(SD3, predicts="flow"),
        "guidance": FREE,
        "sampler": {"use": "dpmpp-2m", "steps": 2},
        "codec": _codec(latent_channels=16, shift_factor=0.06),
    },
    "flux": {
        "schedule": {
            "use": "flow",
            "grid": "trailing",
            "time_scale": 1000,
            "dynamic": "exponential",
            "base_tokens": 256,
            "max_tokens": 4096,
        },
        "text_encoder": {
            "use": "joined-text",
            "tokens": [[1]],
            "pooled": [0],
            "encoders": [_clip(), {"use": "t5-text", "config": T5, "context": 512}],
        },
        "denoiser": _network(FLUX, predicts="flow", size=32),
        "sampler": {"use": "euler", "steps": 2, "start": "noise"},
        "codec": _codec(latent_channels=16, shift_factor=0.1),
    },
    "pixart": {
        "schedule": {"use": "linear", "beta_start": 0.0001, "beta_end": 0.02, "num_steps": 1000},
        "text_encoder": {"use": "t5-text", "config": T5, "context": 300, "masked": True},
        "denoiser": _network(PIXART),
        "guidance": FREE,
        "sampler": {"use": "dpmpp-2m", "steps": "uniform2"},
        "codec": _codec(),
    },
}
"""Each model's spec; in place of the path of a config.json stands what is in it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; in a process of its own, run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--offload", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--resident", action="store_true", help="the memory of a process too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--run", metavar="SPEC", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.run:
        print(f"{LINE}{resident(json.loads(options.run))}")
        return 0
    print(f"{'':12}{'offload':8}{'plan MiB':>9}{'allocated':>11}{'':>7}{'resident':>10}{'':>7}{'GFLOP':>9}")
    rows = []
    for name in options.models:
        for row in measured(MODELS[name], options.offload, options.resident):
            rows.append({"model": name, **row})
            print(_line(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def measured(spec: Spec, modes: Sequence[str] = MODES, by_process: bool = False) -> Iterator[dict[str, Any]]:
    """Bytes and FLOPs that are planned, and measured, for each kind of offload that a model can do."""
    catalogue = load_catalogue()
    with TemporaryDirectory() as folder:
        written = with_files(spec, Path(folder))
        costs: dict[bool, Measurement] = {}
        for mode in modes:
            if mode == "layers" and "config" not in json.dumps(written):
                continue  # for networks of diffusers alone
            runtime = {"device": "cpu", "dtype": "float32", "offload": mode}
            given = {**written, "runtime": runtime}
            plan = make_plan(read_spec(given, catalogue=catalogue), catalogue)
            layered = mode == "layers"  # the measurement of another tells of parts and of none
            if layered not in costs:
                costs[layered] = measure(plan, catalogue)[""]
            cost = costs[layered]
            bytes_of = {"none": cost.memory_bytes, "parts": cost.offloaded_bytes, "layers": cost.layer_bytes}
            row = {"offload": mode, "planned": bytes_of[mode], "flops": cost.total_flops}
            row |= allocated(plan, catalogue)
            if by_process and mode == "none":
                row["resident"] = _in_a_process(given)
            yield row


def with_files(spec: Any, folder: Path) -> Any:
    """A spec whose configurations stand in files."""
    if isinstance(spec, list):
        return [with_files(item, folder) for item in spec]
    if not isinstance(spec, Mapping):
        return spec
    changed = {key: with_files(item, folder) for key, item in spec.items()}
    if isinstance(config := spec.get("config"), Mapping):
        file = folder / f"{len(list(folder.iterdir()))}.json"
        file.write_text(json.dumps(config))
        changed["config"] = str(file)
    return changed


def allocated(plan: Plan, catalogue: Catalogue) -> dict[str, int]:
    """Run it: the most bytes that torch's allocator had given out at a time, and the FLOPs."""
    gc.collect()  # what an earlier one leaves would be given back meanwhile
    watched = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={kernel: _attention_flops})
    with ExitStack() as stack:
        together = plan.runtime.offload == "none"
        if together:
            stack.enter_context(watched)
        pipeline: Any = build_pipeline(plan, catalogue, load=False)
        if not together:
            stack.enter_context(watched)
            stack.enter_context(_standing_for(pipeline))
        with counter:
            pipeline([""], seed=1, labels=_labels(pipeline))
    living = most = 0
    for event in watched.profiler.kineto_results.events():
        if event.name() == "[memory]":
            living += event.nbytes()
            most = max(most, living)
    return {"allocated": most, "counted": counter.get_total_flops()}


def resident(spec: Spec) -> int:
    """Run it: the peak of the process's memory over that before."""
    import diffusers
    import transformers

    named = (diffusers.UNet2DConditionModel, diffusers.AutoencoderKL, transformers.CLIPTextModel)
    assert all(named)  # imported, and so before the run
    with torch.inference_mode():  # what libraries take when they are first used is no part of a model
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(1, 32, 16, 16).to(memory_format=layout)
            torch.nn.Conv2d(32, 32, 3, padding=1).to(memory_format=layout)(x)
        q = torch.randn(2, 4, 32, 64)
        torch.nn.functional.scaled_dot_product_attention(torch.nn.Linear(64, 64)(q), q, q)
    catalogue = load_catalogue()
    plan = make_plan(read_spec(spec, catalogue=catalogue), catalogue)
    before = _status("VmRSS")
    pipeline: Any = build_pipeline(plan, catalogue, load=False)
    Path("/proc/self/clear_refs").write_text("5")
    pipeline([""], seed=1, labels=_labels(pipeline))
    return _status("VmHWM") - before


def _in_a_process(spec: Spec) -> int:
    command = [sys.executable, "-W", "ignore", __file__, "--run", json.dumps(spec)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith(LINE)]
    return int(line.removeprefix(LINE))


def _labels(pipeline: Any) -> list[int] | None:
    return None if pipeline.num_classes is None else [1]


@contextmanager
def _standing_for(pipeline: Any) -> Iterator[None]:
    """While weights would be on a device beside the CPU, an allocation of their size is there.

    On the CPU nothing is moved; what would be, `bring` and the hooks of diffusers say.
    """
    held: dict[Any, Any] = {}
    bring = pipeline.bring
    waiting = [
        module.network
        for network in pipeline.networks().values()
        for module in network.modules()
        if getattr(module, "_runs_on", None) is not None
    ]
    apart = {id(tensor) for network in waiting for tensor in (*network.parameters(), *network.buffers())}

    def brought(*slots: str) -> None:
        if slots != pipeline._here:
            there = {name: network for name, network in pipeline.networks().items() if _slot(name) in slots}
            for name in pipeline.networks():
                if name not in there:
                    held.pop(name, None)
            for name, network in there.items():
                if name not in held:
                    tensors = [t for t in (*network.parameters(), *network.buffers()) if id(t) not in apart]
                    held[name] = _room(tensors)
        bring(*slots)

    pipeline.bring = brought
    with ExitStack() as stack:
        if waiting:
            from diffusers.hooks.group_offloading import ModuleGroup

            def onload(group: Any, plain: Callable[[Any], None] = ModuleGroup.onload_) -> None:
                held[group] = _room(_tensors(group))
                plain(group)

            def offload(group: Any, plain: Callable[[Any], None] = ModuleGroup.offload_) -> None:
                plain(group)
                held.pop(group, None)

            for name, function in (("onload_", onload), ("offload_", offload)):
                stack.callback(setattr, ModuleGroup, name, getattr(ModuleGroup, name))
                setattr(ModuleGroup, name, function)
        yield


def _slot(name: str) -> str:
    return name.partition("[")[0]


def _tensors(group: Any) -> list[Any]:
    inside = [t for module in group.modules for t in (*module.parameters(), *module.buffers())]
    return [*inside, *group.parameters, *group.buffers]


def _room(tensors: Sequence[Any]) -> Any:
    return torch.empty(sum(tensor.nbytes for tensor in tensors), dtype=torch.uint8)


def _attention_flops(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    return int(2 * q[0] * q[1] * q[2] * k[2] * (q[3] + v[3]))


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _line(row: Mapping[str, Any]) -> str:
    def of(name: str) -> str:
        if name not in row:
            return f"{'':>17}"
        return f"{row[name] / MEBI:>10.1f}{row['planned'] / row[name] - 1:>+7.1%}"

    flops = f"{row['flops'] / 1e9:>9.1f}{row['flops'] / row['counted'] - 1:>+7.1%}"
    planned = f"{row['planned'] / MEBI:>9.1f}"
    return f"{row['model']:12}{row['offload']:8}{planned} {of('allocated')}{of('resident')}{flops}"


if __name__ == "__main__":
    sys.exit(main())
