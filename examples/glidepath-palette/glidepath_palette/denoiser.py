"""What reads the condition.

Shapes: B samples, L tokens of the text, K = MOST colours, W token width.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor, nn

from glidepath.core import (
    Condition,
    Conditioning,
    Denoiser,
    NoiseLevels,
    PartError,
    Predict,
    TextEmbedding,
)
from glidepath_palette.config import WithPaletteConfig
from glidepath_palette.palette import MOST, Palette


class WithPalette(Denoiser):
    """Any denoiser that reads a text: each colour is a further token of it.

    A colour's token is a linear function of it, and of its place; where there is none, a token that is
    learned. Its other attributes are those of the denoiser inside it.

    Args:
        denoiser: attends to the tokens of the text, whose width is known where the text is first seen.
    """

    def __init__(self, config: WithPaletteConfig, *, denoiser: Denoiser) -> None:
        super().__init__()
        if "text" not in denoiser.reads:
            raise PartError("with-palette needs a denoiser that reads a text, whose tokens the colours join")
        self.config = config
        self.denoiser = denoiser
        self.predicts, self.learned_variance = denoiser.predicts, denoiser.learned_variance
        self.image_shape = denoiser.image_shape
        self.num_classes, self.null_label = denoiser.num_classes, denoiser.null_label
        self.reads = denoiser.reads | {"palette"}
        width: int = denoiser.config.text_width  # type: ignore[union-attr, assignment]
        self.colour = nn.Linear(3, width)
        self.none = nn.Parameter(torch.randn(width) / width**0.5)
        self.place = nn.Parameter(torch.randn(MOST, width) / width**0.5)

    def takes(self, size: Sequence[int]) -> str:
        """As the denoiser inside it."""
        return self.denoiser.takes(size)

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """As the denoiser inside it, with the colours among the text's tokens."""
        output: Tensor = self.denoiser(x, t, self._joined(conditioning))
        return output

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """As the denoiser inside it, with the colours among the text's tokens."""
        return self.denoiser.prepare(self._joined(conditioning), levels)

    def _joined(self, conditioning: Conditioning) -> Conditioning:
        text, palette = conditioning.get("text", TextEmbedding), conditioning.get("palette", Palette)
        if text is None or palette is None:
            raise PartError("with-palette needs a text and a palette, and the conditioning has not both")
        colours = self.colour(palette.colours.to(self.none.dtype))
        tokens = torch.where(palette.mask[..., None], colours, self.none) + self.place
        rows = text.tokens.expand(len(tokens), -1, -1)
        mask = None if text.mask is None else torch.cat([text.mask.expand(len(rows), -1), ones(tokens)], 1)
        joined = attrs.evolve(text, tokens=torch.cat([rows, tokens.to(rows.dtype)], dim=1), mask=mask)
        others = conditioning.only(self.denoiser.reads).conditions
        return attrs.evolve(conditioning, conditions={**others, "text": Condition(joined)})


def ones(tokens: Tensor) -> Tensor:
    """A mask of tokens that are all read, those of no colour too: [B, K]."""
    return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
