"""How the families read a prompt: as tokens before their own, or as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glidepath.core import Conditioning, PartError, TextEmbedding


def text_of(conditioning: Conditioning) -> TextEmbedding:
    """The text of a batch.

    Raises:
        PartError: there is none.
    """
    text = conditioning.get("text", TextEmbedding)
    if text is None:
        raise PartError("this generator reads a text, and the pipeline has no text encoder")
    return text


def present(text: TextEmbedding) -> Tensor:
    """[B, L] bool, True on real tokens."""
    if text.mask is not None:
        return text.mask
    return torch.ones(text.tokens.shape[:2], dtype=torch.bool, device=text.tokens.device)


class Prefix(nn.Module):
    """Tokens that stand before those of an image: the text's, then one that begins the image."""

    def __init__(self, text_width: int | None, width: int) -> None:
        super().__init__()
        self.begin = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.read = None if text_width is None else nn.Linear(text_width, width)

    def forward(self, conditioning: Conditioning) -> tuple[Tensor, Tensor]:
        """[B, P, width], and [B, P] bool: which of them are there."""
        begin = self.begin.expand(conditioning.batch, -1, -1)
        there = torch.ones(begin.shape[:2], dtype=torch.bool, device=begin.device)
        if self.read is None:
            return begin, there
        text = text_of(conditioning)
        tokens: Tensor = self.read(text.tokens.to(begin.dtype))
        return torch.cat([begin, tokens], 1), torch.cat([there, present(text)], 1)


class TextVector(nn.Module):
    """One vector for a prompt: its tokens, pooled by attention of learned queries; zeros without text."""

    def __init__(self, text_width: int | None, width: int, heads: int = 4) -> None:
        super().__init__()
        self.width = width
        if text_width is not None:
            self.ask = nn.Linear(text_width, heads)
            self.say = nn.Linear(heads * text_width, width)
        self.reads = text_width is not None

    def forward(self, conditioning: Conditioning) -> Tensor:
        """[B, width]."""
        if not self.reads:
            device = next(iter(self.parameters()), torch.empty(0)).device
            return torch.zeros(conditioning.batch, self.width, device=device)
        text = text_of(conditioning)
        tokens = text.tokens.to(self.ask.weight.dtype)
        scores = self.ask(tokens).masked_fill(~present(text)[:, :, None], -torch.inf)
        # a query may also look at nothing, which is all that there is without a prompt
        weights = torch.cat([torch.zeros_like(scores[:, :1]), scores], 1).softmax(1)[:, 1:]
        pooled = torch.einsum("blh,blw->bhw", weights, tokens)
        vector: Tensor = self.say(pooled.flatten(1))
        return vector
