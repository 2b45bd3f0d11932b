"""LoRA changes networks as diffusers does, and as its formula says: in their weights or beside them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from glidepath.core import PartError, Request, Step
from glidepath.plugins.diffusers.lora import Lora
from glidepath.plugins.diffusers.steering_configs import LoraConfig
from glidepath.plugins.diffusers.wrapped import at_step
from glidepath.registry import SpecError, load_catalogue, make_plan, parse_spec

diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
peft = pytest.importorskip("peft", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

from .equality import GivenNoise, assert_equal, first_noise, latents_of, ours, theirs  # noqa: E402
from .loras import (  # noqa: E402
    ALL,
    Given,
    assert_added,
    changed,
    factors,
    named,
    product,
    unet,
    weights,
)

Saved = Callable[[str], Path]


@pytest.mark.parametrize("keys", ["peft", "diffusers", "kohya"])
def test_a_lora_of_each_trainer_changes_the_latents_as_in_diffusers(
    keys: str, saved: Saved, tmp_path: Path
) -> None:
    folder, reference = saved("sd15"), theirs(saved("sd15"))
    made = factors(reference.unet)
    given = {
        "peft": named(made, "unet.", ".lora_A", ".lora_B"),
        "diffusers": named(made, "unet.", ".lora.down", ".lora.up"),
        "kohya": named(made, "lora_unet_", ".lora_down", ".lora_up", alpha=3.0),
    }[keys]
    file = tmp_path / "lora.safetensors"
    save_file(given, file)
    pipeline = ours(folder, adapters=[{"use": "lora", "weights": str(file), "scale": 0.8}])
    noise = first_noise(pipeline)
    before = latents_of(reference, noise)
    reference.load_lora_weights(str(file))
    reference.set_adapters(reference.get_active_adapters(), [0.8])
    expected = latents_of(reference, noise)
    assert_equal(pipeline, noise, expected)
    assert (expected - before).abs().max() > 0.1


def doras(network: nn.Module, ends: tuple[str, ...] = ("to_q", "conv1")) -> Given:
    """Changes by DoRA, in the keys of peft."""
    made = factors(network, ends)
    tensors = named(made, "unet.", ".lora_A", ".lora_B")
    for number, path in enumerate(made):
        rows = len(made[path]["up"])
        tensors[f"unet.{path}.lora_magnitude_vector"] = torch.linspace(0.5, 1.5, rows) + number / 100
    return tensors


def dora_weight(weight: Tensor, pair: Given, magnitude: Tensor, scale: float) -> Tensor:
    """m (W + s B A) / |W + s B A|, row by row (Liu et al. 2024, equation 5)."""
    moved = weight + scale * product(pair)
    lengths = moved.flatten(1).norm(dim=1)
    return moved * (magnitude / lengths).reshape(-1, *[1] * (weight.ndim - 1))


@pytest.mark.parametrize("merge", [True, False])
def test_dora_scales_each_row_to_its_length(merge: bool) -> None:
    network, plain, tensors = unet(), unet(), doras(unet())
    changed(network, tensors, scale=0.7, merge=merge)
    for path, pair in factors(plain, ("to_q", "conv1")).items():
        layer = plain.get_submodule(path)
        magnitude = tensors[f"unet.{path}.lora_magnitude_vector"]
        with torch.no_grad():
            layer.weight.copy_(dora_weight(layer.weight, pair, magnitude, 0.7))
    torch.testing.assert_close(predicted(network), predicted(plain), rtol=0, atol=2e-5)


def test_scales_of_dora_in_kohyas_files_are_read() -> None:
    network, other, tensors = unet(), unet(), doras(unet(), ("to_q",))
    kohya = {}
    for name, tensor in tensors.items():
        path, _, end = name.removeprefix("unet.").partition(".lora_")
        base = f"lora_unet_{path.replace('.', '_')}"
        ends = {"A.weight": "lora_down.weight", "B.weight": "lora_up.weight"}
        kohya[f"{base}.{ends.get(end, 'dora_scale')}"] = tensor if end in ends else tensor[:, None]
    changed(network, tensors)
    changed(other, kohya)
    assert all(torch.equal(weights(network)[name], weight) for name, weight in weights(other).items())


def predicted(network: nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x, text = torch.randn(1, 4, 8, 8, generator=generator), torch.randn(1, 5, 32, generator=generator)
    with torch.no_grad():
        output: Tensor = network(x, 500, text).sample
    return output


def test_beside_the_weights_it_is_what_it_is_in_them() -> None:
    one = named(factors(unet(), ("to_q", "to_k", "conv2")), "unet.", ".lora_A", ".lora_B")
    two = named(factors(unet(), ("to_q", "to_v"), rank=3), "unet.", ".lora_A", ".lora_B")
    found = []
    for merge in ((True, True), (False, False), (True, False), (False, True)):
        network = unet()
        for tensors, scale, merges in zip(
            (one, two, doras(unet(), ("conv1",))), (0.8, -0.5, 1.0), (*merge, False), strict=True
        ):
            changed(network, tensors, scale=scale, merge=merges)
        found.append(predicted(network))
    assert (found[0] - predicted(unet())).abs().max() > 0.01
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=2e-5)


def test_a_network_with_merged_changes_has_the_layers_that_it_had() -> None:
    network = unet()
    changed(network, doras(unet()))
    changed(network, named(factors(unet()), "unet.", ".lora_A", ".lora_B"))
    assert list(network.state_dict()) == list(unet().state_dict())
    assert not getattr(network, "peft_config", {})


def test_its_scale_may_be_set_without_building_anew() -> None:
    tensors = named(factors(unet()), "unet.", ".lora_A", ".lora_B")
    network, built = unet(), unet()
    lora = changed(network, tensors, scale=0.2, merge=False)
    changed(built, tensors, scale=0.9)
    lora.scale = 0.9
    torch.testing.assert_close(predicted(network), predicted(built), rtol=0, atol=2e-5)
    lora.scale = 0.0
    assert torch.equal(predicted(network), predicted(unet()))


def at(level: float) -> Step:
    return Step(0, torch.tensor(500), torch.tensor(0.5), torch.tensor(0.5), 10, level)


def test_it_acts_at_the_noise_levels_of_its_range() -> None:
    tensors = named(factors(unet()), "unet.", ".lora_A", ".lora_B")
    network, whole = unet(), unet()
    changed(network, tensors, low=0.5, high=2.0)
    changed(whole, tensors)
    for level, expected in {0.5: unet(), 0.51: whole, 2.0: whole, 2.1: unet()}.items():
        with at_step(at(level)):
            torch.testing.assert_close(predicted(network), predicted(expected), rtol=0, atol=2e-5)


def test_in_a_walk_the_range_decides_step_by_step(saved: Saved, tmp_path: Path) -> None:
    folder = saved("sd15")
    save_file(named(factors(unet()), "unet.", ".lora_A", ".lora_B"), tmp_path / "lora.safetensors")
    lora = {"use": "lora", "weights": str(tmp_path / "lora.safetensors")}
    plain, whole = ours(folder), ours(folder, adapters=[lora])
    ranged = ours(folder, adapters=[{**lora, "low": 1.0}])
    levels = plain.levels()
    conditioning = plain.conditioning(Request(prompts=["a castle"]))
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    within = []
    with torch.inference_mode():
        predict = {pipeline: pipeline.prepare(conditioning, levels) for pipeline in (plain, whole, ranged)}
        for step in levels.steps("cpu"):
            within.append(step.sigma_over_alpha > 1.0)
            expected = predict[whole if within[-1] else plain](x, step).value
            torch.testing.assert_close(predict[ranged](x, step).value, expected, rtol=0, atol=2e-5)
    assert {True, False} == set(within)
    before = first_noise(plain)
    *_, last = ranged.states(["a", "b"], noise=GivenNoise(before))
    ranged.adapters[0].scale = 0.0  # type: ignore[attr-defined]
    *_, without = ranged.states(["a", "b"], noise=GivenNoise(before))
    *_, expected = plain.states(["a", "b"], noise=GivenNoise(before))
    assert torch.equal(without.x, expected.x)
    assert (last.x - without.x).abs().max() > 0.01


def test_a_range_is_for_a_denoiser_that_tells_its_level() -> None:
    lora = Lora(LoraConfig(low=0.5))
    lora.load(named(factors(unet()), "unet.", ".lora_A", ".lora_B"))
    with pytest.raises(PartError, match="low and high are for networks of diffusers"):
        lora.apply({"denoiser": unet()})


def test_a_range_without_a_noise_level_is_refused_with_its_place(saved: Saved) -> None:
    lora = "adapters=[{use: lora, low: 2, high: 1}]"
    spec = parse_spec(f"extends: {saved('sd15')}", "s.yaml", [lora], catalogue=load_catalogue())
    with pytest.raises(SpecError, match=r"low must be below high.*(?s:.)*adapters\[0\]"):
        make_plan(spec, load_catalogue())


def test_a_network_of_another_kind_is_changed_by_the_names_of_its_layers() -> None:
    network = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(3, 5)])})
    plain, made = copy.deepcopy(network), factors(network, ALL)
    lora = Lora(LoraConfig())
    lora.load(named(made, "", ".lora_A", ".lora_B"))
    lora.apply({"denoiser": network})
    assert_added(plain, network, {path: product(pair) for path, pair in made.items()})


def test_what_other_threads_build_meanwhile_has_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, devices = peft.tuners.lora.layer.LoraLayer, []
    plain = layer.update_layer

    def watched(*args: Any, **kwargs: Any) -> Any:
        thread = Thread(target=lambda: devices.append(nn.Linear(2, 2).weight.device.type))
        thread.start()
        thread.join()
        return plain(*args, **kwargs)

    monkeypatch.setattr(layer, "update_layer", watched)
    network = nn.Sequential(nn.Linear(4, 4))
    lora = Lora(LoraConfig())
    lora.load({"0.lora_A.weight": torch.ones(1, 4), "0.lora_B.weight": torch.ones(4, 1)})
    lora.apply({"denoiser": network})
    assert devices == ["cpu"]
