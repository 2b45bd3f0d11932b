"""TarFlow: a normalising flow of causal transformers (Zhai et al. 2024, arXiv:2412.06329).

Each layer reads an image as a row of N patches of D values, and moves each patch by what stands before it:
z_i = (x_i - mu_i) exp(-alpha_i), where mu_i and alpha_i are functions of x_1 ... x_{i-1} and the text
(equation 5). Its Jacobian is triangular, so log |det| = -sum of all alpha (equation 6). Layers read the row
forwards and backwards in turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from glidepath.core import Conditioning, Noise, State
from glidepath_families.config import FlowConfig
from glidepath_families.generator import ImageGenerator
from glidepath_families.rows import RowModel
from glidepath_families.transformer import patched, unpatched

_STEEPEST = 3.0
"""The most that a layer scales by is e to this: without a bound, rounding grows without one."""


class FlowLayer(nn.Module):
    """One triangular map of rows [B, N, D]."""

    def __init__(self, config: FlowConfig, length: int, size: int, *, backwards: bool) -> None:
        super().__init__()
        self.backwards = backwards
        self.enter = nn.Linear(size, config.width)
        self.rows = RowModel(config.text_width, config.width, config.depth, config.heads, length)
        self.leave = nn.Linear(config.width, 2 * size)
        nn.init.zeros_(self.leave.weight)  # the layer begins as the identity
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, conditioning: Conditioning) -> tuple[Tensor, Tensor]:
        """z of x, [B, N, D], and log |det dz/dx|, [B]."""
        x = x.flip(1) if self.backwards else x
        mu, alpha = self.moved(self.rows(self.enter(x), conditioning))
        z = (x - mu) * (-alpha).exp()
        return (z.flip(1) if self.backwards else z), -alpha.sum((1, 2))

    def inverse(self, z: Tensor, conditioning: Conditioning) -> Tensor:
        """x of z, patch by patch."""
        z = z.flip(1) if self.backwards else z
        reading, made = self.rows.reading(conditioning), list[Tensor]()
        for index in range(z.shape[1]):
            mu, alpha = self.moved(reading.h())
            made.append(z[:, index : index + 1] * alpha.exp() + mu)
            reading.say(self.enter(made[-1]))
        x = torch.cat(made, 1)
        return x.flip(1) if self.backwards else x

    def moved(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """mu and alpha, [B, L, D] each."""
        mu, alpha = self.leave(h).chunk(2, dim=-1)
        return mu, _STEEPEST * torch.tanh(alpha / _STEEPEST)


class Flow(ImageGenerator):
    """An exactly invertible map of images to normal noise, and so an exact likelihood."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        channels, (height, width) = config.channels, config.image_size
        self.image_shape = (channels, height, width)
        self.reads = frozenset() if config.text_width is None else frozenset({"text"})
        length, size = height * width // config.patch**2, channels * config.patch**2
        self.layers = nn.ModuleList(
            FlowLayer(config, length, size, backwards=bool(index % 2)) for index in range(config.layers)
        )
        self.steps = config.layers

    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Iterator[State]:
        """One layer undone after the other."""
        rows = self.config.temperature * patched(x, self.config.patch)
        for index, layer in enumerate(reversed(self.layers)):
            assert isinstance(layer, FlowLayer)
            rows = layer.inverse(rows, conditioning)
            made = unpatched(rows, self.config.patch, self.image_shape)
            yield State(index + 1, self.steps, made, made)

    def log_likelihood(self, x_0: Tensor, conditioning: Conditioning, noise: Noise | None = None) -> Tensor:
        """Exact: log N(z; 0, I) + log |det dz/dx| (equation 4)."""
        z, log_det = self.encoded(x_0, conditioning)
        normal = -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        return normal + log_det

    def encoded(self, x_0: Tensor, conditioning: Conditioning) -> tuple[Tensor, Tensor]:
        """z of x_0, of its shape, and log |det dz/dx|, [B]."""
        rows = patched(x_0, self.config.patch)
        total = rows.new_zeros(len(rows))
        for layer in self.layers:
            rows, log_det = layer(rows, conditioning)
            total = total + log_det
        return unpatched(rows, self.config.patch, self.image_shape), total

    def latent(self, x_0: Tensor, conditioning: Conditioning) -> Tensor:
        """z, flat."""
        return self.encoded(x_0, conditioning)[0].flatten(1)

    def from_latent(self, latent: Tensor, conditioning: Conditioning) -> Tensor:
        """x_0 of z."""
        rows = patched(latent.reshape(-1, *self.image_shape), self.config.patch)
        for layer in reversed(self.layers):
            assert isinstance(layer, FlowLayer)
            rows = layer.inverse(rows, conditioning)
        return unpatched(rows, self.config.patch, self.image_shape)
