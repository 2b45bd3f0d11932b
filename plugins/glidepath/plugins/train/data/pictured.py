"""What datasets of captioned pictures have in common, wherever the pictures lie: from bytes to a batch."""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.configs import ListedConfig, PicturesConfig
from glidepath.plugins.train.data.dataset import OPEN, Entry
from glidepath.plugins.train.data.examples import Example, composed
from glidepath.plugins.train.data.order import Order
from glidepath.registry import ImageError, decode_picture

_SIDE = re.compile(r"\b(left|right)(most|ward|wards)?\b", re.IGNORECASE)
_CHUNK = 256
_MOST_THREADS = 8


class Pictures(Protocol):
    """Where the pictures of examples lie."""

    def place(self, example: Example) -> str:
        """Where a picture lies, as messages call it."""

    def stamp(self, example: Example) -> tuple[int, ...]:
        """Size and times of its file. Raises OSError."""

    def read(self, example: Example) -> bytes:
        """The bytes of a picture. Raises ImageError."""


class PicturedDataset(ABC):
    """Captioned pictures, by position: a batch may span two epochs.

    Pictures are read when they are asked for: those of a step cost what their decoding costs. What is drawn
    for an example is decided by the seed and its position, so a batch is the same in pieces.
    """

    config: PicturesConfig
    pictures: Pictures

    @abstractmethod
    def example(self, seed: int, position: int) -> Example:
        """What comes at a position."""

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a training step: images [size, 3, S, S] float32 in [-1, 1], and their captions.

        Raises:
            ImageError: an image cannot be read.
        """
        made = [self._made(seed, position) for position in range(step * size, (step + 1) * size)]
        return torch.stack([image for image, _ in made]), [caption for _, caption in made]

    def _made(self, seed: int, position: int) -> tuple[Tensor, str]:
        example = self.example(seed, position)
        rng = np.random.default_rng((seed, position, draws.SAMPLE))
        caption = example.captions[int(rng.integers(len(example.captions)))]
        picture = decode_picture(self.pictures.read(example), self.pictures.place(example))
        image = as_tensor(fitted(picture, self.config.size))
        if self.config.flip and rng.random() < 0.5 and not _SIDE.search(caption):
            image = image.flip(-1)
        return image, caption


class ListedDataset(PicturedDataset):
    """Pictures of which there is a list in memory."""

    config: ListedConfig

    def __init__(
        self,
        config: ListedConfig,
        where: Path,
        examples: Sequence[Example],
        notes: Sequence[str],
        pictures: Pictures,
    ) -> None:
        """where: the folder that places start from."""
        self.config, self.where, self.notes, self.pictures = config, where, notes, pictures
        self.examples = examples
        self._trained = [example for example in examples if not example.held]
        chunks = [example.chunk for example in self._trained]
        self._order = Order(
            np.unique(chunks, return_counts=True)[1].tolist(),
            window=_window(chunks),
            weights=[example.weight for example in self._trained],
        )
        if config.facts:
            self._learn_facts()

    def _learn_facts(self) -> None:
        """The answers that are there to each question, and what every caption says."""
        columns = [
            sorted({*column} - {""}) for column in zip(*(it.facts for it in self.examples), strict=True)
        ]
        self.answers = tuple(map(len, columns))
        numbers = [{answer: number for number, answer in enumerate(answers)} for answers in columns]
        self._facts: dict[str, tuple[int, ...]] = {}
        for example in self.examples:
            said = tuple(known.get(fact, OPEN) for known, fact in zip(numbers, example.facts, strict=True))
            for caption in example.captions:
                before = self._facts.setdefault(caption, said)
                self._facts[caption] = tuple(
                    it if it == other else OPEN for it, other in zip(before, said, strict=True)
                )

    def facts(self, captions: Sequence[str]) -> Tensor:
        """What captions say: [captions, questions] int64, in [0, answers) or `OPEN`.

        A question is open to a caption that stands with different answers to it.
        """
        unknown = (OPEN,) * len(self.answers)
        return torch.tensor([self._facts.get(caption, unknown) for caption in captions])

    def example(self, seed: int, position: int) -> Example:
        """What comes at a position, of what is not held out."""
        return self._trained[self._order.at(seed, position)]

    def captions(self) -> Iterator[tuple[str, str]]:
        """Every caption, after the file or line where it is written."""
        return ((str(self.where / it.place), caption) for it in self.examples for caption in it.captions)

    def contents(self, known: Mapping[str, Entry]) -> Iterator[Entry]:
        """Every example, in the order of the list, with the hash of its image and whether it can be read.

        known: of an earlier check, by name. An image is not read again whose file has the size and the times
        that it had, and not decoded again whose hash is known.
        """
        sound = {entry.sha256 for entry in known.values()}

        def checked(example: Example) -> Entry:
            return _checked(self.pictures, example, known, sound)

        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
            for first in range(0, len(self.examples), _CHUNK):
                yield from pool.map(checked, self.examples[first : first + _CHUNK])


def fitted(picture: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle of a picture, resized."""
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.BICUBIC)


def as_tensor(picture: Image.Image) -> Tensor:
    """[3, H, W] float32 in [-1, 1] of a picture in RGB."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return pixels.to(torch.float32) / 127.5 - 1


def _window(chunks: Sequence[int]) -> int:
    return 1 if not chunks else max(1, min(_WINDOW, len({*chunks})))


_WINDOW = 8  # chunks whose examples are shuffled together


def _checked(
    pictures: Pictures, example: Example, known: Mapping[str, Entry], sound: Collection[str]
) -> Entry:
    name, said = composed(example.name), example.said()
    before = known.get(name)
    stamp: tuple[int, ...] = ()
    digest = problem = ""
    try:
        stamp = pictures.stamp(example)
        if before is not None and before.stamp == stamp:
            return Entry(name, said, before.sha256, stamp)
        data = pictures.read(example)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in sound:
            decode_picture(data, pictures.place(example))
    except (OSError, ImageError) as error:
        problem = str(error)
    return Entry(name, said, digest, stamp, problem)
