"""Single layers give the outputs of openai/glide-text2im and openai/guided-diffusion.

Elsewhere: `attention_pool` (test_classifier.py) and `clip_layernorm_small` (test_clip.py). Not here:
`bilinear_*`, which test_unets.py sees through the upsamplers; and `groupnorm_swish1.7`, a slope of SiLU that
the reference can have and none of its networks has.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from glidepath.plugins.adm.layers import (
    Downsample,
    GroupNorm,
    Upsample,
    attend,
    split_heads,
    timestep_embedding,
)
from glidepath.plugins.text import transformer as text

from .recorded import DATA, described, difference

TOLERANCE = 1e-5
RECORDED = load_file(DATA / "layers.safetensors")
SETTINGS = described("layers")["layers"]


def recorded(name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in RECORDED.items() if key.startswith(prefix)}


def with_parameters(module: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    module.load_state_dict({key: tensors[key] for key in module.state_dict()}, strict=True)
    return module


@pytest.mark.parametrize("name", ["temb_32", "temb_odd33", "temb_192"])
def test_timesteps_become_sinusoids(name: str) -> None:
    tensors, width = recorded(name), SETTINGS[name]["dim"]
    difference = (timestep_embedding(tensors["t"], width) - tensors["out"]).abs()
    # exp is rounded in the last place by one processor's library and not by another's
    frequency = torch.exp(-math.log(10000) * torch.arange(width // 2) / (width // 2))
    last_place = torch.nextafter(frequency, torch.ones(())) - frequency
    phase = F.pad((tensors["t"][:, None] * last_place).repeat(1, 2), (0, width % 2))
    assert (difference <= TOLERANCE + phase).all()


@pytest.mark.parametrize(
    ("name", "order"),
    [("glide_self", "legacy"), ("glide_cross", "legacy"), ("adm_legacy", "legacy"), ("adm_new", "new")],
)
def test_attention_reads_the_channels_of_the_reference(name: str, order: str) -> None:
    tensors, heads = recorded(name), SETTINGS[name]["heads"]
    q, k, v = split_heads(tensors["qkv"].transpose(1, 2), heads, 3, order)
    text_kv = None
    if "encoder_kv" in tensors:
        text_kv = split_heads(tensors["encoder_kv"].transpose(1, 2), heads, 2, "legacy")
    assert difference(attend(q, k, v, text_kv).transpose(1, 2), tensors["out"]) < TOLERANCE


def test_attention_of_the_text_reads_the_channels_of_the_reference() -> None:
    tensors = recorded("text_attn")
    assert difference(text.attend(tensors["qkv"], SETTINGS["text_attn"]["heads"]), tensors["out"]) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("groupnorm_swish0.0", nn.Identity()),
        ("groupnorm_small", nn.Identity()),
        ("groupnorm_swish1.0", F.silu),
    ],
)
def test_group_norm(name: str, activation: Callable[[Tensor], Tensor]) -> None:
    tensors = recorded(name)
    norm = with_parameters(GroupNorm(64), tensors)
    with torch.no_grad():
        assert difference(activation(norm(tensors["x"])), tensors["out"]) < TOLERANCE


def test_layer_norm_of_the_text() -> None:
    tensors = recorded("xf_layernorm_small")
    norm = with_parameters(text.Float32LayerNorm(24), tensors)
    with torch.no_grad():
        assert difference(norm(tensors["x"]), tensors["out"]) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("upsample_conv", Upsample(4, 2, with_conv=True)),
        ("downsample_conv", Downsample(4, 2, with_conv=True)),
        ("downsample_avg", Downsample(4, 2, with_conv=False)),
    ],
)
def test_resampling(name: str, layer: nn.Module) -> None:
    tensors = recorded(name)
    with torch.no_grad():
        assert difference(with_parameters(layer, tensors)(tensors["x"]), tensors["out"]) < TOLERANCE
