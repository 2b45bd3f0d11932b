"""LoRA: low-rank changes to the weights of networks that are built (Hu et al. 2021), through peft."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any
from warnings import catch_warnings, filterwarnings

import torch
from torch import Tensor, nn

from glidepath.core import Adapter, PartError
from glidepath.plugins.diffusers.lora_keys import MAIN, Change, layer_names, read_changes
from glidepath.plugins.diffusers.steering_configs import LoraConfig
from glidepath.plugins.diffusers.wrapped import STEP, Wrapped


class Lora(Adapter):
    """A file of low-rank changes to the denoiser and the text encoders.

    scale: what the changes are multiplied by. Where they are not merged it may be set at any time.
    """

    def __init__(self, config: LoraConfig) -> None:
        self.scale = config.scale
        self.low, self.high = config.low, config.high
        self.everywhere = config.low == 0 and config.high == math.inf
        self.merges = config.merge and self.everywhere
        self.tensors: Mapping[str, Tensor] = {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep the changes until the networks are there."""
        self.tensors = tensors

    def apply(self, networks: Mapping[str, nn.Module]) -> None:
        """Merge the changes into the weights, or put them beside these.

        Raises:
            PartError: the file does not fit the networks, or is to act at some levels of a denoiser that does
                not tell its level.
        """
        found = foreign_networks(networks)
        if not self.everywhere and not isinstance(networks["denoiser"], Wrapped):
            what = type(networks["denoiser"]).__name__
            raise PartError(f"low and high are for networks of diffusers, and the denoiser is {what}")
        by_role = {name if name.startswith("text") else MAIN: network for name, network in found.items()}
        names = {
            role: layer_names(type(network).__name__, _config(network), _sizes(network))
            for role, network in by_role.items()
        }
        changes = read_changes(self.tensors, names)
        fitted = {role: _fitted(by_role[role], own) for role, own in changes.items()}
        for role, own in fitted.items():
            self._attach(by_role[role], own)
        self.tensors = {}

    def weight(self) -> float:
        """What multiplies the changes now: `scale`, or 0 at a step outside low < sigma / alpha <= high."""
        step = STEP.get()
        if self.everywhere or step is None or self.low < step.sigma_over_alpha <= self.high:
            return self.scale
        return 0.0

    def _attach(self, network: nn.Module, changes: Mapping[str, Change]) -> None:
        for scales_rows in (False, True):
            own = {path: change for path, change in changes.items() if change.scales_rows == scales_rows}
            if not own:
                continue
            name = _inject(network, own, scales_rows)
            for path in own:
                layer: Any = network.get_submodule(path)
                layer.scaling = _Scales(layer.scaling, name, self)
                if self.merges:
                    layer.merge(adapter_names=[name])
                    layer.merged_adapters.clear()  # merged for good: others may stay beside the weight
                    layer.set_adapter([other for other in layer.scaling if other != name])
                    layer.delete_adapter(name)
                    if not layer.scaling:
                        _replace(network, path, layer.get_base_layer())
            if self.merges:
                del network.peft_config[name]  # type: ignore[union-attr, operator]
        for layer in _adapted(network):
            layer.set_adapter(list(layer.scaling))


class _Scales(dict[str, float]):
    """alpha / rank of each change of a layer, times what the change weighs when it is asked."""

    def __init__(self, given: Mapping[str, float], name: str, lora: Lora) -> None:
        super().__init__(given)
        self.loras: dict[str, Lora] = {**(given.loras if isinstance(given, _Scales) else {}), name: lora}

    def __getitem__(self, name: str) -> float:
        scale, lora = super().__getitem__(name), self.loras.get(name)
        return scale if lora is None else scale * lora.weight()


def foreign_networks(networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The networks of a pipeline by the names of their folders: `unet` or `transformer`, `text_encoder`...

    Those of diffusers and transformers stand without what is around them.
    """
    denoiser = networks["denoiser"]
    main: nn.Module = denoiser.network if isinstance(denoiser, Wrapped) else denoiser
    found = {"unet" if type(main).__name__.startswith("UNet") else "transformer": main}
    encoders = networks["text_encoder"].modules() if "text_encoder" in networks else ()
    wrapped = [encoder for encoder in encoders if isinstance(encoder, Wrapped)]
    for number, encoder in enumerate(wrapped, start=1):
        found["text_encoder" if number == 1 else f"text_encoder_{number}"] = encoder.network
    return found


def _config(network: nn.Module) -> Mapping[str, object]:
    config: Any = getattr(network, "config", {})
    return config if isinstance(config, Mapping) else {}


def _sizes(network: nn.Module) -> dict[str, int]:
    """How many rows the weight of each layer has that LoRA may change, by path."""
    return {path: _weight(layer).shape[0] for path, layer in _layers(network)}


def _layers(network: nn.Module) -> Iterable[tuple[str, nn.Module]]:
    """Linear layers and convolutions, also with changes beside them."""
    beside = tuple(f"{path}." for path, layer in network.named_modules() if hasattr(layer, "base_layer"))
    for path, layer in network.named_modules():
        is_known = isinstance(_base(layer), nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        if is_known and not path.startswith(beside):
            yield path, layer


def _base(layer: Any) -> nn.Module:
    """The layer itself, under the changes beside it."""
    found: nn.Module = getattr(layer, "base_layer", layer)
    return found


def _weight(layer: nn.Module) -> Tensor:
    weight: Tensor = _base(layer).weight  # type: ignore[assignment]
    return weight


def _fitted(network: nn.Module, changes: Mapping[str, Change]) -> dict[str, Change]:
    """Changes in float32 and in the shapes of the weights: some write convolutions of 1 x 1 as matrices.

    Raises:
        PartError: one does not fit.
    """
    fitted = {}
    for path, change in changes.items():
        weight = _weight(network.get_submodule(path))
        down, up = change.tensors["lora_A.weight"], change.tensors["lora_B.weight"]
        if down[0].numel() != weight[0].numel():
            raise PartError(
                f"the file of LoRA does not fit {path}, a weight of {list(weight.shape)}: it changes one of "
                f"{[up.shape[0], *down.shape[1:]]}"
            )
        kernel = (1,) * (weight.ndim - 2)
        shaped = {
            "lora_A.weight": down.reshape(change.rank, *weight.shape[1:]),
            "lora_B.weight": up.reshape(up.shape[0], change.rank, *kernel),
        }
        if change.scales_rows:
            lengths = change.tensors["lora_magnitude_vector"]
            shaped["lora_magnitude_vector"] = lengths.reshape(1, -1, *kernel) if kernel else lengths
        in_full = {name: tensor.to(torch.float32) for name, tensor in shaped.items()}
        fitted[path] = Change(in_full, change.alpha)
    return fitted


def _inject(network: nn.Module, changes: Mapping[str, Change], scales_rows: bool) -> str:
    """Put changes beside the weights of a network, and say under which name."""
    import peft

    taken = getattr(network, "peft_config", {})
    name = next(name for number in range(len(taken) + 1) if (name := f"lora{number}") not in taken)
    first = next(iter(changes.values()))
    config = peft.LoraConfig(
        r=first.rank,
        lora_alpha=first.alpha,
        target_modules=list(changes),
        rank_pattern={f"^{path}": change.rank for path, change in changes.items()},
        alpha_pattern={f"^{path}": change.alpha for path, change in changes.items()},
        use_dora=scales_rows,
    )
    state = {
        f"{path}.{what}": tensor
        for path, change in changes.items()
        for what, tensor in change.tensors.items()
    }
    # its own low_cpu_mem_usage would take the memory from what other threads build meanwhile, too
    with catch_warnings(), torch.device("meta"):
        filterwarnings("ignore", "Already found a `peft_config` attribute")  # several are meant
        peft.inject_adapter_in_model(config, network, name, state_dict=state)
    peft.set_peft_model_state_dict(network, state, name, low_cpu_mem_usage=True)
    return name


def _adapted(network: nn.Module) -> list[Any]:
    """The layers with changes beside them."""
    return [layer for layer in network.modules() if hasattr(layer, "base_layer")]


def _replace(network: nn.Module, path: str, layer: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    setattr(network.get_submodule(owner), name, layer)
