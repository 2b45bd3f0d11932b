"""Samplers that clip each predicted x_0 where it has bounds."""

from __future__ import annotations

from typing import Self

import attrs

from glidepath.core import Codec, Sampler
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig, PndmConfig
from glidepath.plugins.samplers.grid_configs import GridConfig


class ClippingSampler(Sampler):
    """A sampler with what all parameters have: steps, the scale of the first noise, where x_0 is clipped.

    clip: each predicted x_0 is clipped to [-clip, clip]; None: it is not.
    """

    def __init__(self, config: DdpmConfig | DdimConfig | GridConfig | PndmConfig) -> None:
        self.config = config
        self.steps = config.steps
        self.temperature = config.temperature
        self.start = config.start
        self.known = config.known
        self.clip = config.clip_range if config.clip else None

    def for_codec(self, codec: Codec) -> Self:
        """Itself; where `clip` is auto and x_0 has no bounds, one that does not clip."""
        if codec.bounded or self.config.clip != "auto":
            return self
        return type(self)(attrs.evolve(self.config, clip=False))
