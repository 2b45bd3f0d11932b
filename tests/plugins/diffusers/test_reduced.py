"""Models of diffusers that take less of a device: layer by layer, or in 8 bits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from glidepath.core import PartError, Pipeline, Request
from glidepath.plugins.diffusers.imported import read_folder
from glidepath.plugins.diffusers.wrapped import Wrapped
from glidepath.registry import assemble, load_catalogue, make_plan, read_spec
from glidepath.registry.assembly.cost import Measurement, measure

from .equality import PROMPTS, STEPS, ours

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

Saved = Callable[[str], Path]
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of CUDA")


def with_runtime(folder: Path, **runtime: Any) -> Pipeline:
    return ours(folder, runtime={"device": "cpu", "dtype": "float32", **runtime})


def linear(module: nn.Module) -> dict[str, Any]:
    return {name: layer for name, layer in module.named_modules() if type(layer) is nn.Linear}


def cost_of(folder: Path, **runtime: Any) -> Measurement:
    catalogue = load_catalogue()
    given = read_folder(folder, str(folder), steps=STEPS).spec
    spec = {**given, "runtime": {"device": "cpu", "dtype": "float32", **runtime}}
    return measure(make_plan(read_spec(spec, catalogue=catalogue), catalogue), catalogue)[""]


@pytest.mark.parametrize("name", ["sd15", "sd3"])
def test_images_are_the_same_where_layers_wait(
    name: str, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers.hooks import group_offloading

    brought: list[Any] = []
    bring = group_offloading.ModuleGroup.onload_

    def noted(group: Any) -> None:
        brought.append(group.onload_leader)
        bring(group)

    monkeypatch.setattr(group_offloading.ModuleGroup, "onload_", noted)
    pipeline, plain = with_runtime(saved(name), offload="layers"), with_runtime(saved(name))
    assert torch.equal(pipeline(PROMPTS, seed=1), plain(PROMPTS, seed=1))
    wrapped = [module for network in pipeline.networks().values() for module in network.modules()]
    networks = [module.network for module in wrapped if isinstance(module, Wrapped)]
    assert len(networks) == {"sd15": 3, "sd3": 5}[name]
    for network in networks:
        leaders = {id(leader) for leader in brought}
        ran = [layer for layer in network.modules() if id(layer) in leaders]
        assert len(ran) > len(linear(network)) / 2  # an autoencoder's encoder had no turn
        assert all(hasattr(layer, "_diffusers_hook") for layer in linear(network).values())


def test_a_network_whose_layers_wait_is_not_moved_as_a_whole(saved: Saved) -> None:
    codec: Any = with_runtime(saved("sd15"), offload="layers").codec
    state = list(codec.state_dict())
    codec.to("meta")
    assert codec.scale.is_meta
    assert not any(parameter.is_meta for parameter in codec.network.parameters())
    assert list(codec.state_dict()) == state
    assert codec.device == torch.device("cpu")


def test_layers_of_other_networks_do_not_wait() -> None:
    with pytest.raises(PartError, match=r"offload: layers is for networks of diffusers .*; write parts"):
        assemble("shapes", ["runtime.offload=layers", "runtime.device=cpu"])


@CUDA
@pytest.mark.parametrize("offload", ["parts", "layers"])
def test_a_gpu_has_the_same_images_with_offload(offload: str, saved: Saved) -> None:
    runtime = {"device": "cuda", "dtype": "float32"}
    pipeline, plain = (
        ours(saved("sdxl"), runtime={**runtime, **more}) for more in ({"offload": offload}, {})
    )
    assert torch.equal(pipeline(PROMPTS, seed=1), plain(PROMPTS, seed=1))
    waiting = {parameter.device.type for parameter in pipeline.denoiser.parameters()}
    assert waiting == {"cpu"}


def test_linear_layers_have_8_bits_and_images_are_near(saved: Saved) -> None:
    pytest.importorskip("torchao", reason="needs the extra [quantize]")
    pipeline, plain = with_runtime(saved("sd15"), quantize="int8"), with_runtime(saved("sd15"))
    for network in (pipeline.denoiser, pipeline.text_encoder):
        assert network is not None
        layers = linear(network)
        assert layers
        assert all(layer.weight.qdata.dtype == torch.int8 for layer in layers.values())
    assert not any(hasattr(layer.weight, "qdata") for layer in linear(pipeline.codec).values())
    own, found = (list(made.states(PROMPTS, seed=1))[-1].x for made in (plain, pipeline))
    drift = (own - found).square().mean().sqrt() / own.std()
    assert 1e-5 < drift < 0.03


def test_a_row_of_8_bits_is_the_weight_to_half_a_level(saved: Saved) -> None:
    pytest.importorskip("torchao", reason="needs the extra [quantize]")
    given = linear(with_runtime(saved("sd15")).denoiser)
    kept = linear(with_runtime(saved("sd15"), quantize="int8").denoiser)
    for name, layer in given.items():
        row = layer.weight.abs().amax(dim=1, keepdim=True)
        difference = (kept[name].weight.dequantize() - layer.weight).abs()
        assert (difference <= 0.51 * row / 127).all()


def test_what_is_prepared_is_right_of_8_bits_too(saved: Saved) -> None:
    pytest.importorskip("torchao", reason="needs the extra [quantize]")
    pipeline = with_runtime(saved("sdxl"), quantize="int8")
    with torch.inference_mode():
        levels = pipeline.levels()
        given = pipeline.conditioning(Request.of(PROMPTS)).only(pipeline.denoiser.reads)
        predict = pipeline.denoiser.prepare(given, levels)
        for step in levels.steps("cpu"):
            x = torch.randn(2, *pipeline.denoiser.image_shape)
            expected = pipeline.denoiser(x, step.t.expand(2), given)
            assert torch.allclose(predict(x, step).value, expected, atol=1e-4)


def test_a_plan_counts_8_bits_and_layers(saved: Saved) -> None:
    whole, quantized = cost_of(saved("sd15")), cost_of(saved("sd15"), quantize="int8")
    pipeline = ours(saved("sd15"))
    layers = linear(pipeline.denoiser).values()
    spared = sum(3 * layer.weight.numel() - 4 * layer.out_features for layer in layers)
    assert whole.weights["denoiser"] - quantized.weights["denoiser"] == spared
    assert whole.weights["codec"] == quantized.weights["codec"]
    assert whole.layer_bytes < whole.offloaded_bytes < whole.memory_bytes
    every = [layer for network in pipeline.networks().values() for layer in network.modules()]
    assert whole.layer_bytes > max(
        sum(value.nbytes for value in layer.parameters(recurse=False)) for layer in every
    )


@pytest.mark.parametrize("name", ["sd15", "sdxl", "pixart"])
def test_a_plan_counts_the_operations_of_a_run(name: str, saved: Saved) -> None:
    def attention(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
        return int(2 * q[0] * q[1] * q[2] * k[2] * (q[3] + v[3]))

    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    pipeline, planned = with_runtime(saved(name)), cost_of(saved(name))
    with FlopCounterMode(display=False, custom_mapping={kernel: attention}) as counter:
        pipeline([""], seed=1)
    assert counter.get_total_flops() == pytest.approx(planned.total_flops, rel=0.01)


def test_without_torchao_the_extra_is_named(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(PartError, match=r"needs torchao: pip install 'glidepath-diffusion\[quantize\]'"):
        with_runtime(saved("sd15"), quantize="int8")
