"""A hierarchical variational autoencoder in the manner of VDVAE (Child 2021, arXiv:2011.10650).

A top-down network draws latents layer by layer, from the smallest resolution to the image's. Each layer has a
prior p(z_l | z_<l, text), and in training a posterior q(z_l | z_<l, x_0) that sees the features which a
bottom-up network makes of the image (figure 3). The bound is
log p(x_0) >= E log p(x_0 | z) - sum of KL(q(z_l) || p(z_l)) (equation 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import Conditioning, Noise, State
from glidepath_families.blocks import ModulatedBlock
from glidepath_families.config import VaeConfig
from glidepath_families.generator import ImageGenerator, draws
from glidepath_families.text import TextVector

Normal = tuple[Tensor, Tensor]
"""Mean and log deviation, [B, z, H, W] each."""

Draw = Callable[[int, Tensor], Tensor]
"""Normal noise of a layer, by its number, of the shape and device of a tensor."""


@attrs.frozen(eq=False)
class Explained:
    """How latents explain images.

    reconstruction: log p(x_0 | z), [B]. kls: KL(q || p) of each layer, [B] each, as integrals.
    ratios: log p(z) - log q(z | x_0) of what was drawn, [B], over all layers.
    """

    reconstruction: Tensor
    kls: list[Tensor]
    ratios: Tensor

    @property
    def bound(self) -> Tensor:
        """The evidence lower bound, [B], in nats."""
        return self.reconstruction - torch.stack(self.kls).sum(0)


class LatentLayer(nn.Module):
    """One layer of the top-down network: a prior, a posterior, and what a latent does to the features."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.block = ModulatedBlock(width, width)
        self.prior = nn.Conv2d(width, 2 * latent + width, 1)
        self.posterior = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, 2 * latent, 1)
        )
        self.enter = nn.Conv2d(latent, width, 1)
        self.latent = latent

    def priors(self, h: Tensor) -> tuple[Normal, Tensor]:
        """The prior of z, and what features gain whatever z is."""
        mean, log_deviation, gain = self.prior(h).split([self.latent, self.latent, h.shape[1]], dim=1)
        return (mean, log_deviation.clamp(-7, 3)), gain

    def posteriors(self, h: Tensor, features: Tensor) -> Normal:
        """The posterior of z."""
        mean, log_deviation = self.posterior(torch.cat([h, features], 1)).chunk(2, dim=1)
        return mean, log_deviation.clamp(-7, 3)


class Vae(ImageGenerator):
    """Draws latents of a hierarchy and takes the mean of the images that they stand for."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        channels, width = config.channels, config.width
        self.image_shape = (channels, *config.image_size)
        self.reads = frozenset() if config.text_width is None else frozenset({"text"})
        self.sizes = config.sizes
        self.text = TextVector(config.text_width, width)
        self.enter = nn.Conv2d(config.values, width, 3, padding=1)
        self.up = nn.ModuleList(ModulatedBlock(width, width) for _ in self.sizes)
        self.start = nn.Parameter(torch.zeros(1, width, *self.sizes[0]))
        self.layers = nn.ModuleList(
            LatentLayer(width, config.latent) for _ in self.sizes for _ in range(config.layers)
        )
        self.leave = nn.Conv2d(width, config.values, 3, padding=1)
        self.log_deviation = nn.Parameter(torch.full((channels, 1, 1), -2.0))

    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Iterator[State]:
        """One state: the mean of p(x_0 | z), z of the priors."""
        temperature = self.config.temperature

        def drawn(index: int, prior: Normal, h: Tensor) -> Tensor:
            mean, log_deviation = prior
            return mean + temperature * log_deviation.exp() * noise.step(index, mean)

        made = self._downwards(self.text(conditioning), drawn)
        yield State(1, 1, made, made)

    def explained(self, x_0: Tensor, conditioning: Conditioning, noise: Draw) -> Explained:
        """How latents of the posteriors explain images. noise: of a layer, of the shape of a tensor."""
        features, c = self._features(x_0), self.text(conditioning)
        kls, ratios = list[Tensor](), list[Tensor]()

        def drawn(index: int, prior: Normal, h: Tensor) -> Tensor:
            posterior = self._layer(index).posteriors(h, features[h.shape[2:]])
            epsilon = noise(index, posterior[0])
            z = posterior[0] + posterior[1].exp() * epsilon
            kls.append(kl(posterior, prior).flatten(1).sum(1))
            own = -0.5 * epsilon.square() - posterior[1]
            ratios.append((_log_normal(z, prior) - own + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1))
            return z

        mean = self._downwards(c, drawn)
        reconstruction = _log_normal(x_0, (mean, self.log_deviation.expand_as(mean))).flatten(1).sum(1)
        return Explained(reconstruction, kls, torch.stack(ratios).sum(0))

    def log_likelihood(self, x_0: Tensor, conditioning: Conditioning, noise: Noise | None = None) -> Tensor:
        """By importance sampling from the posteriors: log of the mean of p(x_0, z) / q(z | x_0).

        Burda et al. 2016, "Importance Weighted Autoencoders", equation 8: a bound, and the tighter the more
        samples are drawn (`importance_samples`).
        """
        source, layers, weights = noise or draws(len(x_0)), len(self.layers), list[Tensor]()
        for sample in range(self.config.importance_samples):
            first = sample * layers
            found = self.explained(x_0, conditioning, _from(source, first))
            weights.append(found.reconstruction + found.ratios)
        return torch.stack(weights).logsumexp(0) - math.log(len(weights))

    def latent(self, x_0: Tensor, conditioning: Conditioning) -> Tensor:
        """(z - prior mean) / prior deviation, layer by layer, z the posteriors' means: like normal noise."""
        features, found = self._features(x_0), list[Tensor]()

        def drawn(index: int, prior: Normal, h: Tensor) -> Tensor:
            z, _ = self._layer(index).posteriors(h, features[h.shape[2:]])
            found.append(((z - prior[0]) * (-prior[1]).exp()).flatten(1))
            return z

        self._downwards(self.text(conditioning), drawn)
        return torch.cat(found, 1)

    def from_latent(self, latent: Tensor, conditioning: Conditioning) -> Tensor:
        """The mean image of latents, as `latent` has them."""
        rest = latent

        def drawn(index: int, prior: Normal, h: Tensor) -> Tensor:
            nonlocal rest
            count = prior[0][0].numel()
            own, rest = rest[:, :count], rest[:, count:]
            return prior[0] + prior[1].exp() * own.reshape(prior[0].shape)

        return self._downwards(self.text(conditioning), drawn)

    def _features(self, x_0: Tensor) -> dict[tuple[int, ...], Tensor]:
        """What the bottom-up network makes of images, by size."""
        h, found = self.enter(F.pixel_unshuffle(x_0, self.config.patch)), dict[tuple[int, ...], Tensor]()
        zeros = h.new_zeros(len(h), self.config.width)
        for index, (block, size) in enumerate(zip(self.up, reversed(self.sizes), strict=True)):
            h = block(F.avg_pool2d(h, 2) if index else h, zeros)
            found[size] = h
        return found

    def _downwards(self, c: Tensor, drawn: Callable[[int, Normal, Tensor], Tensor]) -> Tensor:
        """The mean image, [B, C, H, W], of latents that `drawn` says layer by layer."""
        h = self.start.expand(len(c), -1, -1, -1)
        for index in range(len(self.layers)):
            layer, size = self._layer(index), self.sizes[index // self.config.layers]
            if h.shape[2:] != size:
                h = F.interpolate(h, size=size)
            prior, gain = layer.priors(h := layer.block(h, c))
            h = h + gain + layer.enter(drawn(index, prior, h))
        return F.pixel_shuffle(self.leave(h), self.config.patch)

    def _layer(self, index: int) -> LatentLayer:
        layer = self.layers[index]
        assert isinstance(layer, LatentLayer)
        return layer


def kl(one: Normal, other: Normal) -> Tensor:
    """KL(N_1 || N_2) of each value, in nats (Kingma & Welling 2014, appendix B, for any prior)."""
    (mean, log_deviation), (prior_mean, prior_log_deviation) = one, other
    ratio = (2 * (log_deviation - prior_log_deviation)).exp()
    apart = ((mean - prior_mean) * (-prior_log_deviation).exp()).square()
    return 0.5 * (ratio + apart - 1) + prior_log_deviation - log_deviation


def _from(noise: Noise, first: int) -> Draw:
    """What layers draw from a source, from its step `first` on."""
    return lambda index, like: noise.step(first + index, like)


def _log_normal(x: Tensor, normal: Normal) -> Tensor:
    mean, log_deviation = normal
    return -0.5 * (((x - mean) * (-log_deviation).exp()).square() + math.log(2 * math.pi)) - log_deviation
