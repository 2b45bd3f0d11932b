"""DALL-E's way: a discrete autoencoder, and a transformer over text and image tokens.

Ramesh et al. 2021, "Zero-Shot Text-to-Image Generation", arXiv:2102.12092, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import Conditioning, Noise, State
from glidepath_families.config import AutoregressiveConfig
from glidepath_families.fsq import DiscreteAutoencoder
from glidepath_families.generator import ImageGenerator
from glidepath_families.rows import RowModel


class Autoregressive(ImageGenerator):
    """Draws the tokens of an image one after the other, each given the text and those before it.

    Shapes: N tokens of V kinds, row by row from the top left.
    """

    def __init__(self, config: AutoregressiveConfig) -> None:
        super().__init__()
        self.config = config
        height, width = config.image_size
        self.image_shape = (config.channels, height, width)
        self.reads = frozenset() if config.text_width is None else frozenset({"text"})
        self.grid = (height // config.factor, width // config.factor)
        self.autoencoder = DiscreteAutoencoder(
            config.channels, config.code_width, config.factor, config.levels
        )
        count = self.autoencoder.quantizer.count
        self.embed = nn.Embedding(count, config.width)
        self.rows = RowModel(
            config.text_width, config.width, config.depth, config.heads, math.prod(self.grid)
        )
        self.leave = nn.Linear(config.width, count)

    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Iterator[State]:
        """One state: a part of the tokens is no picture."""
        made = self.autoencoder.decode(self.drawn(conditioning, x, noise), self.grid)
        yield State(1, 1, made, made)

    def drawn(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Tensor:
        """[B, N] tokens. x: says device and dtype of what is drawn."""
        guided = self.config.guidance != 1 and bool(self.reads)
        both = Conditioning.cat([conditioning, conditioning.null()]) if guided else conditioning
        reading, tokens = self.rows.reading(both), list[Tensor]()
        for index in range(math.prod(self.grid)):
            logits = self.leave(reading.h())[:, 0]
            if guided:
                cond, uncond = logits.chunk(2)
                logits = torch.lerp(uncond, cond, self.config.guidance)
            uniform = torch.special.ndtr(noise.step(index, x.new_empty(len(x), 1)))
            tokens.append(_chosen(self.probabilities(logits), uniform))
            entry = self.embed(tokens[-1])
            reading.say(torch.cat([entry, entry]) if guided else entry)
        return torch.cat(tokens, 1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """[B, V], of those that may be drawn, from logits [B, V]: temperature, then top-k, then top-p.

        Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1 (top-p).
        """
        config = self.config
        logits = logits.float() / config.temperature
        if 0 < config.top_k < logits.shape[1]:
            least = logits.topk(config.top_k).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        probabilities = logits.softmax(1)
        if config.top_p < 1:
            ordered, order = probabilities.sort(1, descending=True)
            ordered = ordered.masked_fill(ordered.cumsum(1) - ordered >= config.top_p, 0)
            probabilities = torch.zeros_like(ordered).scatter(1, order, ordered)
            probabilities = probabilities / probabilities.sum(1, keepdim=True)
        return probabilities

    def logits(self, tokens: Tensor, conditioning: Conditioning) -> Tensor:
        """[B, N, V], of each token given the text and the tokens before it. tokens: [B, N]."""
        logits: Tensor = self.leave(self.rows(self.embed(tokens), conditioning))
        return logits

    def token_log_likelihood(self, tokens: Tensor, conditioning: Conditioning) -> Tensor:
        """log p(tokens | text), [B], in nats. It is no density of an image: many have its tokens."""
        log_p = self.logits(tokens, conditioning).log_softmax(-1)
        return log_p.gather(-1, tokens[..., None]).flatten(1).sum(1)

    def cross_entropy(self, x_0: Tensor, conditioning: Conditioning) -> Tensor:
        """The mean over tokens of an image's, a scalar. The autoencoder is as it is."""
        with torch.no_grad():
            tokens = self.autoencoder.tokens(x_0)
        return F.cross_entropy(self.logits(tokens, conditioning).flatten(0, 1), tokens.flatten())


def _chosen(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """[B, 1], where the running sum of probabilities [B, V] passes a number of [0, 1], [B, 1]."""
    passed = probabilities.cumsum(1)
    last = probabilities.shape[1] - 1
    # rounding may leave the sum short of 1: what is chosen has some probability all the same
    uniform = torch.minimum(uniform, passed[:, -1:] * (1 - 1e-6))
    return torch.searchsorted(passed, uniform, right=True).clamp(max=last)
