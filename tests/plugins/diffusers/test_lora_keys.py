"""The names of what LoRA changes, in the files of each trainer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from glidepath.core import PartError
from glidepath.plugins.diffusers.lora import Lora
from glidepath.plugins.diffusers.lora_keys import layer_names, read_changes
from glidepath.plugins.diffusers.original_names import original_name
from glidepath.plugins.diffusers.steering_configs import LoraConfig

diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("peft", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

from .loras import (  # noqa: E402
    ALL,
    Given,
    assert_added,
    changed,
    factors,
    flux,
    layers,
    named,
    product,
    sd3,
    unet,
    weights,
    wrapped,
)
from .pieces import clip, t5_encoder  # noqa: E402

Saved = Callable[[str], Path]


@pytest.mark.parametrize(
    ("prefix", "down", "up"),
    [
        ("unet.", ".lora_A", ".lora_B"),
        ("", ".lora_A.default", ".lora_B.default"),
        ("base_model.model.", ".lora_A", ".lora_B"),
        ("unet.base_model.model.", ".lora_A", ".lora_B"),
        ("diffusion_model.", ".lora_down", ".lora_up"),
        ("lora_unet_", ".lora_down", ".lora_up"),
    ],
)
def test_each_style_of_names_changes_the_same_layers(prefix: str, down: str, up: str) -> None:
    network, made = unet(), factors(unet(), ALL)
    changed(network, named(made, prefix, down, up), scale=0.5)
    assert_added(unet(), network, {path: 0.5 * product(pair) for path, pair in made.items()})


def test_attention_processors_of_old_files_stand_for_their_layers() -> None:
    network, made = unet(), factors(unet(), ("attn1.to_q", "attn2.to_v", "to_out.0"))
    tensors = {}
    for path, pair in made.items():
        owner, _, layer = path.removesuffix(".0").rpartition(".")
        name = f"unet.{owner}.processor.{layer}_lora"
        tensors |= {f"{name}.down.weight": pair["down"], f"{name}.up.weight": pair["up"]}
    changed(network, tensors)
    assert_added(unet(), network, {path: product(pair) for path, pair in made.items()})


def test_factors_of_16_bits_are_multiplied_in_32() -> None:
    network, made = unet(), factors(unet(), ("to_q", "proj_in"))
    made = {path: {name: it.half() for name, it in pair.items()} for path, pair in made.items()}
    changed(network, named(made, "unet.", ".lora_A", ".lora_B"))
    expected = {path: product({name: it.float() for name, it in pair.items()}) for path, pair in made.items()}
    assert_added(unet(), network, expected)


def test_matrices_stand_for_convolutions_of_one_pixel_and_these_for_matrices() -> None:
    network, made = unet(), factors(unet(), ("to_q", "proj_in"))
    reshaped = {
        path: {name: it.flatten(1) if it.ndim == 4 else it[..., None, None] for name, it in pair.items()}
        for path, pair in made.items()
    }
    changed(network, named(reshaped, "unet.", ".lora_A", ".lora_B"))
    assert_added(unet(), network, {path: product(pair) for path, pair in made.items()})


def test_ranks_and_alphas_are_those_of_each_layer() -> None:
    network, made = unet(), factors(unet(), ("to_q",), rank=2) | factors(unet(), ("to_k",), rank=3)
    tensors = {}
    for number, (path, pair) in enumerate(made.items()):
        tensors |= named({path: pair}, "lora_unet_", ".lora_down", ".lora_up", alpha=1.0 + number)
    changed(network, tensors)
    expected = {
        path: (1.0 + number) / pair["down"].shape[0] * product(pair)
        for number, (path, pair) in enumerate(made.items())
    }
    assert_added(unet(), network, expected)


def test_names_of_sdxls_own_program_are_those_that_diffusers_knows() -> None:
    shape = {
        "layers_per_block": 2,
        "block_out_channels": (16, 32, 32),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 24,
        "use_linear_projection": True,
    }
    network, reference = unet(**shape), unet(**shape)
    made = factors(network, ALL)
    names = {path: original_name("UNet2DConditionModel", network.config, path) for path in made}
    assert None not in names.values()
    tensors = {}
    for path, pair in made.items():
        # conv_in and time_emb_proj are layers whose names diffusers mistakes where they are all there is
        tensors |= named({str(names[path]): pair}, "lora_unet_", ".lora_down", ".lora_up", alpha=1.0)
    state, alphas = diffusers.loaders.StableDiffusionXLLoraLoaderMixin.lora_state_dict(
        dict(tensors), unet_config=reference.config
    )
    reference.load_lora_adapter(state, prefix="unet", network_alphas=alphas)
    reference.fuse_lora()
    reference.unload_lora()
    changed(network, tensors)
    for name, weight in weights(reference).items():
        torch.testing.assert_close(weights(network)[name], weight, rtol=0, atol=1e-6)


FUSED = {
    "FluxTransformer2DModel": {
        "double_blocks.0.img_attn.qkv": [f"transformer_blocks.0.attn.to_{it}" for it in "qkv"],
        "double_blocks.0.txt_attn.qkv": [f"transformer_blocks.0.attn.add_{it}_proj" for it in "qkv"],
        "double_blocks.0.img_mlp.2": ["transformer_blocks.0.ff.net.2"],
        "single_blocks.0.linear1": [
            *(f"single_transformer_blocks.0.attn.to_{it}" for it in "qkv"),
            "single_transformer_blocks.0.proj_mlp",
        ],
        "single_blocks.0.modulation.lin": ["single_transformer_blocks.0.norm.linear"],
        "txt_in": ["context_embedder"],
    },
    "SD3Transformer2DModel": {
        "joint_blocks.0.x_block.attn.qkv": [f"transformer_blocks.0.attn.to_{it}" for it in "qkv"],
        "joint_blocks.0.x_block.attn2.qkv": [f"transformer_blocks.0.attn2.to_{it}" for it in "qkv"],
        "joint_blocks.1.context_block.attn.qkv": [f"transformer_blocks.1.attn.add_{it}_proj" for it in "qkv"],
        "joint_blocks.0.context_block.mlp.fc1": ["transformer_blocks.0.ff_context.net.0.proj"],
        "joint_blocks.0.x_block.adaLN_modulation.1": ["transformer_blocks.0.norm1.linear"],
        "final_layer.linear": ["proj_out"],
    },
}


@pytest.mark.parametrize("make", [flux, sd3])
@pytest.mark.parametrize("prefix", ["lora_unet_", "diffusion_model."])
def test_what_is_one_layer_in_the_original_is_cut_by_its_rows(make: Callable[[], Any], prefix: str) -> None:
    network, plain, expected, tensors = make(), make(), {}, {}
    generator = torch.Generator().manual_seed(7)
    for name, paths in FUSED[type(network).__name__].items():
        parts = [plain.get_submodule(path).weight for path in paths]
        down = torch.randn(2, parts[0].shape[1], generator=generator)
        up = torch.randn(sum(map(len, parts)), 2, generator=generator)
        tensors |= named({name: {"down": down, "up": up}}, prefix, ".lora_down", ".lora_up", alpha=1.0)
        cut = (up @ down / 2).split([len(part) for part in parts])
        expected |= dict(zip(paths, cut, strict=True))
    changed(network, tensors)
    assert_added(plain, network, expected)


def test_kohyas_keys_of_flux_are_those_that_diffusers_knows() -> None:
    network, reference = flux(), flux()
    made = {
        path: pair
        for path, pair in factors(network, ALL).items()
        if path.startswith("transformer_blocks")
        and not path.endswith(("to_q", "to_k", "to_v", "q_proj"))
        and not path.endswith(("k_proj", "v_proj"))
    }
    names = {path: str(original_name("FluxTransformer2DModel", {}, path)) for path in made}
    tensors = named(
        {names[path]: pair for path, pair in made.items()}, "lora_unet_", ".lora_down", ".lora_up", 1.0
    )
    state, alphas = diffusers.loaders.FluxLoraLoaderMixin.lora_state_dict(dict(tensors), return_alphas=True)
    reference.load_lora_adapter(state, prefix="transformer", network_alphas=alphas)
    reference.fuse_lora()
    reference.unload_lora()
    changed(network, tensors)
    for name, weight in weights(reference).items():
        torch.testing.assert_close(weights(network)[name], weight, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("prefix", "down", "up"),
    [
        ("text_encoder.text_model.", ".lora_A", ".lora_B"),
        ("text_encoder.", ".lora_linear_layer.down", ".lora_linear_layer.up"),
        ("text_encoder.base_model.model.text_model.", ".lora_A", ".lora_B"),
        ("lora_te_text_model_", ".lora_down", ".lora_up"),
        ("lora_te1_text_model_", ".lora_down", ".lora_up"),
    ],
)
@pytest.mark.parametrize("projection", [None, 24])
def test_a_text_encoder_is_changed_by_the_names_of_each_trainer(
    prefix: str, down: str, up: str, projection: int | None
) -> None:
    torch.manual_seed(0)
    network = clip(projection=projection)
    plain = copy.deepcopy(network)
    whole = factors(network, ("q_proj", "out_proj", "fc1"))
    made = {path.removeprefix("text_model."): pair for path, pair in whole.items()}
    lora = Lora(LoraConfig(scale=0.5))
    lora.load(named(made, prefix, down, up))
    encoder = wrapped(network)
    lora.apply({"denoiser": wrapped(unet()), "text_encoder": encoder})
    assert_added(plain, network, {path: 0.5 * product(pair) for path, pair in whole.items()})


def test_encoders_are_numbered_as_their_folders_are() -> None:
    encoders = [clip(), clip(projection=24), t5_encoder(48)]
    plain, expected, tensors = copy.deepcopy(encoders), [], {}
    for number, (network, ends) in enumerate(zip(encoders, ("k_proj", "k_proj", "wo"), strict=True), start=1):
        made = factors(network, (ends,))
        tensors |= named(made, f"lora_te{number}_", ".lora_down", ".lora_up")
        expected.append({path: product(pair) for path, pair in made.items()})
    lora = Lora(LoraConfig())
    lora.load(tensors)
    joined = nn.ModuleList(map(wrapped, encoders))
    lora.apply({"denoiser": wrapped(unet()), "text_encoder": joined})
    for before, after, own in zip(plain, encoders, expected, strict=True):
        assert_added(before, after, own)


@pytest.mark.parametrize("style", ["diffusers", "kohya"])
@pytest.mark.parametrize("make", [unet, flux, sd3])
def test_the_name_of_each_layer_is_read_back(make: Callable[[], Any], style: str) -> None:
    network = make()
    sizes = {path: len(layer.weight) for path, layer in layers(network)}
    part = "unet" if make is unet else "transformer"
    tensors = {}
    for path, size in sizes.items():
        name, down, up = f"{part}.{path}", "A", "B"
        if style == "kohya":
            name, down, up = f"lora_unet_{path.replace('.', '_')}", "down", "up"
        tensors[f"{name}.lora_{down}.weight"] = torch.zeros(1, 3)
        tensors[f"{name}.lora_{up}.weight"] = torch.zeros(size, 1)
    names = {"denoiser": layer_names(type(network).__name__, network.config, sizes)}
    assert set(read_changes(tensors, names)["denoiser"]) == set(sizes)


A, B = torch.zeros(2, 16), torch.zeros(16, 2)
LAYER = "unet.down_blocks.1.attentions.0.proj_in"


@pytest.mark.parametrize(
    ("tensors", "what"),
    [
        ({}, "changes nothing"),
        (
            {"unet.nowhere.lora_A.weight": A, "unet.nowhere.lora_B.weight": B},
            "nowhere, and the denoiser has no",
        ),
        ({f"{LAYER}.lora_A.weight": A}, "by one factor alone; the one up is missing"),
        ({f"{LAYER}.lora_B.weight": B}, "by one factor alone; the one down is missing"),
        (
            {f"{LAYER}.hada_w1_a": A},
            "changes weights by LoHa, not by LoRA, and LoHa is not read: .*hada_w1_a",
        ),
        ({f"{LAYER}.lokr_w1": A}, "changes weights by LoKr, not by LoRA, and LoKr is not read: .*lokr_w1"),
        (
            {f"{LAYER}.lora_A.weight": A, f"{LAYER}.lora_B.weight": B.T},
            r"\[2, 16\] and \[2, 16\], which cannot",
        ),
        (
            {f"{LAYER}.lora_A.weight": A, f"{LAYER}.lora_B.weight": B},
            "does not fit: .* has 16 rows, and .* 32",
        ),
        (
            {f"{LAYER}.lora_A.weight": A, f"{LAYER}.lora_B.weight": torch.zeros(32, 2)},
            r"does not fit .*, a weight of \[32, 32, 1, 1\]",
        ),
        (
            {"text_encoder.fc1.lora_A.weight": A, "text_encoder.fc1.lora_B.weight": B},
            "changes text_encoder, and there are denoiser here",
        ),
        (
            {
                f"{LAYER}.lora_A.weight": torch.zeros(2, 32),
                f"{LAYER}.lora_B.weight": torch.zeros(32, 2),
                f"{LAYER}.dora_scale": torch.ones(1, 31),
            },
            "scales columns",
        ),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(tensors: Given, what: str) -> None:
    network = unet()
    fine = named(factors(network, ("to_q",)), "unet.", ".lora_A", ".lora_B") if tensors else {}
    with pytest.raises(PartError, match=what):
        changed(network, {**fine, **tensors})
    assert all(torch.equal(weights(network)[name], weight) for name, weight in weights(unet()).items())
