"""Networks, and files of LoRA for them, in the tests of LoRA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from glidepath.plugins.diffusers.lora import Lora
from glidepath.plugins.diffusers.steering_configs import LoraConfig
from glidepath.plugins.diffusers.wrapped import Wrapped

from .pieces import UNET

Given = dict[str, Tensor]
ATTENTION = ("to_q", "to_v", "to_out.0", "q_proj", "proj_in")
ALL = ("",)


def unet(**more: Any) -> Any:
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(**{**UNET, **more})


def flux() -> Any:
    torch.manual_seed(0)
    return diffusers.FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 6, 6),
        guidance_embeds=True,
    )


def sd3() -> Any:
    torch.manual_seed(0)
    return diffusers.SD3Transformer2DModel(
        sample_size=8,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pooled_projection_dim=40,
        pos_embed_max_size=16,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )


def layers(network: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            yield name, layer


def factors(network: nn.Module, ends: tuple[str, ...] = ATTENTION, rank: int = 2) -> dict[str, Given]:
    """Two factors for each layer whose path ends so, by path."""
    generator = torch.Generator().manual_seed(7)
    made = {}
    for name, layer in layers(network):
        if name.endswith(ends):
            out, into, *kernel = layer.weight.shape
            made[name] = {
                "down": torch.randn(rank, into, *kernel, generator=generator) / 2,
                "up": torch.randn(out, rank, *[1] * len(kernel), generator=generator) / 8,
            }
    return made


def product(pair: Given) -> Tensor:
    """up x down, in the shape of the weight."""
    down, up = pair["down"], pair["up"]
    return (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def named(made: dict[str, Given], prefix: str, down: str, up: str, alpha: float | None = None) -> Given:
    """The tensors of a file, by what stands before and after the path of a layer."""
    tensors = {}
    for path, pair in made.items():
        name = prefix + (path.replace(".", "_") if prefix.endswith("_") else path)
        tensors |= {f"{name}{down}.weight": pair["down"], f"{name}{up}.weight": pair["up"]}
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def changed(network: nn.Module, tensors: Given, **settings: Any) -> Lora:
    """A network changed by the tensors of a file."""
    lora = Lora(LoraConfig(**settings))
    lora.load(tensors)
    lora.apply({"denoiser": wrapped(network)})
    return lora


def wrapped(network: nn.Module) -> nn.Module:
    """As a denoiser has it."""
    around = Wrapped()
    around.network = network
    return around


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: layer.weight.detach().clone() for name, layer in layers(network)}


def assert_added(before: nn.Module, after: nn.Module, expected: dict[str, Tensor]) -> None:
    """The weights of `after` are those of `before`, and what is expected on top; no other is changed."""
    old, new = weights(before), weights(after)
    assert set(old) == set(new)
    assert expected
    for name in old:
        torch.testing.assert_close(
            new[name] - old[name], expected.get(name, torch.zeros_like(old[name])), rtol=0, atol=1e-6
        )
