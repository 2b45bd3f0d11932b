"""Training of LoRA (Hu et al. 2021, arXiv:2106.09685): low-rank changes beside weights, which stay.

Through peft, in any denoiser, and in the networks of transformers in a text encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from glidepath.core import PartError

if TYPE_CHECKING:
    from glidepath.plugins.train.stages.configs import LoraTraining

LORA = "lora.safetensors"
LEARNS = ("*.lora_A", "*.lora_B")
"""Patterns of the parameters that it adds."""

_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"


def add_lora(modules: nn.ModuleDict, config: LoraTraining) -> None:
    """Put low-rank changes, which are 0 at first, beside the layers of networks that `config` names.

    Raises:
        PartError: peft is not installed, or a network is none of diffusers, or has no such layer.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError:
        raise PartError("train.lora needs peft: pip install 'glidepath-diffusion[diffusers]'") from None
    of_unet = {part for part, _, _ in _networks(modules, "denoiser")} == {"unet"}
    if config.text_targets and config.keys == "kohya" and not of_unet:
        raise PartError(
            "train.lora.text_targets: kohya's keys of text encoders are those of models with a UNet; leave "
            "them out, or set keys: diffusers"
        )
    targets = {"denoiser": config.targets, "text_encoder": config.text_targets}
    if config.text_targets and "text_encoder" not in modules:
        raise PartError("train.lora.text_targets: this spec has no text encoder")
    for slot, layers in targets.items():
        for _, path, network in _networks(modules, slot) if layers else ():
            settings = LoraConfig(
                r=config.rank,
                lora_alpha=config.scale,
                target_modules=list(layers),
                lora_dropout=config.dropout,
            )
            try:
                inject_adapter_in_model(settings, network)
            except ValueError as error:
                raise PartError(f"train.lora: {path} has no layers to change: {error}") from error


def lora_tensors(
    modules: nn.ModuleDict, averaged: Mapping[str, Tensor], config: LoraTraining
) -> dict[str, Tensor]:
    """What of the weights of `modules` LoRA learned, as files of it name that.

    With the keys of diffusers alpha / rank is in the second factor already, so that readers which know no
    alpha agree with those that do; kohya's have an alpha of their own.
    """
    slots = ("denoiser", "text_encoder") if config.text_targets else ("denoiser",)
    prefixes = [named for slot in slots for named in _networks(modules, slot)]
    several = sum(part.startswith("text_encoder") for part, _, _ in prefixes) > 1
    found: dict[str, Tensor] = {}
    for name, down in averaged.items():
        if not name.endswith(_A):
            continue
        part, path, _ = next(named for named in prefixes if name.startswith(f"{named[1]}."))
        layer = name.removeprefix(f"{path}.").removesuffix(_A)
        up = averaged[name.removesuffix(_A) + _B]
        if config.keys == "kohya":
            if part.startswith("text_encoder"):  # newer transformers have left this out of its names
                layer = f"text_model.{layer.removeprefix('text_model.')}"
            key = f"{_kohya_prefix(part, several=several)}_{layer.replace('.', '_')}"
            found |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
            found[f"{key}.alpha"] = torch.tensor(float(config.scale))
        else:
            key = f"{part}.{layer}"
            found |= {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up * config.scale / config.rank}
    return found


def _kohya_prefix(part: str, *, several: bool) -> str:
    """What kohya's keys begin with: of a part as diffusers calls it, among several text encoders or not."""
    if not part.startswith("text_encoder"):
        return "lora_unet"
    number = part.removeprefix("text_encoder").removeprefix("_") or "1"
    return f"lora_te{number}" if several else "lora_te"


def _networks(modules: nn.ModuleDict, slot: str) -> Iterator[tuple[str, str, nn.Module]]:
    """The networks of a slot: what files of LoRA call them, their path among the modules, themselves."""
    if slot not in modules:
        return
    found = [
        (".".join(filter(None, (slot, name, "network"))), module.network)
        for name, module in modules[slot].named_modules()
        if isinstance(getattr(module, "network", None), nn.Module)
    ]
    if not found and slot == "denoiser":
        found = [(slot, modules[slot])]
    if not found:
        raise PartError(
            f"train.lora.text_targets: {type(modules[slot]).__name__} has no network of transformers, whose "
            "layers have names that others read"
        )
    for number, (path, network) in enumerate(found, start=1):
        if slot == "denoiser":
            yield "unet" if type(network).__name__.startswith("UNet") else "transformer", path, network
        else:
            yield "text_encoder" if number == 1 else f"text_encoder_{number}", path, network
