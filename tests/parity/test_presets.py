"""The presets are the models that their authors published: sizes, parameter names, options, diffusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import attrs
import pytest
import torch
from torch import nn

from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.registry.assembly.build import build_parts
from glidepath.registry.assembly.cost import Measurement, measure
from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue
from glidepath.registry.plan.parts import PartPlan
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

from .recorded import described
from .test_unets import text_config, unet_config

SIZES = {
    "glide-base": (385_030_726, 783),
    "glide-upsample": (398_361_286, 797),
    "glide-base-inpaint": (385_037_638, 783),
    "glide-upsample-inpaint": (398_368_198, 797),
    "adm-64": (295_904_454, 541),
    "adm-128": (421_529_606, 493),
    "adm-256": (553_838_086, 567),
    "adm-256-uncond": (552_814_086, 566),
    "adm-512": (558_997_638, 645),
    "adm-64-256": (311_795_910, 567),
    "adm-128-512": (308_835_270, 537),
}
"""Parameters and names in the state, of denoiser and text encoder together."""

ADM_DEFAULTS = (
    "schedule=linear",
    "denoiser.channels=128",
    "denoiser.res_blocks=2",
    "denoiser.attention_resolutions=[16,8]",
    "denoiser.attention_order=legacy",
    "denoiser.heads=4",
    "denoiser.head_channels=null",
    "denoiser.resblock_updown=false",
    "denoiser.dropout=0",
    "denoiser.num_classes=null",
    "denoiser.learned_variance=false",
    "sampler.variance=fixed-large",
    "sampler.steps=1000",
)
FACTORY_CASES: dict[int, tuple[str, Sequence[str]]] = {
    0: ("glide-base", ["sampler.steps=1000"]),
    1: ("glide-upsample", ["sampler.steps=1000"]),
    2: ("glide-base-inpaint", []),
    3: ("glide-upsample", []),
    4: ("adm-64", []),
    6: ("adm-64", ADM_DEFAULTS),
    7: ("adm-64-256", ADM_DEFAULTS),
}
"""By place in the file of recorded options."""
CLASSIFIER_CASE = 5


@pytest.mark.thorough
@pytest.mark.parametrize("preset", SIZES)
def test_a_preset_has_the_published_parameters(preset: str) -> None:
    networks = on_meta(preset)
    parameters = sum(tensor.numel() for network in networks for tensor in network.parameters())
    assert (parameters, sum(len(network.state_dict()) for network in networks)) == SIZES[preset]


@pytest.mark.parametrize(
    ("preset", "published"), [("glide-base", "base"), ("glide-base-inpaint", "base_inpaint")]
)
def test_a_preset_has_the_published_names_and_shapes(preset: str, published: str) -> None:
    shapes: dict[str, list[int]] = {}
    for network in on_meta(preset):
        state = network.state_dict()
        assert not shapes.keys() & state.keys()
        shapes |= {key: list(tensor.shape) for key, tensor in state.items()}
    assert shapes == described("state_dict_manifest")[published]["keys"]


@pytest.mark.parametrize("case", FACTORY_CASES)
def test_a_preset_is_the_network_that_the_published_options_make(case: int) -> None:
    published, plan = described("model_creation")["cases"][case], plan_of(*FACTORY_CASES[case])
    arguments, options = published["model"]["constructor"], published["options"]
    size = options.get("image_size") or options["large_size"]
    expected = unet_config(arguments, published["model"]["class"], size)
    assert that_matters(config(plan, "denoiser")) == that_matters(expected)
    if "xf_width" in arguments:
        assert config(plan, "text_encoder") == text_config(arguments)
    else:
        assert "text_encoder" not in plan.parts


def test_a_preset_has_the_noisy_classifier_that_the_published_options_make() -> None:
    arguments = described("model_creation")["cases"][CLASSIFIER_CASE]["model"]["constructor"]
    (guidance,) = plan_of("adm-g-64").parts["guidance"]  # type: ignore[misc]
    ours = guidance.parts["classifier"].config
    assert {
        "image_size": ours.image_size,
        "in_channels": ours.in_channels,
        "model_channels": ours.channels,
        "out_channels": ours.num_classes,
        "num_res_blocks": ours.res_blocks,
        "attention_resolutions": [ours.image_size // size for size in ours.attention_resolutions],
        "channel_mult": list(ours.channel_mult),
        "num_head_channels": ours.head_channels,
        "use_scale_shift_norm": ours.scale_shift_norm,
        "resblock_updown": ours.resblock_updown,
        "pool": ours.pool,
    } == {name: value for name, value in arguments.items() if name != "use_fp16"}


@pytest.mark.parametrize("case", FACTORY_CASES)
def test_a_preset_is_the_diffusion_that_the_published_options_make(case: int) -> None:
    published: Mapping[str, Any] = described("model_creation")["cases"][case]["diffusion"]
    plan = plan_of(*FACTORY_CASES[case])
    parts = build_parts(plan, ("schedule", "sampler"), catalogue())
    levels = parts["schedule"].levels(parts["sampler"].steps)
    t = levels.t.flip(0).tolist()
    assert parts["schedule"].num_steps == published["original_num_steps"]
    assert (len(t), t[:5], t[-5:]) == (
        published["num_timesteps"],
        published["first_map"],
        published["last_map"],
    )
    beta = [float(levels.beta[-1]), float(levels.beta[0])]
    assert beta == pytest.approx([published["beta_first"], published["beta_last"]], rel=1e-12)
    assert published.get("rescale_timesteps", False) == config(plan, "schedule").rescale_timesteps
    assert config(plan, "denoiser").predicts == published.get("model_mean_type", "EPSILON").lower()
    learned = published.get("model_var_type", "LEARNED_RANGE") == "LEARNED_RANGE"
    assert config(plan, "denoiser").learned_variance == learned
    if not learned:
        assert published["model_var_type"] == "FIXED_LARGE"
        assert config(plan, "sampler").variance == "fixed-large"


@pytest.mark.thorough
def test_a_preset_is_measured_without_weights_and_vocabulary() -> None:
    cost = measured("glide-upsample-inpaint")
    assert sum(cost.parameters.values()) == SIZES["glide-upsample-inpaint"][0]
    assert cost.weight_bytes == 4 * SIZES["glide-upsample-inpaint"][0]
    assert (cost.steps, cost.rows) == (27, 1)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("presets", "multiply_adds"),
    [(["adm-256"], 1120e9), (["adm-64", "adm-64-256"], 742e9)],
    ids=["ADM", "ADM-U"],
)
def test_an_evaluation_costs_what_others_have_counted(presets: list[str], multiply_adds: float) -> None:
    """By Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", in multiply-adds."""
    counted = sum(measured(preset).flops["model"] / 2 for preset in presets)
    assert counted == pytest.approx(multiply_adds, rel=2e-3)


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


@cache
def _plan(preset: str, overrides: tuple[str, ...]) -> Plan:
    return make_plan(read_spec(preset, overrides, catalogue=catalogue()), catalogue())


def plan_of(preset: str, overrides: Sequence[str] = ()) -> Plan:
    return _plan(preset, tuple(overrides))


def measured(preset: str) -> Measurement:
    cost = measure(plan_of(preset), catalogue())[""]
    assert isinstance(cost, Measurement)
    return cost


def config(plan: Plan, slot: str) -> Any:
    part = plan.parts[slot]
    assert isinstance(part, PartPlan)
    return part.config


def on_meta(preset: str) -> list[nn.Module]:
    """Denoiser and text encoder, without memory behind their tensors."""
    with torch.device("meta"):
        parts = build_parts(plan_of(preset), ("denoiser", "text_encoder"), catalogue(), load=False)
    return list(parts.values())


def that_matters(config: AdmUNetConfig) -> AdmUNetConfig:
    """Where the channels of a head are given, how many heads there are is not read."""
    if config.head_channels is None:
        return config
    return attrs.evolve(config, heads=1, heads_upsample=None)
