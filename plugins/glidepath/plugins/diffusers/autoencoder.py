"""Autoencoders of diffusers: latents in place of pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from glidepath.core import Codec, all_finite
from glidepath.plugins.diffusers.configs import AutoencoderConfig
from glidepath.plugins.diffusers.original import vae_tensors
from glidepath.plugins.diffusers.saved import latent_channels, latent_factor, read_config
from glidepath.plugins.diffusers.wrapped import Wrapped, build_network

_PRECISION = threading.RLock()
"""Held while a network of float16 runs, whose precision may change meanwhile."""


class Autoencoder(Wrapped, Codec):
    """`AutoencoderKL` or `AutoencoderTiny`; x_0 = scale (z - shift), in the numbers of its config.json.

    scale is `scaling_factor`, and shift `shift_factor`. Where the file has `latents_mean` and `latents_std`,
    for each channel, shift is the one, and scale is divided by the other.
    """

    bounded = False
    scale: Tensor
    shift: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        saved = read_config(config.config)
        self.network: Any = build_network(saved)
        self.channels = latent_channels(saved)
        self.factor = latent_factor(saved)
        scale, shift = saved.get("scaling_factor") or 1, saved.get("shift_factor") or 0
        mean, std = saved.get("latents_mean") or shift, saved.get("latents_std") or 1
        self.register_buffer("scale", scale / _by_channel(std), persistent=False)
        self.register_buffer("shift", _by_channel(mean), persistent=False)
        self._narrow = config.dtype == "float16" and not saved.get("force_upcast")
        if self._narrow or config.dtype == "bfloat16":
            self._cast(getattr(torch, config.dtype))
        if config.tiled:
            self.network.enable_tiling()
        if config.sliced:
            self.network.enable_slicing()

    def read_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Its tensors in a published file, also of a whole model or under older names."""
        return super().read_weights(vae_tensors(tensors, self.network))

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """[B, 3, H, W] uint8 -> [B, C, H / factor, W / factor] float32; noise draws from the posterior."""
        return self.encode_pixels(images.to(torch.float32) / 127.5 - 1, noise)

    def encode_pixels(self, pixels: Tensor, noise: Tensor | None = None) -> Tensor:
        """The same, from pixels [B, 3, H, W] in [-1, 1], which may lie between two levels."""

        def encoded(pixels: Tensor) -> Tensor:
            made = self.network.encode(pixels)
            if hasattr(made, "latents"):  # of a tiny one, which has no posterior
                z = made.latents
            elif noise is None:
                z = made.latent_dist.mode()
            else:
                z = made.latent_dist.mean + made.latent_dist.std * noise.to(self.dtype)
            return z  # type: ignore[no-any-return]

        return self.scale * (self._run(encoded, pixels) - self.shift)

    def decode(self, x: Tensor) -> Tensor:
        """[B, C, h, w] float32 -> [B, 3, factor h, factor w] uint8; values outside [-1, 1] are clamped."""
        pixels = self._run(lambda z: self.network.decode(z).sample, x / self.scale + self.shift)
        return ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)

    def _run(self, network: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
        """What the network makes of something, float32; computed so where numbers of float16 end too soon."""
        if not self._narrow:
            return network(given.to(self.dtype)).to(torch.float32)
        with _PRECISION:
            made = network(given.to(self.dtype)).to(torch.float32)
            if all_finite(made):
                return made
            try:
                self._cast(torch.float32)
                return network(given.to(torch.float32))
            finally:
                self._cast(torch.float16)

    def _cast(self, dtype: torch.dtype) -> None:
        with torch.inference_mode(False):
            nn.Module.to(self.network, dtype)  # its own warns of what has no layers to keep


def _by_channel(values: Any) -> Tensor:
    """One number for all channels, or one for each: [1 or C, 1, 1]."""
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1)
