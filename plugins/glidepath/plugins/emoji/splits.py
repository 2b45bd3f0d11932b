"""What is measured: rows of a table of accuracy, each with the pictures whose captions are its prompts."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from glidepath.plugins.emoji.held_out import COLOURED
from glidepath.plugins.emoji.styles import colour_and_shape
from glidepath.plugins.emoji.table import HELD, Listing

#: "seen": trained on, without a skin tone. The others in pairs: what was kept from training, and what was
#: not where that is told apart.
SPLITS: Final = (
    "seen",
    "style held out, two seen",
    "style held out, one seen",
    "tone seen",
    "tone held out",
    "colour seen",
    "colour held out",
)

_REASONS: Final = {
    "style held out, two seen": HELD.index("style"),
    "style held out, one seen": HELD.index("style-of-two"),
    "tone held out": HELD.index("tone"),
    "colour held out": HELD.index("colour"),
}
_SHAPES: Final = frozenset(shape for _, shape in COLOURED)


def rows_of(listing: Listing, split: str) -> Tensor:
    """The pictures of a split: [rows] int64."""
    if split in _REASONS:
        return (listing.held == _REASONS[split]).nonzero().flatten()
    chosen = listing.held == 0
    if split == "seen":
        chosen &= listing.tone == 0
    elif split == "tone seen":
        chosen &= listing.tone > 0
    else:
        pairs = [colour_and_shape(thing.name) for thing in listing.things]
        coloured = torch.tensor([bool(colour) and shape in _SHAPES for colour, shape in pairs])
        chosen &= coloured[listing.thing]
    return chosen.nonzero().flatten()


def drawn_from(listing: Listing, split: str, count: int, seed: int) -> Tensor:
    """`count` pictures of a split, drawn evenly: none twice before each was drawn once; none of an empty
    split."""
    rows = rows_of(listing, split)
    if not len(rows):
        return rows
    generator = torch.Generator().manual_seed(seed)
    rounds = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(-(-count // len(rows)))]
    return torch.cat(rounds)[:count]
