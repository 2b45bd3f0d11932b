"""ControlNets: networks beside the denoiser, which tell it at each step what the image is to follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from glidepath.core import PartError, Step
from glidepath.plugins.diffusers.patches import PATCH, packed
from glidepath.plugins.diffusers.saved import read_config
from glidepath.plugins.diffusers.steering_configs import ControlNetConfig
from glidepath.plugins.diffusers.wrapped import Wrapped, build_network

_OF_FLUX = ("encoder_hidden_states", "pooled_projections", "img_ids", "txt_ids")


class Control(nn.Module, ABC):
    """Adds to what a denoiser of diffusers is told at each step.

    Subclasses set `picture`, the name of the condition that they read: [B, 3, H, W] in [0, 1],
    or what the codec made of it.
    """

    picture: str

    def is_asked(self, step: Step) -> bool:
        """Whether it has a say in this step."""
        return True

    @abstractmethod
    def add(
        self,
        said: Mapping[str, Any],
        x: Tensor,
        t: Tensor,
        arguments: Mapping[str, Any],
        picture: Tensor,
        network: Any,
    ) -> dict[str, Any]:
        """Arguments of the denoiser, with those that others have said, to which it adds its own.

        x and t [B] are what the denoiser's `network` gets, x as a sequence of patches where it takes one;
        arguments: what it gets beside them.
        """


class ControlNet(Wrapped, Control):
    """A ControlNet (Zhang et al. 2023): residuals that join the layers of a UNet, of SD 3 or of Flux."""

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__()
        saved = read_config(config.config)
        self.network = build_network(saved)
        self.picture, self.scale, self.mode = config.picture, config.scale, config.mode
        self.begin, self.end = config.begin, config.end
        self.of = str(saved.get("_class_name"))

    def is_asked(self, step: Step) -> bool:
        """Whether the whole step lies within `begin` and `end`, which are shares of all steps."""
        return step.index / step.num_steps >= self.begin and (step.index + 1) / step.num_steps <= self.end

    def add(
        self,
        said: Mapping[str, Any],
        x: Tensor,
        t: Tensor,
        arguments: Mapping[str, Any],
        picture: Tensor,
        network: Any,
    ) -> dict[str, Any]:
        """Its residuals, in the arguments that take them, added to those of others."""
        asks = {"SD3ControlNetModel": self._of_sd3, "FluxControlNetModel": self._of_flux}
        own = asks.get(self.of, self._of_unet)(x, t, arguments, picture, network)
        return {**said, **{name: _sum(said.get(name), value) for name, value in own.items()}}

    def _of_unet(
        self, x: Tensor, t: Tensor, arguments: Mapping[str, Any], picture: Tensor, _network: Any
    ) -> dict[str, Any]:
        down, middle = self.network(
            x,
            t,
            arguments["encoder_hidden_states"],
            self._fitting(picture, self.network.config.conditioning_channels),
            conditioning_scale=self.scale,
            added_cond_kwargs=arguments.get("added_cond_kwargs"),
            return_dict=False,
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    def _of_sd3(
        self, x: Tensor, t: Tensor, arguments: Mapping[str, Any], picture: Tensor, network: Any
    ) -> dict[str, Any]:
        config, pooled = self.network.config, arguments["pooled_projections"]
        reads_text = config.joint_attention_dim is not None
        (residuals,) = self.network(
            x if config.use_pos_embed else network.pos_embed(x),
            timestep=t,
            encoder_hidden_states=arguments["encoder_hidden_states"] if reads_text else None,
            pooled_projections=torch.zeros_like(pooled)
            if config.force_zeros_for_pooled_projection
            else pooled,
            controlnet_cond=self._fitting(picture, config.in_channels + config.extra_conditioning_channels),
            conditioning_scale=self.scale,
            return_dict=False,
        )
        return {"block_controlnet_hidden_states": residuals}

    def _of_flux(
        self, x: Tensor, t: Tensor, arguments: Mapping[str, Any], picture: Tensor, _network: Any
    ) -> dict[str, Any]:
        config = self.network.config
        reads_pixels = config.conditioning_embedding_channels is not None
        given = self._fitting(picture, 3 if reads_pixels else config.in_channels // PATCH**2)
        mode = None
        if self.network.union:
            if self.mode is None:
                raise PartError(
                    "this ControlNet is several in one: `mode`, a whole number, says which is asked"
                )
            mode = torch.full((len(x), 1), self.mode, device=x.device)
        blocks, single = self.network(
            x,
            controlnet_cond=2 * given - 1 if reads_pixels else packed(given),
            controlnet_mode=mode,
            conditioning_scale=self.scale,
            timestep=t,
            guidance=arguments.get("guidance") if config.guidance_embeds else None,
            **{name: arguments[name] for name in _OF_FLUX},
            return_dict=False,
        )
        residuals = {"controlnet_block_samples": blocks, "controlnet_single_block_samples": single}
        repeat = {"controlnet_blocks_repeat": True} if reads_pixels else {}
        return {name: value for name, value in residuals.items() if value is not None} | repeat

    def _fitting(self, picture: Tensor, channels: int) -> Tensor:
        if picture.shape[1] != channels:
            raise PartError(
                f"this ControlNet reads a picture of {channels} channels, and {self.picture!r} has "
                f"{picture.shape[1]}: `encoded` of control-picture says whether the codec encodes it"
            )
        return picture


def _sum(before: Any, value: Any) -> Any:
    """Residuals of two networks: those of each layer are added."""
    if before is None or isinstance(value, bool):
        return value
    if isinstance(value, Tensor):
        return before + value
    if len(before) != len(value):
        raise PartError(f"ControlNets for {len(before)} layers and for {len(value)} cannot be added")
    return [one + other for one, other in zip(before, value, strict=True)]
