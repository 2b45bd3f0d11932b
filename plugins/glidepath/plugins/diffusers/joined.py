"""Several text encoders as one, as SDXL, SD 3 and Flux have it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import PartError, TextEmbedding, TextEncoder
from glidepath.plugins.diffusers.configs import JoinedTextConfig
from glidepath.plugins.diffusers.text import require_list


class JoinedTextEncoder(TextEncoder):
    """Reads a prompt with several encoders, and joins what they say."""

    def __init__(self, config: JoinedTextConfig, encoders: Sequence[TextEncoder]) -> None:
        super().__init__()
        self.config = config
        self.encoders = nn.ModuleList(encoders)
        self._all = tuple(encoders)
        groups = [[self._all[index] for index in group] for group in config.tokens]
        widths = [sum(encoder.token_width for encoder in group) for group in groups]
        self.token_width = max(widths)
        self.context = sum(group[0].context for group in groups)
        self.texts = tuple(f"prompt_{number}" for number in range(2, len(self._all) + 1))
        pooled = [self._all[index].pooled_width for index in config.pooled]
        without = [index for index, width in zip(config.pooled, pooled, strict=True) if width is None]
        if without:
            raise PartError(f"pooled names encoder {without[0]}, which makes no pooled vector")
        self.pooled_width = sum(width for width in pooled if width is not None) if pooled else None

    def forward(self, prompts: Sequence[str | tuple[str, ...]]) -> TextEmbedding:
        """tokens [B, L, W] and pooled [B, D], joined; no mask: every position is read.

        prompts: B texts, each for all encoders, or tuples with a text for each.
        """
        require_list(prompts)
        count = len(self._all)
        split = [(prompt,) * count if isinstance(prompt, str) else prompt for prompt in prompts]
        embedded: list[TextEmbedding] = [
            encoder([texts[index] for texts in split]) for index, encoder in enumerate(self._all)
        ]
        groups = [
            torch.cat([embedded[index].tokens for index in group], dim=-1) for group in self.config.tokens
        ]
        tokens = [F.pad(group, (0, self.token_width - group.shape[-1])) for group in groups]
        pooled = [_pooled(embedded[index]) for index in self.config.pooled]
        return TextEmbedding(torch.cat(pooled, dim=-1) if pooled else None, torch.cat(tokens, dim=1))

    def unconditional(self, negative: Sequence[str | tuple[str, ...]] | None = None) -> TextEmbedding:
        """The embedding of the negative prompts; of an empty one, or zeros, where there are none."""
        embedded = self.forward(negative or [""])
        if negative is not None or not self.config.zeros_for_none:
            return embedded
        pooled = None if embedded.pooled is None else torch.zeros_like(embedded.pooled)
        return TextEmbedding(pooled, torch.zeros_like(embedded.tokens))

    def truncated(self, prompt: str) -> str:
        """The longest end of a prompt that one of the encoders does not read."""
        return max((encoder.truncated(prompt) for encoder in self._all), key=len)


def _pooled(embedding: TextEmbedding) -> Tensor:
    if embedding.pooled is None:
        raise PartError("an encoder that is to give a pooled vector gave none")
    return embedding.pooled
