"""Adapters and handovers of which each breaks one rule. Imported as a plugin's modules are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from glidepath.core import Adapter, Codec, Handover, PartError


class SoundAdapter(Adapter):
    """The denoiser's weights, larger by a tenth; a file has one number more."""

    def __init__(self, config: Any = None) -> None:
        self.factor = torch.tensor(1.1)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        if set(tensors) != {"factor"}:
            raise PartError(f"the file has {', '.join(tensors)}, and no factor")
        self.factor = tensors["factor"]

    def apply(self, networks: Mapping[str, nn.Module]) -> None:
        with torch.no_grad():
            for parameter in networks["denoiser"].parameters():
                parameter.mul_(self.factor)


class Explodes(SoundAdapter):
    def __init__(self, config: Any = None) -> None:
        self.factor = torch.tensor(float("inf"))


class Rounds(SoundAdapter):
    def apply(self, networks: Mapping[str, nn.Module]) -> None:
        super().apply(networks)
        networks["denoiser"].to(torch.float32)


class TakesAnything(SoundAdapter):
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.factor = next(iter(tensors.values())).mean()


class SoundHandover(Handover):
    """The images, resized."""

    strength = 0.3

    def __init__(self, config: Any = None) -> None:
        self.config = config

    def x_0(
        self, x: Tensor, before: Codec, codec: Codec, size: Sequence[int], noise: Tensor | None
    ) -> Tensor:
        return nn.functional.interpolate(x, size=tuple(codec.latent_size(size)))


class KeepsItsSize(SoundHandover):
    def x_0(
        self, x: Tensor, before: Codec, codec: Codec, size: Sequence[int], noise: Tensor | None
    ) -> Tensor:
        return x


class TakesAllAndMore(SoundHandover):
    strength = 1.5


class HandsHalves(SoundHandover):
    def x_0(
        self, x: Tensor, before: Codec, codec: Codec, size: Sequence[int], noise: Tensor | None
    ) -> Tensor:
        return super().x_0(x, before, codec, size, noise).half()
