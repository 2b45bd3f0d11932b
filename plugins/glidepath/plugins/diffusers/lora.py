"""LoRA: low-rank changes to the weights of networks that are built (Hu et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from glidepath.core import Adapter, PartError
from glidepath.plugins.diffusers.configs import LoraConfig
from glidepath.plugins.diffusers.wrapped import Wrapped

_ENDS = {
    ".lora_A.weight": ".lora_B.weight",
    ".lora.down.weight": ".lora.up.weight",
    ".lora_linear_layer.down.weight": ".lora_linear_layer.up.weight",
    "_lora.down.weight": "_lora.up.weight",
}
"""How the names of the two factors of a change end: the one to the low rank, and the one back."""

_READERS = {
    "UNet2DConditionModel": "StableDiffusionXLLoraLoaderMixin",
    "SD3Transformer2DModel": "SD3LoraLoaderMixin",
    "FluxTransformer2DModel": "FluxLoraLoaderMixin",
}
"""Which class of diffusers reads the keys of the trainers for each network."""


@attrs.frozen(eq=False)
class _Change:
    """What is added to one weight: alpha / rank times up x down."""

    down: Tensor
    up: Tensor
    alpha: float | None

    def of(self, weight: Tensor) -> Tensor:
        """In the shape of the weight, float32."""
        rank = self.down.shape[0]
        product = self.up.to(torch.float32).flatten(1) @ self.down.to(torch.float32).flatten(1)
        factor = 1.0 if self.alpha is None else self.alpha / rank
        return factor * product.reshape(weight.shape).to(weight.device)


class Lora(Adapter):
    """Merges a file of low-rank changes into the denoiser and the text encoders."""

    def __init__(self, config: LoraConfig) -> None:
        self.scale = config.scale
        self.tensors: Mapping[str, Tensor] = {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep the changes until the networks are there."""
        self.tensors = tensors

    def apply(self, networks: Mapping[str, nn.Module]) -> None:
        """Add the changes to the weights.

        Raises:
            PartError: the file does not fit the networks.
        """
        merge_lora(foreign_networks(networks), self.tensors, self.scale)
        self.tensors = {}


def foreign_networks(networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The networks of diffusers and transformers in a pipeline, by the names of their folders.

    Raises:
        PartError: the denoiser is none of diffusers.
    """
    denoiser = networks["denoiser"]
    if not isinstance(denoiser, Wrapped):
        raise PartError(f"it changes networks of diffusers, and the denoiser is {type(denoiser).__name__}")
    main: nn.Module = denoiser.network
    found = {"unet" if type(main).__name__.startswith("UNet") else "transformer": main}
    encoders = networks["text_encoder"].modules() if "text_encoder" in networks else ()
    wrapped = [encoder for encoder in encoders if isinstance(encoder, Wrapped)]
    for number, encoder in enumerate(wrapped, start=1):
        found["text_encoder" if number == 1 else f"text_encoder_{number}"] = encoder.network
    return found


def merge_lora(networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], scale: float) -> None:
    """Add what a file of LoRA changes, `scale` times, to the weights.

    networks: of diffusers and transformers by the name of their folder: `unet` or `transformer`,
        `text_encoder`, `text_encoder_2`.

    Raises:
        PartError: the file changes nothing of these networks, changes what they do not have, or changes
            weights in another way than by a product of two factors.
    """
    changes = dict(_changes(networks, tensors))
    strangers = sorted({name.partition(".")[0] for name in changes} - set(networks))
    if strangers or not changes:
        what = f"changes {', '.join(strangers)}" if strangers else "changes nothing"
        raise PartError(f"the file of LoRA {what}, and there are {', '.join(networks)} here")
    for name, change in changes.items():
        part, _, path = name.partition(".")
        weight = _layer(networks[part], part, path).weight
        if change.up.shape[0] * change.down[0].numel() != weight.numel():
            raise PartError(f"the file of LoRA does not fit {name}, a weight of {list(weight.shape)}")
        with torch.no_grad():
            weight.copy_(weight.to(torch.float32) + scale * change.of(weight))


def _changes(
    networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]
) -> Iterator[tuple[str, _Change]]:
    """Every change of a file, by part and path: "unet.mid_block.attentions.0.proj_in"."""
    state, alphas = _read(networks, tensors)
    rest = dict(state)
    for name, down in state.items():
        end = next((end for end in _ENDS if name.endswith(end)), None)
        if end is None:
            continue
        bare = name.removesuffix(end)
        up = rest.pop(bare + _ENDS[end], None)
        if up is None:
            raise PartError(f"the file of LoRA has {name}, and not the other factor, {bare + _ENDS[end]}")
        del rest[name]
        path = bare.replace(".processor.", ".")
        path = f"{path}.0" if path.endswith(".to_out") else path
        # readers name the alpha after the layer, or after the whole of the factor's name
        alpha = alphas.get(f"{bare}.alpha", alphas.get(f"{name}.alpha", rest.pop(f"{bare}.alpha", None)))
        yield path, _Change(down, up, None if alpha is None else float(alpha))
    if rest:
        raise PartError(
            f"the file of LoRA has {len(rest)} tensors that are no products of two factors, such as "
            f"{min(rest)}; only these are known"
        )


def _read(
    networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]
) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    """The tensors under the names of diffusers, and the alphas that stand apart from them."""
    import diffusers.loaders

    main = next((network for name, network in networks.items() if not name.startswith("text")), None)
    reader = _READERS.get(type(main).__name__)
    if main is None or reader is None:
        raise PartError(f"no reader of LoRA is known for {type(main).__name__}")
    config: Any = main.config
    # the numbers of blocks of kohya's keys are those of another program, and its layout tells which
    about: dict[str, Any] = (
        {"unet_config": config} if reader.startswith("StableDiffusionXL") else {"return_alphas": True}
    )
    if any(name.endswith(("dora_scale", "lora_magnitude_vector.weight")) for name in tensors):
        raise PartError("the file of LoRA scales weights too (DoRA), which is not known")
    found = getattr(diffusers.loaders, reader).lora_state_dict(dict(tensors), **about)
    state, alphas = found if isinstance(found, tuple) else (found, {})
    return state, alphas or {}


def _layer(network: nn.Module, part: str, path: str) -> Any:
    """A layer by its path; older files call the layers of a text encoder by another name."""
    for tried in (path, path.removeprefix("text_model."), f"text_model.{path}"):
        try:
            return network.get_submodule(tried)
        except AttributeError:
            continue
    raise PartError(f"the file of LoRA changes {part}.{path}, which {type(network).__name__} does not have")
