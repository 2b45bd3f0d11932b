"""Networks that take less of a device than their weights do: in 8 bits, or there layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from glidepath.core.errors import PartError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from glidepath.core.image_pipeline import ImagePipeline
    from glidepath.core.offload import ByLayers

_SCALE_BYTES = 4


def quantize(pipeline: ImagePipeline) -> None:
    """Give the matrices of linear layers 8 bits, with a scale for each row, through torchao.

    Of denoisers and of what makes conditions; a codec stays as it is, and so do convolutions, embeddings and
    the factors of LoRA that were not merged.

    Raises:
        PartError: torchao is absent, or there are no linear layers.
    """
    layers = {layer for network in pipeline.networks().values() for layer in linear_layers(network)}
    if not layers:
        raise PartError(
            "runtime.quantize: int8 is for linear layers of denoisers and text encoders, and these have none"
        )
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise PartError(
            "runtime.quantize: int8 needs torchao: pip install 'glidepath-diffusion[quantize]'"
        ) from error
    for network in pipeline.networks().values():
        quantize_(network, Int8WeightOnlyConfig(version=2), lambda module, _name: module in layers)


def linear_layers(network: nn.Module) -> Iterator[nn.Linear]:
    """Those whose weights `quantize` changes."""
    from torch import nn

    from glidepath.core.conditioner import Conditioner
    from glidepath.core.model import ConditionalModel

    is_made_smaller = isinstance(network, ConditionalModel | Conditioner)
    for name, module in network.named_modules() if is_made_smaller else ():
        if type(module) is nn.Linear and "lora_" not in name:
            yield module


def wait_by_layers(pipeline: ImagePipeline) -> None:
    """Have the networks that can do so wait on the CPU layer by layer, while it is their part's turn too.

    Raises:
        PartError: none can, or what moves the layers is absent.
    """
    found = [network for whole in pipeline.networks().values() for network in by_layers(whole)]
    if not found:
        raise PartError(
            "runtime.offload: layers is for networks of diffusers and transformers, and there are none here; "
            "write parts"
        )
    for network in found:
        network.offload_layers(pipeline.device)


def by_layers(network: nn.Module) -> Iterator[ByLayers]:
    """The networks inside one that can wait layer by layer."""
    from glidepath.core.offload import ByLayers

    return (module for module in network.modules() if isinstance(module, ByLayers))


def bytes_of(network: nn.Module, quantized: bool = False) -> int:
    """The bytes of a network's parameters and buffers. quantized: as `quantize` has them."""
    tensors = (*network.parameters(), *network.buffers())
    saved = sum(_saved(layer.weight) for layer in linear_layers(network)) if quantized else 0
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) - saved


def bytes_apart(network: nn.Module, quantized: bool = False) -> dict[nn.Module, int]:
    """The bytes of each layer that is on the device only while it runs, with `runtime.offload: layers`."""
    linear = set(linear_layers(network)) if quantized else set()
    layers = {layer: None for inside in by_layers(network) for layer in inside.network.modules()}
    sizes = {
        layer: _bytes_of_own(layer) - (_saved(layer.weight) if layer in linear else 0) for layer in layers
    }
    return {layer: size for layer, size in sizes.items() if size}


def _bytes_of_own(layer: nn.Module) -> int:
    tensors = (*layer.parameters(recurse=False), *layer.buffers(recurse=False))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _saved(weight: torch.Tensor) -> int:
    return weight.numel() * (weight.element_size() - 1) - weight.shape[0] * _SCALE_BYTES
