"""ControlNets: networks beside the denoiser, which tell it at each step what the image is to follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from glidepath.core import Step
from glidepath.plugins.diffusers.configs import ControlNetConfig
from glidepath.plugins.diffusers.saved import read_config
from glidepath.plugins.diffusers.wrapped import Wrapped, build_network


class Control(nn.Module, ABC):
    """Adds to what a denoiser of diffusers is told at each step.

    Subclasses set `picture`, the name of the condition that they read: [B, 3, H, W] in [0, 1].
    """

    picture: str

    def is_asked(self, step: Step) -> bool:
        """Whether it has a say in this step."""
        return True

    @abstractmethod
    def add(
        self, said: Mapping[str, Any], x: Tensor, t: Tensor, arguments: Mapping[str, Any], picture: Tensor
    ) -> dict[str, Any]:
        """Arguments of the denoiser, with those that others have said, to which it adds its own.

        x [B, C, H, W] and t [B] are what the denoiser gets; arguments: what it gets beside them.
        """


class ControlNet(Wrapped, Control):
    """A ControlNet of a UNet (Zhang et al. 2023): residuals that join its skip connections."""

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__()
        self.network = build_network(read_config(config.config))
        self.picture, self.scale = config.picture, config.scale
        self.begin, self.end = config.begin, config.end

    def is_asked(self, step: Step) -> bool:
        """Whether the whole step lies within `begin` and `end`, which are shares of all steps."""
        return step.index / step.num_steps >= self.begin and (step.index + 1) / step.num_steps <= self.end

    def add(
        self, said: Mapping[str, Any], x: Tensor, t: Tensor, arguments: Mapping[str, Any], picture: Tensor
    ) -> dict[str, Any]:
        """`down_block_additional_residuals` and `mid_block_additional_residual`, summed."""
        down, middle = self.network(
            x,
            t,
            arguments["encoder_hidden_states"],
            picture,
            conditioning_scale=self.scale,
            added_cond_kwargs=arguments.get("added_cond_kwargs"),
            return_dict=False,
        )
        before = said.get("down_block_additional_residuals")
        if before is not None:
            down = [one + other for one, other in zip(before, down, strict=True)]
            middle = said["mid_block_additional_residual"] + middle
        return {
            **said,
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }
