"""IP-adapters: attention to an image prompt, beside that to the text (Ye et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from glidepath.core import Adapter, PartError
from glidepath.plugins.diffusers.lora import foreign_networks
from glidepath.plugins.diffusers.steering_configs import IpAdapterConfig

_PIECES = ("image_proj", "ip_adapter")


class IpAdapter(Adapter):
    """Gives a UNet attention to the condition that `added_cond_kwargs.image_embeds` gets."""

    def __init__(self, config: IpAdapterConfig) -> None:
        self.scale = config.scale
        self.pieces: dict[str, dict[str, Tensor]] = {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Sort the tensors of its file: the projection of the image prompt, and the attention to it.

        Raises:
            PartError: there are others, or one of the two is absent.
        """
        pieces: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            piece, _, rest = name.partition(".")
            pieces.setdefault(piece, {})[rest] = tensor
        if sorted(pieces) != sorted(_PIECES):
            raise PartError(
                f"the file is of no IP-adapter: its names begin with {', '.join(sorted(pieces))}, and those "
                f"of one with {' and '.join(_PIECES)}"
            )
        self.pieces = pieces

    def apply(self, networks: Mapping[str, nn.Module]) -> None:
        """Put its layers into the UNet, after those of IP-adapters before it.

        Raises:
            PartError: there is no UNet of diffusers, it was given no file, or that is of another UNet.
        """
        unet: Any = foreign_networks(networks).get("unet")
        if unet is None or not self.pieces:
            raise PartError("an IP-adapter needs a UNet of diffusers, and the file of its weights")
        earlier = {name: one for name, one in unet.attn_processors.items() if hasattr(one, "to_k_ip")}
        projections = [*unet.encoder_hid_proj.image_projection_layers] if earlier else []
        try:
            unet._load_ip_adapter_weights([self.pieces], low_cpu_mem_usage=False)
        except (KeyError, RuntimeError) as error:
            raise PartError(f"the file of the IP-adapter does not fit this UNet: {error}") from error
        for name, processor in unet.attn_processors.items():
            if not hasattr(processor, "to_k_ip"):
                continue
            processor.scale = [self.scale]
            if before := earlier.get(name):
                processor.to_k_ip = nn.ModuleList([*before.to_k_ip, *processor.to_k_ip])
                processor.to_v_ip = nn.ModuleList([*before.to_v_ip, *processor.to_v_ip])
                processor.scale = [*before.scale, self.scale]
                processor.num_tokens = [*before.num_tokens, *processor.num_tokens]
        layers = unet.encoder_hid_proj.image_projection_layers
        unet.encoder_hid_proj.image_projection_layers = nn.ModuleList([*projections, *layers])
        self.pieces = {}
