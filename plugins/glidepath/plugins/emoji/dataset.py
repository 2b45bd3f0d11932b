"""The emoji dataset, as training asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.emoji import table
from glidepath.plugins.emoji.captions import describe
from glidepath.plugins.emoji.configs import EmojiConfig
from glidepath.plugins.emoji.drawing import Draws, name_weights
from glidepath.plugins.emoji.facts import Facts
from glidepath.plugins.emoji.styles import STYLES, TONES
from glidepath.registry import file_sha256

_CAPTIONS = 12
"""Tells the random numbers of captions apart from those of the order."""

_COLOURS = 13
"""Likewise, of colours that change places."""


class EmojiDataset:
    """Every picture of the table that is not held out, weighted, with a caption that is drawn anew."""

    def __init__(self, config: EmojiConfig) -> None:
        """Read the table.

        Raises:
            PartError: there is none, or its pictures are of another size.
        """
        self.config = config
        self._path = path = config.table or Path(table.default_name(config.size))
        self.table = table.load(path)
        side = self.table.pictures.shape[-1]
        if side != config.size:
            raise PartError(f"the pictures of {path} are {side} x {side}, and `size` is {config.size}")
        listing = self.table.listing
        self.trained = (listing.held == 0).nonzero().flatten()
        self._draws = Draws(name_weights(listing.thing[self.trained], listing.style[self.trained]))
        self._facts = Facts(listing.things)
        self.answers = self._facts.answers

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a training step: images [size, 3, S, S] float32 in [-1, 1], and their captions."""
        rows = self.trained[self._draws.rows(seed, step * size, size)]
        rng = np.random.default_rng((seed, step, _CAPTIONS))
        listing = self.table.listing
        shown = torch.stack((listing.thing[rows], listing.style[rows], listing.tone[rows]), dim=1).tolist()
        captions = [
            describe(listing.things[thing], STYLES[style], TONES[tone], rng) for thing, style, tone in shown
        ]
        images = self.table.images(rows)
        if self.config.recoloured:
            rng = np.random.default_rng((seed, step, _COLOURS))
            for index in np.flatnonzero(rng.random(size) < self.config.recoloured):
                images[index] = images[index, rng.permutation(3)]
        return images, captions

    def contents(self, known: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        """The table, whose captions are drawn anew: a run knows it by its hash, wherever it lies."""
        yield "table", "", file_sha256(self._path)

    def facts(self, captions: Sequence[str]) -> Tensor:
        """What captions say: [captions, questions] int64; the questions are those of `Facts`."""
        return torch.tensor([self._facts.of(caption) for caption in captions])
