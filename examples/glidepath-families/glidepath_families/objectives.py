"""What the families learn from: objectives of glidepath's trainer `objectives`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from glidepath.core import Conditioning, Generator
from glidepath_families.autoregressive import Autoregressive
from glidepath_families.diffusion import Diffusion
from glidepath_families.flow import Flow
from glidepath_families.generator import draws as draws_of
from glidepath_families.objective_config import BoundConfig, LikelihoodConfig, StageConfig
from glidepath_families.vae import Vae


class Likelihood:
    """Of the family `flow`: maximum likelihood, in bits for each value of an image.

    Images of 8 bits are moved by less than a level, so that their density is one of numbers (Uria et al.
    2013, "RNADE", section 5.1).
    """

    name = "likelihood"

    def __init__(self, config: LikelihoodConfig) -> None:
        self.config = config

    def loss(
        self, generator: Generator, x_0: Tensor, conditioning: Conditioning, draws: torch.Generator
    ) -> Tensor:
        """The mean of -log2 p for each value."""
        moved = torch.rand(x_0.shape, generator=draws) - 0.5
        more = self.config.noise * torch.randn(x_0.shape, generator=draws)
        x_0 = x_0 + (self.config.level * moved + more).to(x_0.device)
        return bits(cast(Flow, generator).log_likelihood(x_0, conditioning), x_0, self.config.level)

    def probe(self, generator: Generator, x_0: Tensor, conditioning: Conditioning) -> Mapping[str, float]:
        """Bits for each value, of images in the middle of their levels."""
        found = cast(Flow, generator).log_likelihood(x_0, conditioning)
        return {"bits_per_dimension": float(bits(found, x_0, self.config.level))}


class Reconstruction:
    """Of the family `autoregressive`: its autoencoder first learns to give images back."""

    name, only = "reconstruction", ("autoencoder",)

    def __init__(self, config: StageConfig) -> None:
        self.steps = config.steps

    def loss(
        self, generator: Generator, x_0: Tensor, conditioning: Conditioning, draws: torch.Generator
    ) -> Tensor:
        """The mean squared error."""
        made: Tensor = cast(Autoregressive, generator).autoencoder(x_0)
        return (made - x_0).square().mean()


class NextToken:
    """Of the family `autoregressive`: its transformer then learns which token follows."""

    name, only, text = "next-token", ("embed", "rows", "leave"), True

    def loss(
        self, generator: Generator, x_0: Tensor, conditioning: Conditioning, draws: torch.Generator
    ) -> Tensor:
        """The cross-entropy of a token, in nats."""
        return cast(Autoregressive, generator).cross_entropy(x_0, conditioning)

    def probe(self, generator: Generator, x_0: Tensor, conditioning: Conditioning) -> Mapping[str, float]:
        """How many of the tokens are in use, and the error of the autoencoder."""
        autoencoder = cast(Autoregressive, generator).autoencoder
        tokens = autoencoder.tokens(x_0)
        error = (autoencoder(x_0) - x_0).square().mean()
        return {
            "tokens_used": float(torch.bincount(tokens.flatten()).count_nonzero()),
            "reconstruction_error": float(error),
        }


class Bound:
    """Of the family `vae`: the evidence lower bound, with free bits, in bits for each value of an image.

    Kingma et al. 2016, "Improving Variational Inference with Inverse Autoregressive Flow", equation 15: of
    each layer, the first `free_bits` of its divergence, on the mean over a batch, cost nothing.
    """

    name = "bound"

    def __init__(self, config: BoundConfig) -> None:
        self.config = config

    def loss(
        self, generator: Generator, x_0: Tensor, conditioning: Conditioning, draws: torch.Generator
    ) -> Tensor:
        """The mean of the bound on -log2 p for each value."""
        config, device = self.config, x_0.device
        x_0 = x_0 + config.level * (torch.rand(x_0.shape, generator=draws) - 0.5).to(device)

        def noise(index: int, like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=draws).to(device)

        found = cast(Vae, generator).explained(x_0, conditioning, noise)
        least = config.free_bits * math.log(2)
        paid = torch.stack([it.mean().clamp(min=least) for it in found.kls]).sum()
        return bits(found.reconstruction - paid, x_0, config.level)

    def probe(self, generator: Generator, x_0: Tensor, conditioning: Conditioning) -> Mapping[str, float]:
        """The bound without free bits, in bits for each value, and how many bits all latents hold."""
        noise = draws_of(len(x_0))
        found = cast(Vae, generator).explained(x_0, conditioning, noise.step)
        held = torch.stack(found.kls).sum(0).mean() / math.log(2)
        return {
            "bits_per_dimension": float(bits(found.bound, x_0, self.config.level)),
            "latent_bits": float(held),
        }


class Denoising:
    """Of the family `diffusion`: the simple objective."""

    name = "denoising"

    def loss(
        self, generator: Generator, x_0: Tensor, conditioning: Conditioning, draws: torch.Generator
    ) -> Tensor:
        """The mean squared error of what the denoiser predicts."""
        return cast(Diffusion, generator).squared_error(x_0, conditioning, draws)


def bits(log_likelihood: Tensor, x_0: Tensor, level: float) -> Tensor:
    """Bits for each value of 8 bits, a scalar: of a density in nats, [B], whose levels are `level` apart."""
    values = x_0[0].numel()
    return -(log_likelihood.mean() / values + math.log(level)) / math.log(2)
