"""What datasets of captioned pictures have in common, wherever the pictures lie: from bytes to a batch."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import attrs
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.buckets import BucketOrder, bucket_sizes, nearest_size
from glidepath.plugins.train.data.captions import CAPTION, drawn, in_template, whole
from glidepath.plugins.train.data.configs import ListedConfig, PicturesConfig
from glidepath.plugins.train.data.dataset import OPEN, Entry
from glidepath.plugins.train.data.examples import Example, Examples, composed
from glidepath.plugins.train.data.order import Order, Rows
from glidepath.plugins.train.data.transform import Size, Transform, fitted
from glidepath.registry import ImageError, decode_picture

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
"""[H, W, 3] in RGB."""

_WINDOW = 8  # chunks whose examples are shuffled together
_CHUNK = 256
_MOST_THREADS = 8
_TOGETHER = 16  # pictures of a batch that are read before the first of them is decoded


class Pictures(Protocol):
    """Where the pictures of examples lie."""

    def place(self, example: Example) -> str:
        """Where a picture lies, as messages call it."""

    def stamp(self, example: Example) -> tuple[int, ...]:
        """Size and times of its file. Raises OSError."""

    def read(self, example: Example) -> bytes:
        """The bytes of a picture. Raises ImageError."""


@attrs.frozen
class Chosen:
    """What a batch is of: examples after what decides their draws beside the seed, and their size."""

    examples: Mapping[tuple[int, ...], Example]
    size: Size


class SizedPictures(Pictures, Protocol):
    """Pictures whose sizes are known before they are decoded."""

    def sides(self, example: Example) -> tuple[int, int]:
        """Width and height, turned as its EXIF says. Raises ImageError."""


class PicturedDataset(ABC):
    """Captioned pictures, by position: a batch may span two epochs.

    Pictures are read when they are asked for: those of a step cost what their decoding costs. What is drawn
    for an example is decided by the seed and its position, so a batch is the same in pieces.
    """

    config: PicturesConfig
    pictures: Pictures
    transforms: Sequence[Transform]

    @abstractmethod
    def chosen(self, seed: int, step: int, size: int) -> Chosen:
        """What the batch of a step is of."""

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a training step: images [size, 3, H, W] float32 in [-1, 1], and their captions.

        Raises:
            ImageError: an image cannot be read.
        """
        return self.part(seed, step, size, slice(size))

    def part(self, seed: int, step: int, size: int, rows: slice) -> tuple[Tensor, list[str]]:
        """Some rows of the batch of a step; the others are not read.

        Raises:
            ImageError: an image cannot be read.
        """
        chosen = self.chosen(seed, step, size)
        some = [*chosen.examples.items()][rows]
        made: list[tuple[Pixels, str]] = []
        for first in range(0, len(some), _TOGETHER):
            made += self._made(seed, some[first : first + _TOGETHER], chosen.size)
        return _as_batch([image for image, _ in made]), [caption for _, caption in made]

    def names(self, seed: int, step: int, size: int) -> list[str]:
        """Where the pictures of a batch lie, for a person who looks for one."""
        return [self.pictures.place(example) for example in self.chosen(seed, step, size).examples.values()]

    @abstractmethod
    def everything(self) -> Iterator[tuple[Example, Size]]:
        """Every example, those that are held out too, and the size that its image has."""

    def outcomes(self) -> Iterator[Tensor]:
        """All images [3, H, W] that there may be, for a cache; some come more than once.

        Raises:
            PartError: there is no end of them, as a transform draws.
        """
        for example, size in self.everything():
            picture = decode_picture(self.pictures.read(example), self.pictures.place(example))
            for caption in whole(example.captions, self.config):
                for image, _ in self._outcomes(picture, caption, size):
                    yield as_tensor(fitted(image, size))

    def texts(self) -> Iterator[str]:
        """All captions that there may be, for a cache.

        Raises:
            PartError: parts of them are left out, in too many ways to list.
        """
        if self.config.part_dropout:
            raise PartError("part_dropout leaves out parts of captions: there is no list of all captions")
        blank = Image.new("RGB", (2, 2))
        for example, size in self.everything():
            for caption in whole(example.captions, self.config):
                made = self._outcomes(blank, caption, size, endless=True)
                yield from dict.fromkeys(said for _, said in made)

    def _outcomes(
        self, picture: Image.Image, caption: str, size: Size, *, endless: bool = False
    ) -> list[tuple[Image.Image, str]]:
        """endless: a transform that draws without end is passed over."""
        made = [(picture, caption)]
        for transform in self.transforms:
            found: list[tuple[Image.Image, str]] = []
            for image, said in made:
                outcomes = transform.outcomes(image, said, size)
                if outcomes is None and not endless:
                    raise PartError(
                        f"{type(transform).__name__} draws without end what it does with a picture: there is "
                        "no list of all images"
                    )
                found += [(image, said)] if outcomes is None else outcomes
            made = found
        return made

    def _made(
        self, seed: int, examples: Sequence[tuple[tuple[int, ...], Example]], size: Size
    ) -> Iterator[tuple[Pixels, str]]:
        """Images and captions. What is alike is done in a row, as its code and tables lie near then."""
        rngs = [np.random.default_rng((seed, draws.SAMPLE, *key)) for key, _ in examples]
        captions = [drawn(it.captions, self.config, rng) for (_, it), rng in zip(examples, rngs, strict=True)]
        files = [self.pictures.read(example) for _, example in examples]
        for (_, example), data, caption, rng in zip(examples, files, captions, rngs, strict=True):
            picture = decode_picture(data, self.pictures.place(example))
            for transform in self.transforms:
                picture, caption = transform.apply(picture, caption, size, rng)
            yield np.asarray(fitted(picture, size)), caption


class ListedDataset(PicturedDataset):
    """Pictures of which there is a list in memory."""

    config: ListedConfig
    pictures: SizedPictures

    def __init__(
        self,
        config: ListedConfig,
        where: Path,
        examples: Examples,
        notes: Sequence[str],
        pictures: SizedPictures,
        transforms: Sequence[Transform] = (),
        *,
        held: bool = False,
    ) -> None:
        """where: the folder that places start from. held: of those that are held out, and not of the others.

        Nothing is drawn for those that are held out: `validation` has them as they are.
        """
        self.config, self.where, self.notes, self.pictures = config, where, notes, pictures
        self.examples, self.transforms = examples, transforms
        counts = examples.weights > 0
        trained = np.flatnonzero(counts & (examples.held == held))
        self.validation: ListedDataset | None = None
        if not held and (counts & examples.held).any():
            plain = attrs.evolve(config, part_dropout=0.0, templates=config.templates[:1])
            self.validation = ListedDataset(plain, where, examples, (), pictures, held=True)
        self.sizes: Sequence[Size] = [(config.size, config.size)]
        self._buckets = [trained]
        if config.bucket_step:
            self.sizes, self._buckets = self._sorted(trained)
        self._orders = [_order(examples, bucket) for bucket in self._buckets]
        weights = [float(examples.weights[bucket].sum()) for bucket in self._buckets]
        self._batches = BucketOrder([len(trained) * weight / sum(weights) for weight in weights])
        if config.facts:
            self._learn_facts()
        if config.label:
            self.labels = self._labels

    def everything(self) -> Iterator[tuple[Example, Size]]:
        """Every example, those that are held out too, and the size that its image has."""
        for size, bucket in zip(self.sizes, self._buckets, strict=True):
            yield from ((self.examples[int(index)], size) for index in bucket)
        if self.validation is not None:
            yield from self.validation.everything()

    def chosen(self, seed: int, step: int, size: int) -> Chosen:
        """What the batch of a step is of."""
        bucket, number = (0, step) if len(self.sizes) == 1 else self._batches.at(seed, step, size)
        order, indices = self._orders[bucket], self._buckets[bucket]
        return Chosen(
            {
                (bucket, position): self.examples[indices[order.at(seed, position)]]
                for position in range(number * size, (number + 1) * size)
            },
            self.sizes[bucket],
        )

    def _labels(self, seed: int, step: int, size: int) -> Tensor:
        """The classes of the images of a batch: [size] int64."""
        return torch.tensor([it.label for it in self.chosen(seed, step, size).examples.values()])

    def _sorted(self, indices: Rows) -> tuple[list[Size], list[Rows]]:
        """The sizes that pictures have, and the indices of the examples of each size."""
        config = self.config
        sizes = bucket_sizes(config.size, config.bucket_step, config.bucket_ratio)
        if not sizes:
            raise PartError(
                f"no size of sides that are multiples of bucket_step, {config.bucket_step}, has as few "
                f"pixels as {config.size} x {config.size}"
            )
        buckets: list[list[int]] = [[] for _ in sizes]
        for index in indices:
            try:
                sides = self.pictures.sides(self.examples[index])
            except ImageError:  # told with all others when the contents are checked
                sides = (1, 1)
            buckets[nearest_size(*sides, sizes)].append(int(index))
        there = [index for index, bucket in enumerate(buckets) if bucket]
        return [sizes[index] for index in there], [np.asarray(buckets[index]) for index in there]

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
            for caption in whole(example.captions, self.config):
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

    def captions(self) -> Iterator[tuple[str, str]]:
        """Every caption in its longest template, after where it is written; the first in all templates."""
        longest = max(self.config.templates, key=len, default=CAPTION)
        for number, example in enumerate(self.examples):
            captions = (in_template(caption, longest) for caption in example.captions)
            for caption in captions if number else whole(example.captions, self.config):
                yield str(self.where / example.place), caption

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


def as_tensor(picture: Image.Image) -> Tensor:
    """[3, H, W] float32 in [-1, 1] of a picture in RGB."""
    return _as_batch([np.asarray(picture)])[0]


def _as_batch(images: Sequence[Pixels]) -> Tensor:
    """[B, 3, H, W] of B images in RGB. One after the other takes a third longer, decoding included."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(127.5).sub_(1)


def _order(examples: Examples, indices: Rows) -> Order:
    _, counts = np.unique(examples.chunks[indices], return_counts=True)
    return Order(counts.tolist(), min(_WINDOW, len(counts)), examples.weights[indices])


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
